"""Reads HTML as browsers do, whatever is wrong with it."""

from __future__ import annotations

from html.parser import HTMLParser


class Markup(HTMLParser):
    """The standard library's parser, without its exception for a declaration that is none: a page
    may say `<![x` wherever it likes."""

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Where the comment that browsers take it for ends; -1 when it doesn't."""
        return self.parse_bogus_comment(i)
