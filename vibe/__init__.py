"""Vibe turns a sentence into a small program that runs, and that you can throw away."""

__version__ = "0.1.0"
