"""Boxes: where generated programs run, and nowhere else."""
