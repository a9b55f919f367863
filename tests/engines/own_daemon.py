"""A Docker daemon of the tests' own, to be stopped, frozen and robbed of its images."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import docker
import requests
from docker.errors import DockerException

from vibe.sandbox import daemon, images, programs

SHAKY = (DockerException, requests.RequestException, OSError)


class OwnDaemon:
    """A second dockerd with data, socket, network and containers of its own, all below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [
                # in a network of its own: a daemon told to have no bridge removes the machine's
                "unshare",
                "--net",
                daemon.this_machine().dockerd or "dockerd",
                f"--data-root={self.folder}/data",
                f"--exec-root={self.folder}/exec",
                f"--pidfile={self.folder}/pid",
                f"--host={self.host}",
                "--bridge=none",
                "--iptables=false",
                "--ip-masq=false",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": programs.search_path()},
            start_new_session=True,
        )
        log.close()
        until = time.monotonic() + 60
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.settimeout(10)
                    asking.connect(f"{self.folder}/docker.sock")
                    asking.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                    if b"200" in asking.recv(100):
                        return
                raise ConnectionError("not yet")
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    tail = (self.folder / "log").read_text("utf-8", "replace")[-2000:]
                    raise AssertionError(f"The second daemon does not start:\n{tail}") from None
                time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ends it, frozen or not, and with it its containers."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)

    def client(self, timeout: int = 30) -> docker.APIClient:
        return docker.APIClient(base_url=self.host, version="1.41", timeout=timeout)

    def give_image(self, content: bytes) -> None:
        """Makes it the image of boxes out of a plain system with Python: enough for scripts."""
        recipe = images.recipe("python")
        repository, _, tag = recipe.tag.partition(":")
        labels = {images.LABEL_IMAGE: recipe.image, images.LABEL_RECIPE: recipe.digest}
        changes = [f"LABEL {name}={value}" for name, value in labels.items()]
        with contextlib.closing(self.client(120)) as client:
            client.import_image_from_data(content, repository=repository, tag=tag, changes=changes)

    def take_image(self) -> None:
        with contextlib.closing(self.client()) as client:
            client.remove_image(images.recipe("python").tag, force=True)

    def containers(self) -> list[str]:
        with contextlib.closing(self.client()) as client:
            return [found["Id"] for found in client.containers(all=True)]

    def clear(self) -> None:
        """Ends the daemon and removes all that it had."""
        with contextlib.suppress(*SHAKY), contextlib.closing(self.client(10)) as client:
            for identity in self.containers():
                client.remove_container(identity, force=True)
        self.stop()
        for left in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        for place in sorted(self._mounts(), reverse=True):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[int]:
        """Its containerd and shims, which outlive a daemon that was killed."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def _mounts(self) -> list[str]:
        places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [place for place in places if place.startswith(f"{self.folder}/")]


def plain_system() -> bytes:
    """The Python image's files without its libraries, as tar writes them."""
    client = docker.APIClient(version="auto", timeout=120)
    with contextlib.closing(client), tempfile.TemporaryFile() as whole:
        made = client.create_container(images.recipe("python").tag, "true")
        try:
            for piece in client.export(made["Id"]):
                whole.write(piece)
        finally:
            client.remove_container(made["Id"])
        whole.seek(0)
        slim = io.BytesIO()
        with tarfile.open(fileobj=whole) as old, tarfile.open(fileobj=slim, mode="w") as new:
            for member in old:
                if "-packages/" not in member.name and "/share/" not in member.name:
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
        return slim.getvalue()
