"""One app as one `.vibe` file that another machine imports: code with history, transcript, data."""

from __future__ import annotations

import hashlib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vibe import __version__, vendored, wheels
from vibe.app import App
from vibe.archive import Archive
from vibe.durable import write_whole, writing
from vibe.errors import ModelFault, UserError
from vibe.events import (
    TYPES,
    Acted,
    Event,
    PlanMade,
    Unknown,
    from_json,
    now,
    to_json,
)
from vibe.export import ELSEWHERE, zipped
from vibe.kinds import kinds
from vibe.libraries import VENDOR
from vibe.paths import MAX_FILES, safe_files
from vibe.pictures import is_name
from vibe.plan import plan_from_data, plan_to_data
from vibe.record import BrokenRecord, from_data, to_data
from vibe.repository import MAX_TREE
from vibe.sandbox import lock
from vibe.stored import MAX_BYTES
from vibe.transcript import transcript_html
from vibe.unpacking import MANIFEST, MAX_TOTAL, Unpacked, parsed, refused
from vibe.webp import still
from vibe.whole import Snapshot, Whole

FORMAT = 1
ENDING = ".vibe"
IMPORTED = "that it works on this machine: it was imported"

MAX_COMMITS = 1_000
MAX_FILES_OF_ALL = 50_000
MAX_BYTES_OF_ALL = 512 << 20
"""Files of all commits together, each counted as often as it is in one."""
MAX_EVENTS = 200_000
MAX_RECORD = 1 << 20
MAX_PICTURE = 1 << 20
PICTURE_SIZE = (1600, 1600)
"""Width and height in pixels; Vibe's own have 640 at most."""
MAX_WORDS = 64_000
"""Characters of one text in the record."""
MAX_NUMBER = 2**53

COMMIT = {"id": str, "message": str, "author": str, "tags": list[str], "files": dict[str, str]}
"""What an entry of history.json has, beside `seconds`."""

_TAG = re.compile(r"r[1-9][0-9]{0,5}")
_HINTS = {name: typing.get_type_hints(cls) for name, cls in TYPES.items()}


# Exporting


def bundled(
    archive: Archive, app_id: str, *, data: bool = True, packages: Mapping[str, bytes] | None = None
) -> bytes:
    """The bundle's bytes; without `data`, what was attached and what the app wrote stay out.
    `packages` are wheels by file name. Raises UserError for more than an import would take."""
    whole = archive.whole(app_id)
    newest = _newest(whole)
    sums = {content: _sum(content) for shot in whole.history for content in shot.files.values()}
    files = {f"code/{name}": content for name, content in newest.items()}
    files |= {
        f"history/{sums[content]}": content for content in sums if content not in newest.values()
    }
    history = [
        {
            "id": shot.id,
            "message": shot.message,
            "author": shot.author,
            "seconds": shot.seconds,
            "tags": list(shot.tags),
            "files": {name: sums[content] for name, content in shot.files.items()},
        }
        for shot in whole.history
    ]
    files |= {
        "app.json": _json(to_data(replace(whole.app, hosts=(), secrets=()))),
        "events.jsonl": "".join(to_json(event) + "\n" for event in whole.events).encode(),
        "history.json": _json(history),
        "transcript.html": transcript_html(archive, app_id).encode(),
    }
    files |= whole.pictures
    files |= whole.vendored
    files |= {f"{wheels.FOLDER}/{name}": content for name, content in (packages or {}).items()}
    if whole.picture:
        files["thumb.webp"] = whole.picture
    if data:
        files |= {f"data/{name}": content for name, content in whole.data.items()}
        files |= {f"results/{name}": content for name, content in _fitting(whole.results)}
    if (size := sum(map(len, files.values()))) > MAX_TOTAL:
        raise UserError(
            f"The bundle would have {size >> 20:,} MB, and {MAX_TOTAL >> 20} MB are the most.",
            "Leave out its packages, or attached files and results.",
        )
    manifest = {
        "format": FORMAT,
        "vibe": __version__,
        "app": app_id,
        "title": whole.app.title,
        "made": now(),
        "files": {
            name: {"size": len(content), "sha256": _sum(content)}
            for name, content in sorted(files.items())
        },
    }
    return zipped({MANIFEST: _json(manifest)} | files)


