"""What an idea says in passing: the values of a starter's parameters, read from plain text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vibe.errors import UserError

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
)
LARGE = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
NUMBER_WORDS = {word: n for n, word in enumerate(SMALL.split())} | LARGE | {"dozen": 12}
EDGES = " \"'\u201c\u201d\u2018\u2019.,;:"
"""What is stripped from both ends of a piece of text."""
LEFT_OVER = re.compile(r"(?i)^(?:and|or)\s+|\s+(?:with|in|using)(?:\s+an?)?$")
"""What of the sentence may be left at the ends of a list's item."""
NUMBER = (
    r"(?<![\d.,#])(?P<value>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,12}(?:[.,]\d{1,6})?|\b(?:"
    + "|".join(NUMBER_WORDS)
    + r")\b)(?P<scale>\s?(?:k|thousand|million)\b)?"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something an idea may set: how it is found in the text, and what it may be."""

    name: str
    type: str
    """integer, number, choice, colour, text, list or pairs."""
    meaning: str
    default: Any
    patterns: tuple[re.Pattern[str], ...]
    """Tried in order; the group `value` is what is read."""
    choices: Mapping[str, str]
    """For a choice: a pattern of its words → the value; for a colour: its name → #rrggbb."""
    low: float
    high: float

    def find(self, text: str) -> tuple[Any, str] | None:
        """The value the text sets and the text without it; None when it sets none.

        Raises UserError for a number out of range."""
        if self.type == "pairs":
            pairs = _pairs(text)
            return (pairs, "") if len(pairs) >= 2 else None
        for pattern in self.patterns:
            for match in pattern.finditer(text):
                value = self._value(match)
                if value is not None:
                    whole = self.type in ("colour", "text")
                    start, end = match.span(0 if whole else "value")
                    return value, text[:start] + " " * (end - start) + text[end:]
        return None

    def _value(self, match: re.Match[str]) -> Any | None:
        found = match["value"]
        if self.type in ("integer", "number"):
            return self._number(found, match.groupdict().get("scale") or "")
        if self.type == "text":
            return one_line(found) or None
        if self.type == "list":
            items = [
                LEFT_OVER.sub("", one_line(i)) for i in re.split(r",|;|\s+(?:and|or)\s+", found)
            ]
            items = [item for item in dict.fromkeys(items) if item][: int(self.high)]
            return items if len(items) >= self.low else None
        if self.type == "colour" and found.startswith("#"):
            return found.lower()
        for words, value in self.choices.items():
            if re.fullmatch(words, found, re.IGNORECASE):
                return value
        return None

    def _number(self, found: str, scale: str) -> float | int:
        if found.lower() in NUMBER_WORDS:
            number = float(NUMBER_WORDS[found.lower()])
        else:
            thousands = re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", found)
            number = float(found.replace(",", "" if thousands else "."))
        number *= {"k": 1e3, "thousand": 1e3, "million": 1e6}.get(scale.strip().lower(), 1)
        if not self.low <= number <= self.high:
            raise UserError(
                f"{self.meaning}: {number:g} is out of range.",
                f"This starter takes {self.low:g} to {self.high:g}.",
            )
        return round(number) if self.type == "integer" or number == int(number) else number


def make_parameter(name: str, data: Mapping[str, Any], colours: Mapping[str, str]) -> Parameter:
    """The parameter that an entry of starter.yaml describes; `{number}` and `{choice}` in its
    patterns stand for how a number, or one of its choices (or colours), is written."""
    choices = colours if data["type"] == "colour" else data.get("choices", {})
    one_of = rf"(?P<value>#[0-9a-f]{{6}}\b|(?<!\w)(?:{'|'.join(choices)})(?!\w))"
    patterns = tuple(
        re.compile(pattern.replace("{number}", NUMBER).replace("{choice}", one_of), re.IGNORECASE)
        for pattern in data.get("patterns", [r"{choice}"])
    )
    low, high = data.get("range", (0, 1e12))
    return Parameter(
        name, data["type"], data["meaning"], data["default"], patterns, choices, low, high
    )


def one_line(text: str) -> str:
    """One line of at most 80 printable characters."""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text)
    return " ".join(kept.split())[:80].strip(EDGES)


def _pairs(text: str) -> list[list[str]]:
    """`front: back` (or =, ->) pairs between commas, semicolons or newlines, at most 60."""
    pairs = []
    for part in re.split(r"[,;\n]", text):
        sides = re.split(r":\s+|\s*(?:=|->|→)\s*", part)
        sides = [one_line(side) for side in sides if side.strip()]
        if len(sides) < 2:
            continue
        front = re.sub(
            r"(?i)^.*\b(?:with|cards?|flashcards?|quiz|pairs|of|about)\s+", "", sides[-2]
        )
        front = re.sub(r"(?i)^(?:and|also|add)\s+", "", front)
        if front and sides[-1]:
            pairs.append([front, sides[-1]])
    return pairs[:60]
