"""Fetching the libraries of web pages from a registry, and what pages then get of them."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vibe import libraries
from vibe.libraries import Library, fetch, files_of, registry_of
from vibe.vendored import MANIFEST, joined, listed, needed

FILES = {
    "package/dist/toy.min.js": b"window.toy = 1;",
    "package/dist/fonts/toy.woff2": b"\0font",
    "package/LICENSE": b"Do what you like.",
    "package/src/secret.js": b"not kept",
    "../../escape.js": b"not kept either",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def packed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("package/dist/link.min.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def toy(packed: bytes) -> Library:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
    patterns = ("dist/*.min.js", "dist/fonts/*.woff2")
    return Library("@some/toy", "1.2.3", integrity, "MIT", "a toy", patterns, "dist/toy.min.js")


@pytest.fixture
def environ(packed: bytes, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a machine whose registry is one on loopback that has the toy."""
    path = tmp_path / "registry" / "@some" / "toy" / "-" / "toy-1.2.3.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(packed)
    handler = partial(Quiet, directory=str(tmp_path / "registry"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield {"NPM_CONFIG_REGISTRY": f"http://127.0.0.1:{server.server_port}/"}
        server.shutdown()
        thread.join()


def test_a_library_comes_with_its_files_and_licence_and_nothing_else(
    environ: dict[str, str], toy: Library, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    assert fetch(environ, place, [toy]) == {}
    assert files_of(toy, place) == {
        "vendor/toy/LICENSE": b"Do what you like.",
        "vendor/toy/fonts/toy.woff2": b"\0font",
        "vendor/toy/toy.min.js": b"window.toy = 1;",
    }
    assert [path.name for path in place.iterdir()] == ["toy-1.2.3"]
    assert not list(tmp_path.glob("escape*"))


def test_an_archive_with_another_hash_is_refused_whole(
    environ: dict[str, str], toy: Library, tmp_path: Path
) -> None:
    path = tmp_path / "registry" / "@some" / "toy" / "-" / "toy-1.2.3.tgz"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    missed = fetch(environ, tmp_path / "place", [toy])
    assert "its hash is another" in missed["@some/toy"]
    assert list((tmp_path / "place").iterdir()) == []


def test_without_a_registry_it_is_said_and_nothing_fails(toy: Library, tmp_path: Path) -> None:
    alone = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    assert fetch(alone, tmp_path, [toy]) == {"@some/toy": libraries.NO_REGISTRY}


def test_a_registry_that_does_not_answer_is_said_without_its_password(
    toy: Library, tmp_path: Path
) -> None:
    closed = {"NPM_CONFIG_REGISTRY": "http://me:hunter2@127.0.0.1:9/npm"}
    (why,) = fetch(closed, tmp_path, [toy]).values()
    assert why
    assert "hunter2" not in why


def test_the_registry_is_npms_own(tmp_path: Path) -> None:
    (tmp_path / ".npmrc").write_text("color=false\nregistry = http://127.0.0.1:1/a/\n", "utf-8")
    assert registry_of({"HOME": str(tmp_path), "PATH": ""}) == "http://127.0.0.1:1/a"


def test_the_lock_names_no_host_and_pins_every_library() -> None:
    text = (libraries.SANDBOXES / "libraries.yaml").read_text("utf-8")
    assert "://" not in text
    for each in libraries.all_libraries():
        assert len(base64.b64decode(each.integrity.removeprefix("sha512-"))) == 64
        assert each.main in each.files
        assert not each.module or each.module in each.files
    assert len({each.name for each in libraries.all_libraries()}) == 13


def test_a_page_gets_what_it_loads_and_keeps_files_of_its_own() -> None:
    page = b'<script src="vendor/d3/d3.min.js"></script><script src="./vendor/nothing/x.js">'
    found = needed({"index.html": page, "vendor/d3/LICENSE": b"mine"})
    if not libraries.there():
        pytest.fail("the libraries aren't there: run `vibe setup`")
    assert sorted(found) == ["vendor/d3/d3.min.js", "vendor/manifest.json"]
    assert b'"version": "7' in found["vendor/manifest.json"]
    assert needed({"main.py": page}) == {}


def test_an_app_keeps_the_version_it_worked_with_and_gets_what_it_has_not_kept() -> None:
    page = b'<script src="vendor/d3/d3.min.js"></script><script src="vendor/marked/marked.umd.js">'
    old = b'[{"name": "d3", "version": "7.1.0"}, {"name": "p5", "version": "1.0.0"}]'
    kept = {"vendor/d3/d3.min.js": b"old", "vendor/p5/p5.min.js": b"unused", MANIFEST: old}
    found = needed({"index.html": page}, kept)
    assert found["vendor/d3/d3.min.js"] == b"old"
    assert "vendor/d3/LICENSE" not in found, "nothing of another version is mixed in"
    assert "vendor/p5/p5.min.js" not in found
    assert {entry["name"]: entry["version"] for entry in listed(found)} == {
        "d3": "7.1.0",
        "marked": next(e.version for e in libraries.there() if e.name == "marked"),
    }
    both = joined(kept, found)
    assert {entry["name"] for entry in listed(both)} == {"d3", "p5", "marked"}
    assert both["vendor/p5/p5.min.js"] == b"unused"


@pytest.mark.parametrize("manifest", [b"", b"{", b'[1, {}, {"name": 1}]', b"[" * 9999, b"\xff"])
def test_a_manifest_of_a_stranger_is_read_as_far_as_it_can_be(manifest: bytes) -> None:
    assert listed({MANIFEST: manifest}) == []