def locked(archive: Archive, app: App) -> lock.Lock | None:
    """The packages of the app's newest revision; None when the box's own are enough."""
    files = archive.files(app.id, app.revisions[-1].commit) if app.revisions else {}
    text = files.get(lock.FILE)
    return lock.read(text.decode("utf-8", "replace")) if text else None


def export_bundle(
    archive: Archive,
    app_id: str,
    path: Path,
    *,
    data: bool = True,
    packages: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes the bundle, whole or not at all; returns `path`. Raises UserError when it exists."""
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} exists already.", "Choose another name.")
    content = bundled(archive, app_id, data=data, packages=packages)
    with writing(str(path), move=ELSEWHERE):
        write_whole(path, content)
    return path


# Importing


def import_bundle(archive: Archive, path: Path) -> App:
    """Adds the app of a bundle to the gallery; returns it, under a new id if its own is taken.

    Raises UserError in one sentence for a bundle that is damaged, forged or of a newer format, or
    that holds anything an app made here could not; nothing of it is kept then."""
    with closing(Unpacked(path, FORMAT)) as bundle:
        missing = {"app.json", "events.jsonl", "history.json"} - set(bundle.names())
        if missing:
            raise refused(f"it has no {', '.join(sorted(missing))}")
        app = _app(parsed(_small(bundle, "app.json"), "app.json"))
        history = _history(bundle)
        events = _events(bundle)
        pictures = _pictures(bundle)
        commits = {shot.id for shot in history}
        if not {revision.commit for revision in app.revisions} <= commits:
            raise refused("a revision's code is not in it")
        data = {name: bundle.read(f"data/{name}") for name in bundle.names("data/")}
        results = {name: bundle.read(f"results/{name}") for name in bundle.names("results/")}
        libraries, packages = _libraries(bundle), _packages(bundle, history)
    said = Acted("imported", f"from a bundle made by Vibe {bundle.manifest.get('vibe', '')!s:.20}")
    picture = pictures.pop("thumb.webp", b"")
    events = (*events, said)
    return archive.adopt(
        Whole(app, history, events, data, results, picture, pictures, libraries, packages)
    )


def _app(data: Any) -> App:
    """The record, when every part of it is what Vibe itself could have written."""
    try:
        app = from_data(data)
        _check(app, App, "its record")
        if app.kind != "auto" and app.kind not in kinds():
            raise refused(f"it is of the kind {app.kind[:40]!r}, which this Vibe doesn't have")
        for time in (app.created, app.used, *(r.created for r in app.revisions)):
            _moment(time)
        if [r.number for r in app.revisions] != list(range(1, len(app.revisions) + 1)):
            raise ValueError("its revisions are not numbered one by one")
        if app.status == "ready" and not app.revisions:
            raise ValueError("it is called ready and has no revision")
        plan = plan_to_data(plan_from_data(app.plan)) if app.plan else {}
    except BrokenRecord as error:
        raise refused(f"its record can't be used: {error}"[:300]) from error
    except (ValueError, RecursionError) as error:
        raise refused(f"its record can't be used: {error}"[:300]) from error
    except ModelFault as fault:
        raise refused(f"its plan can't be used: {fault.message.rstrip('.')}"[:300]) from fault
    verdict = app.verdict
    if verdict is not None and IMPORTED not in verdict.unverified:
        verdict = replace(verdict, unverified=(*verdict.unverified, IMPORTED))
    return replace(
        app,
        status="interrupted" if app.status == "building" else app.status,
        verdict=verdict,
        plan=plan,
        pins=_pins(app.pins),
        keep=False,
        used=now(),
        expires=None,
        discarded=None,
        remake_of="",
        remakes=(),
    )


def _pins(pins: Mapping[str, Any]) -> dict[str, Any]:
    """The versions it ran with. The image is left out: which one runs here is not a stranger's
    choice."""
    packages = pins.get("packages")
    known = {name: pins[name] for name in ("python", "vibe") if isinstance(pins.get(name), str)}
    if isinstance(packages, dict):
        known["packages"] = {
            str(name)[:100]: version[:100]
            for name, version in packages.items()
            if isinstance(version, str)
        }
    return known


def _history(bundle: Unpacked) -> tuple[Snapshot, ...]:
    entries = parsed(bundle.read("history.json"), "history.json")
    if not isinstance(entries, list) or len(entries) > MAX_COMMITS:
        raise refused(f"its history is no list of at most {MAX_COMMITS:,} versions")
    places = {sum_: name for name, sum_ in bundle.sums().items()}
    contents: dict[str, bytes] = {}
    count = size = 0
    history: list[Snapshot] = []
    for entry in entries:
        hints = {
            "id": str,
            "message": str,
            "author": str,
            "tags": list[str],
            "files": dict[str, str],
        }
        if not isinstance(entry, dict) or not all(_fits(entry.get(n), h) for n, h in hints.items()):
            raise refused("its history can't be read")
        files: dict[str, bytes] = {}
        for name, sum_ in entry["files"].items():
            if sum_ not in contents:
                if not places.get(sum_, "").startswith(("code/", "history/")):
                    raise refused(f"the content of {name[:80]!r} is not in it")
                contents[sum_] = bundle.read(places[sum_])
            files[name] = contents[sum_]
            count, size = count + 1, size + len(contents[sum_])
        if count > MAX_FILES_OF_ALL or size > MAX_BYTES_OF_ALL:
            raise refused("its history is too large")
        try:
            files = safe_files(files, most=MAX_TREE)
        except ModelFault as fault:
            raise refused(fault.message.rstrip(".")) from fault
        seconds = entry.get("seconds")
        if not isinstance(seconds, int) or not 0 <= seconds < 2**32:
            raise refused("its history has a time that is none")
        tags = tuple(
            tag
            for tag in entry["tags"]
            if tag[:1] == "r" and tag[1:].isdecimal() and tag.isascii() and len(tag) < 8
        )
        history.append(
            Snapshot(
                entry["id"], files, entry["message"][:MAX_WORDS], entry["author"], seconds, tags
            )
        )
    if len({shot.id for shot in history}) < len(history):
        raise refused("two versions in its history have one name")
    return tuple(history)


def _pictures(bundle: Unpacked) -> dict[str, bytes]:
    found = {}
    for name in bundle.names():
        if name == "thumb.webp" or name.startswith(("pictures/", "thumbs/")):
            if name != "thumb.webp" and not is_name(name):
                raise refused(f"{name[:80]!r} does not belong in one")
            content = bundle.read(name)
            found[name] = still(content, PICTURE_SIZE) if len(content) <= MAX_PICTURE else b""
            if not found[name]:
                raise refused(f"{name!r} is no small WebP picture")
    return found


def _libraries(bundle: Unpacked) -> dict[str, bytes]:
    """The libraries of the app's pages: no more to be trusted than the pages, and only for them."""
    names = [f"{VENDOR}/{name}" for name in bundle.names(f"{VENDOR}/")]
    files = {name: bundle.read(name) for name in names}
    try:
        return vendored.sound(files)
    except UserError as error:
        raise refused(error.message.rstrip(".")) from error


def _packages(bundle: Unpacked, history: Sequence[Snapshot]) -> dict[str, bytes]:
    """The wheels of the app's packages: only those whose hashes are in a lock of its own. They are
    unpacked by the box that fetches, without network, and run nowhere but in the app's boxes."""
    folder = f"{wheels.FOLDER}/"
    files = {name: bundle.read(folder + name) for name in bundle.names(folder)}
    locks = {shot.files[lock.FILE] for shot in history if lock.FILE in shot.files}
    try:
        return wheels.sound(files, locks) if files else {}
    except UserError as error:
        raise refused(error.message.rstrip(".")) from error


def _events(bundle: Unpacked) -> tuple[Event, ...]:
    lines = bundle.read("events.jsonl").decode("utf-8", "replace").split("\n")
    if len(lines) > MAX_EVENTS:
        raise refused(f"its transcript has more than {MAX_EVENTS:,} lines")
    found: list[Event] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        event = from_json(line)
        try:
            if not isinstance(event, Unknown):
                for name, hint in _HINTS[type(event).__name__].items():
                    if not _fits(getattr(event, name), hint):
                        raise ValueError(f"`{name}` can't be used")
                _moment(event.at)
            if isinstance(event, PlanMade):
                event = replace(event, plan=plan_to_data(plan_from_data(event.plan)))
        except (ValueError, RecursionError) as error:
            raise refused(f"line {number} of its transcript is wrong: {error}"[:300]) from error
        except ModelFault as fault:
            why = f"line {number} of its transcript has a plan that can't be used"
            raise refused(why) from fault
        found.append(event)
    return tuple(found)


def _check(value: Any, hint: Any, place: str) -> None:
    """Raises ValueError for a number or a text in a record that is out of all bounds."""
    match value:
        case str() if len(value) > MAX_WORDS:
            raise ValueError(f"{place} has a text of {len(value):,} characters")
        case bool():
            pass
        case int() | float() if not 0 <= value <= MAX_NUMBER:
            raise ValueError(f"{place} has a number that can't be")
        case tuple() | list():
            for item in value:
                _check(item, Any, place)
        case dict():
            for key, item in value.items():
                _check(key, Any, place)
                _check(item, Any, place)
        case _ if hasattr(value, "__dataclass_fields__"):
            for f in fields(value):
                _check(getattr(value, f.name), Any, f"`{f.name}`")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON is of that type through and through."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _sound(value)
    if origin is typing.Literal:
        return value in parts
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if hint is type(None):
        return value is None
    if hint in (int, float):
        number = isinstance(value, int if hint is int else int | float)
        return number and not isinstance(value, bool) and abs(value) <= MAX_NUMBER
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, parts[0]) and _fits(item, parts[1]) for key, item in value.items()
        )
    return isinstance(value, origin or hint)


