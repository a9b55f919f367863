"""`vibe serve` and the other commands as a person starts them, with a gallery of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import docker
import httpx
import yaml

from vibe.archive import Archive
from vibe.sandbox.owners import gallery_label

STARTS_S = 60
STOPS_S = 20


class Vibe:
    """One gallery with its settings: its server, its commands, its boxes.

    No model but the one that `env` names is used: nothing is looked for on this machine."""

    def __init__(self, folder: Path, settings: dict | None = None, **env: str) -> None:
        self.gallery = folder / "gallery"
        self.log = folder / "server.log"
        self.port = 0
        self._process: subprocess.Popen | None = None
        file = folder / "settings.yaml"
        file.write_text(yaml.safe_dump({"local_models": False, **(settings or {})}))
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPENAI_", "VIBE_", "STREAMLIT_"))
        }
        self.env = {
            **kept,
            "VIBE_GALLERY": str(self.gallery),
            "VIBE_SETTINGS": str(file),
            "COLUMNS": "100",
            **env,
        }

    @property
    def url(self) -> str:
        return f"http://vibe.localhost:{self.port}/"

    @property
    def pid(self) -> int:
        """Of the server that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def archive(self) -> Archive:
        """For reading what the server wrote."""
        return Archive(self.gallery)

    async def start(self) -> None:
        """Returns once it answers; a second start takes the port of the first."""
        with self.log.open("ab") as log:
            already = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vibe", "serve"],
                env={**self.env, "VIBE_PORT": str(self.port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + STARTS_S
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                said = self.log.read_bytes()[already:].decode()
                assert self._process.poll() is None, f"it ended before it served:\n{said}"
                assert time.monotonic() < deadline, f"it does not answer:\n{said}"
                if at := re.search(r"Vibe is at http://vibe\.localhost:(\d+)", said):
                    self.port = int(at[1])
                    address = f"http://127.0.0.1:{self.port}/_stcore/health"
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get(address)).text == "ok":
                            return
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """As Ctrl-C in another window would; a server that doesn't listen to that is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOPS_S)
        except subprocess.TimeoutExpired:
            await self.kill()
            raise AssertionError(f"it did not stop:\n{self.tail()}") from None
        self._process = None

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        self._process = None

    def tail(self, lines: int = 60) -> str:
        """The end of what the server printed."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    async def command(self, *argv: str | Path, stdin: str = "") -> subprocess.CompletedProcess:
        """`vibe` with these arguments, to its end; the loop goes on, so a model may answer it."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "vibe", *map(str, argv)],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def boxes(self, app: str = "") -> list[str]:
        """Names of the containers, running or not, that belong to this gallery (and that app)."""
        labels = [f"vibe.gallery={gallery_label(self.gallery)}"]
        with contextlib.closing(docker.from_env(timeout=30)) as client:
            found = client.api.containers(all=True, filters={"label": labels})
        named = [(c["Names"][0], c["Labels"]["vibe.app"]) for c in found]
        return [n for n, of in named if not app or of == app or n.endswith(f".{app}")]

    async def boxes_gone(self, seconds: float, app: str = "") -> None:
        """Returns once there are none. Raises AssertionError after that many seconds."""
        deadline = time.monotonic() + seconds
        while left := await asyncio.to_thread(self.boxes, app):
            assert time.monotonic() < deadline, f"still there after {seconds} s: {left}"
            await asyncio.sleep(0.2)
