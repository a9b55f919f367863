"""The list of boxes that run, from a daemon that answers as Docker does while one of them ends."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from vibe.boxes import running_boxes

BOX = {"Id": "b" * 64, "Names": ["/vibe-1"], "Image": "vibe-python:1", "ImageID": f"sha256:{1:064}",
       "Created": 1_700_000_000, "Labels": {"vibe.app": "a-hat"}}  # fmt: skip


class Answers(BaseHTTPRequestHandler):
    stats: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        if self.path.endswith("/version"):
            self.answer(json.dumps({"ApiVersion": "1.41"}).encode())
        elif "/containers/json" in self.path:
            self.answer(json.dumps([BOX]).encode())
        elif "/stats" in self.path:
            self.answer(self.stats)
        else:
            self.answer(b'{"message": "no such image"}', 404)

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "a socket"

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Answers]]:
    """What it answers, on a socket that `docker.from_env` finds."""
    path = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    answers = type("OwnAnswers", (Answers,), {})
    with socketserver.ThreadingUnixStreamServer(str(path), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield answers
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("stats", "memory"),
    [
        (b'{"memory_stats": {"usage": 9, "limit": 20, "stats": {"inactive_file": 2}}}', (7, 20)),
        (b'{"memory_stats": {}}', (None, None)),
        # Docker 20.10 sends nothing when a container goes while it is measured.
        (b"", (None, None)),
    ],
)
def test_a_box_that_is_just_ending_is_listed_without_its_memory(
    tmp_path: Path, daemon: type[Answers], stats: bytes, memory: tuple[int | None, int | None]
) -> None:
    daemon.stats = stats
    [box] = running_boxes(tmp_path)
    assert (box.app, box.memory, box.most) == ("a-hat", *memory)
