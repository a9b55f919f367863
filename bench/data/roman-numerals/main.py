"""Turns numbers into Roman numerals and back."""

import argparse
import sys

VALUES = {
    "M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40,
    "X": 10, "IX": 9, "V": 5, "IV": 4, "I": 1,
}  # fmt: skip


def to_roman(number: int) -> str:
    if not 0 < number < 4000:
        raise ValueError(f"{number} is not between 1 and 3999")
    parts = []
    for numeral, value in VALUES.items():
        count, number = divmod(number, value)
        parts.append(numeral * count)
    return "".join(parts)


def from_roman(text: str) -> int:
    total, rest = 0, text.upper()
    for numeral, value in VALUES.items():
        while rest.startswith(numeral):
            total += value
            rest = rest[len(numeral) :]
    if rest or to_roman(total) != text.upper():
        raise ValueError(f"{text} is not a Roman numeral")
    return total


def convert(text: str) -> str:
    return to_roman(int(text)) if text.isdigit() else str(from_roman(text))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("values", nargs="*", default=["2024", "MMXXIV"])
    for text in parser.parse_args().values:
        try:
            print(f"{text} = {convert(text)}")
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
