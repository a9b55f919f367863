"""What bubblewrap's boxes have of Python: folders of Vibe's own, made from the images' locks."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from vibe.errors import EngineFault
from vibe.sandbox import images, programs
from vibe.sandbox.folders import FolderStore
from vibe.sandbox.wrapping import ENVIRONMENT, ETC, UID, parts_of_etc
from vibe.settings import SANDBOXES

Name = Literal["python", "browser", "packages"]
NAMES: tuple[Name, ...] = ("python", "browser", "packages")
"""As Docker's images: apps run in `python`, are looked at in `browser`; `packages` has uv."""
LEAST = (3, 11)
"""The oldest Python that the locks are for."""
OF_THE_SYSTEM = Path("/var/lib/vibe/boxes")
"""Where root's are: another user runs the boxes, and may not look into root's own folders."""
LAYOUT = "1"
"""Changes when a folder is made in another way from the same lock."""
_ETC = {
    "passwd": f"box:x:{UID}:{UID}:box:/tmp/home:/usr/sbin/nologin\n",
    "group": f"box:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_ETC_WITH_NETWORK = {
    **_ETC,
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "",
}


@dataclass(frozen=True, slots=True)
class Environment:
    """One box environment, there or not yet."""

    name: Name
    id: str
    """`sha256:` over its lock, its Python and its layout: what an image's id is to Docker."""
    folder: Path
    interpreter: Path
    """The installation of the Python that it stands on."""
    python: Path

    @property
    def built(self) -> bool:
        return self.folder.is_dir()


def environment(name: Name) -> Environment:
    """The present one of that name. Raises EngineFault when no Python can be shown to boxes."""
    python, interpreter, version = _python()
    lock = _lock(name).read_bytes()
    said = "\0".join((name, LAYOUT, version, platform.machine(), *parts_of_etc()))
    digest = hashlib.sha256(said.encode() + b"\0" + lock).hexdigest()
    folder = place() / f"{name}-{digest[:12]}"
    return Environment(name, f"sha256:{digest}", folder, interpreter, python)


def build(wanted: Environment) -> None:
    """Makes the folder, whole or not at all; older ones of that name go. Raises EngineFault."""
    part = wanted.folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    what = f"Making the {wanted.name} environment for boxes"
    programs.run([str(wanted.python), "-m", "venv", "--without-pip", str(part)], what)
    lock = _lock(wanted.name)
    install = [sys.executable, "-m", "pip", "--python", str(part / "bin" / "python"), "install"]
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--require-hashes"]
    programs.run([*install, *options, "--only-binary", ":all:", "-r", str(lock)], what)
    for script in (part / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_bytes()
            script.write_bytes(text.replace(os.fsencode(part), ENVIRONMENT.encode()))
    _write_etc(part / ETC, _ETC_WITH_NETWORK if wanted.name == "packages" else _ETC)
    part.rename(wanted.folder)
    for other in wanted.folder.parent.glob(f"{wanted.name}-*"):
        if other != wanted.folder:
            shutil.rmtree(other, ignore_errors=True)


def _lock(name: Name) -> Path:
    """The images' lock of that name; what fetches packages is uv alone."""
    return SANDBOXES / f"{'uv' if name == 'packages' else name}-requirements.txt"


def _write_etc(folder: Path, files: Mapping[str, str]) -> None:
    """The boxes' own /etc, with places where parts of the machine's are mounted."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    for part in parts_of_etc():
        place = folder / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if Path("/etc", part).is_dir():
            place.mkdir()
        else:
            place.touch()


def chromium() -> bool:
    """Whether the machine has a browser that a box can use."""
    return any(Path("/usr/bin", name).exists() for name in ("chromium-headless-shell", "chromium"))


def recipe() -> str:
    """The digest of the image's recipe that a `python` environment stands for."""
    return images.recipe("python").digest


def place() -> Path:
    """The folder that environments are in."""
    return OF_THE_SYSTEM if os.geteuid() == 0 else platformdirs.user_data_path("vibe") / "boxes"


def store(mark: str = "") -> FolderStore:
    """Where the packages of apps are, for every gallery on this machine."""
    owner = int(UID) if os.geteuid() == 0 else None
    return FolderStore(place().with_name("packages"), owner, mark)


def _python() -> tuple[Path, Path, str]:
    """A Python for boxes, the installation around it, and its version."""
    system = Path("/usr/bin/python3")
    if system.exists():
        version = _version(system)
        if tuple(map(int, version.split(".")[:2])) >= LEAST:
            return system, Path("/usr"), version
    base = Path(sys.base_prefix)
    if all(_open_to_all(folder) for folder in (base, *base.parents)):
        return base / "bin" / "python3", base, platform.python_version()
    raise EngineFault(
        "No Python 3.11 or newer can be shown to boxes.",
        "Install your system's (Debian: `apt-get install python3`).",
    )


def _open_to_all(folder: Path) -> bool:
    return os.geteuid() != 0 or folder.stat().st_mode & 0o005 == 0o005


def _version(python: Path) -> str:
    """`0.0` when it doesn't say."""
    try:
        said = subprocess.run(  # noqa: S603 (the system's own)
            [python, "-I", "-S", "-c", "import platform; print(platform.python_version())"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "0.0"
    return said.stdout.strip()
