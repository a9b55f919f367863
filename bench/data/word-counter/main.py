"""Counts the words of a text and shows the most frequent."""

import argparse
import csv
import re
import sys
from collections import Counter
from pathlib import Path

EXAMPLE = "It was the best of times, it was the worst of times."


def words(text: str) -> list[str]:
    return re.findall(r"[a-zà-ÿ']+", text.lower())


def read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    return Path(name).read_text("utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", help="a text file, or - for standard input")
    parser.add_argument("--top", type=int, default=5, help="how many words to show")
    parser.add_argument("--csv", help="write the whole table to this file")
    parser.add_argument("--longer", type=int, default=0, help="only words longer than this")
    arguments = parser.parse_args()
    try:
        text = read(arguments.file) if arguments.file else EXAMPLE
    except OSError as error:
        print(f"Can't read {arguments.file}: {error.strerror}", file=sys.stderr)
        return 2
    found = [word for word in words(text) if len(word) > arguments.longer]
    counts = Counter(found)
    print(f"{len(found)} words, {len(counts)} different")
    for word, count in counts.most_common(arguments.top):
        print(f"{word:<12}{count:>4}")
    if arguments.csv:
        target = Path(arguments.csv)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("w", newline="") as out:
            csv.writer(out).writerows(counts.most_common())
        print(f"Written to {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
