"""How time and memory grow with an app: its transcript, its files, its revisions.

Each is measured at three sizes, ten times apart. `grows` is how many times as long the largest
takes as the smallest, divided by how many times as large it is: 1 is linear, less is better. Boxes
are in bench/box.py, apps in bench/gallery.py. Run: `python bench/growth.py [--quick] [--json]`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vibe import events as ev
from vibe.archive import Archive
from vibe.diffs import file_changes
from vibe.finding import Wanted
from vibe.kinds import kind
from vibe.reply import open_files, read_files
from vibe.transcript import transcript_html, transcript_markdown
from vibe.ui.story import Story

Work = dict[str, Callable[[], object]]


def transcript(archive: Archive, size: int) -> Work:
    """An app whose transcript has about so many events: builds of forty pieces of reply each."""
    app = archive.create("growing", kind="web", model="bench")

    def build(number: int) -> Iterator[ev.Event]:
        yield ev.Requested(number, "a change", "web", "bench", "fix")
        yield ev.AttemptStarted(number, 1, "the first attempt")
        yield ev.PromptSent("code", "bench", [{"role": "user", "content": "x" * 4000}])
        for line in range(40):
            yield ev.ReplyText(f"line {line} of a reply that is being written\n")
        yield ev.ReplyEnded("stop", "bench", 100, 400, 4.0, 0.5)
        yield ev.RungDone("static", True, "Every file compiles.", "", 0.1)

    for number in range(max(1, size // 46)):
        archive.append(app.id, list(build(number + 1)), sync=False)
    _, end = archive.events_on(app.id, 0)

    def folded() -> Story:
        story = Story()
        story.take(archive.events(app.id))
        return story

    def followed() -> None:
        archive.append(app.id, [ev.Notice("one more")], sync=False)
        archive.events_on(app.id, end)

    return {
        "read and folded": folded,
        "followed by one event": followed,
        "as Markdown": lambda: transcript_markdown(archive, app.id),
        "as HTML": lambda: transcript_html(archive, app.id),
        "taken in by the index": lambda: (followed(), archive.find(Wanted(words="reply"), most=24)),
    }


def code(size: int, mark: int = 0) -> dict[str, bytes]:
    line = b"<p>What a page of forty lines says, in one of them.</p>\n"
    files = {f"part{number}.html": line * 40 + b"%d" % mark for number in range(size - 1)}
    return {"index.html": b"<!doctype html><title>t</title><h1>Hello</h1>", **files}


def files(archive: Archive, size: int) -> Work:
    """An app of so many files of 40 lines."""
    app = archive.create("many files", kind="web", model="bench")
    marks = iter(range(1_000_000))
    commits = [archive.commit(app.id, code(size, next(marks)), "it") for _ in range(2)]
    reply = "\n".join(
        f"{path}\n```html\n{content.decode()}\n```\n" for path, content in code(size).items()
    )
    return {
        "committed": lambda: archive.commit(app.id, code(size, next(marks)), "it"),
        "read": lambda: archive.files(app.id),
        "compared": lambda: file_changes(archive.diff(app.id, *commits)),
        "found in a reply": lambda: read_files(reply, kind=kind("web")),
        "shown while it comes": lambda: open_files(reply),
    }


def revisions(archive: Archive, size: int) -> Work:
    """An app that was changed so often."""
    app = archive.create("often changed", kind="web", model="bench")
    marks = iter(range(1_000_000))
    commits = [archive.commit(app.id, code(3, next(marks)), "it") for _ in range(size)]
    return {
        "one more committed": lambda: archive.commit(app.id, code(3, next(marks)), "it"),
        "the first one read": lambda: archive.files(app.id, commits[0]),
        "listed": lambda: archive.log(app.id),
        "first and last compared": lambda: archive.diff(app.id, commits[0], commits[-1]),
    }


AXES = {
    "events of a transcript": (transcript, (200, 2_000, 20_000)),
    "files of an app": (files, (2, 20, 200)),
    "revisions of an app": (revisions, (5, 50, 500)),
}


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Median milliseconds of five times, and the most MiB that Python held meanwhile."""
    took = []
    for _ in range(5):
        since = time.perf_counter()
        work()
        took.append((time.perf_counter() - since) * 1000)
    tracemalloc.start()
    work()
    most = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return statistics.median(took), most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the largest of each")
    parser.add_argument("--json", action="store_true", help="one object on the last line")
    arguments = parser.parse_args()
    found: dict[str, dict[str, object]] = {}
    for axis, (make, sizes) in AXES.items():
        sizes = sizes[:-1] if arguments.quick else sizes
        rows: dict[str, list[tuple[float, float]]] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                for name, work in make(Archive(Path(folder)), size).items():
                    rows.setdefault(name, []).append(measured(work))
        print(f"{axis}: {', '.join(f'{size:,}' for size in sizes)}")
        for name, values in rows.items():
            grows = values[-1][0] / values[0][0] / (sizes[-1] / sizes[0])
            print(
                f"  {name:<24} {' / '.join(f'{ms:.1f}' for ms, _ in values)} ms, "
                f"{' / '.join(f'{mib:.1f}' for _, mib in values)} MiB, grows {grows:.2f}"
            )
            found[f"{axis}: {name}"] = {"ms_and_mib": values, "grows": round(grows, 3)}
    print(f"load average {os.getloadavg()[0]:.1f}")
    if arguments.json:
        print(json.dumps({"bench": "growth", "found": found}))


if __name__ == "__main__":
    main()