def _sound(value: Any) -> bool:
    """Whether no number in some data of JSON is out of all bounds."""
    match value:
        case dict():
            return all(map(_sound, value.values()))
        case list():
            return all(map(_sound, value))
        case int() | float():
            return abs(value) <= MAX_NUMBER
    return True


def _moment(text: str) -> None:
    """Raises ValueError for what is no time with its zone, as records and events write it."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or not 1970 <= at.astimezone(UTC).year <= 2200:
        raise ValueError(f"{text[:40]!r} is no time")


def _small(bundle: Unpacked, name: str) -> bytes:
    content = bundle.read(name)
    if len(content) > MAX_RECORD:
        raise refused(f"{name!r} is too large")
    return content


def _newest(whole: Whole) -> Mapping[str, bytes]:
    """The code of the newest revision; of the last attempt when no revision was kept."""
    wanted = whole.app.revisions[-1].commit if whole.app.revisions else ""
    shots = [shot for shot in whole.history if shot.id == wanted] or list(whole.history[-1:])
    return shots[0].files if shots else {}


def _fitting(results: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """As many of the results, which add up over many runs, as an app may have at once."""
    room = MAX_BYTES
    for name, content in list(results.items())[: MAX_FILES - 1]:
        room -= len(content)
        if room >= 0:
            yield name, content


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace")
