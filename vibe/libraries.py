"""The JavaScript and CSS libraries that pages may load from `vendor/`: fetched once, then kept."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote, urlsplit

import platformdirs
import yaml

from vibe.settings import SANDBOXES

VENDOR = "vendor"
"""The folder that they are served from, beside the page."""
PACKED = 64 << 20
"""Bytes of a package's archive that are read."""
ANSWER_S = 60
"""How long a registry may say nothing."""
NO_REGISTRY = "no npm registry is set up here (NPM_CONFIG_REGISTRY, or npm's own settings)"


@dataclass(frozen=True, slots=True)
class Library:
    """One package of sandboxes/libraries.yaml."""

    package: str
    """Its name in the npm registry."""
    version: str
    integrity: str
    """The registry's: `sha512-` and the hash in base64."""
    licence: str
    about: str
    """What it is for and the name a page uses it by, in Markdown."""
    files: tuple[str, ...]
    """Patterns of the paths in the package that are kept."""
    main: str
    module: str = ""
    """What a module imports; empty when it only works from a <script>."""
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder it is served from: `pico` for `@picocss/pico`."""
        return self.package.rpartition("/")[2]

    @property
    def archive(self) -> str:
        """Where its archive is, seen from the registry: the same in every npm registry."""
        scoped = quote(self.package, safe="@/")
        return f"{scoped}/-/{self.name}-{self.version}.tgz"


def served(library: Library, path: str) -> str:
    """The address, seen from the page, of a file that has that path in its package."""
    return f"{VENDOR}/{library.name}/{path.partition('/')[2] or path}"


@cache
def all_libraries() -> tuple[Library, ...]:
    """Every library of the lock, there or not."""
    data = yaml.safe_load((SANDBOXES / "libraries.yaml").read_text("utf-8"))
    found = []
    for package, values in data.items():
        lists = {key: tuple(values.get(key, ())) for key in ("files", "aliases")}
        found.append(Library(package=package, **{**values, **lists}))
    return tuple(found)


def folder() -> Path:
    """Where this machine keeps them, a folder for each library and version."""
    return platformdirs.user_data_path("vibe") / "libraries"


def there(place: Path | None = None) -> tuple[Library, ...]:
    """The libraries that pages can have now."""
    return tuple(each for each in all_libraries() if _kept(each, place or folder()).is_dir())


def files_of(library: Library, place: Path | None = None) -> dict[str, bytes]:
    """Address → content of a library's files, its licence among them; empty when it isn't there."""
    root = _kept(library, place or folder())
    return {
        f"{VENDOR}/{library.name}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def told(place: Path | None = None) -> str:
    """A line of Markdown for each library that is there, for prompts and reports."""
    lines = []
    for each in there(place):
        kept = [served(each, path) for path in each.files if "*" not in path]
        lines.append(f"- {', '.join(f'`{path}`' for path in kept)}: {each.about}")
    return "\n".join(lines)


def fetch(
    environ: Mapping[str, str] = os.environ,
    place: Path | None = None,
    wanted: Sequence[Library] | None = None,
) -> dict[str, str]:
    """Gets every library (or those `wanted`) that isn't there yet; for those that could not be had
    says why, in a few words, by package. Never raises for what a registry does or doesn't."""
    root = place or folder()
    missing = [each for each in wanted or all_libraries() if not _kept(each, root).is_dir()]
    if not missing:
        return {}
    registry = registry_of(environ)
    if not registry:
        return {each.package: NO_REGISTRY for each in missing}
    root.mkdir(parents=True, exist_ok=True)
    asker = _asker(environ)

    def get(library: Library) -> tuple[str, str]:
        try:
            with asker.open(f"{registry}/{library.archive}", timeout=ANSWER_S) as answer:
                packed = answer.read(PACKED + 1)
            _keep(library, _files(library, packed), root)
        except (OSError, ValueError, tarfile.TarError) as error:
            # the address may hold a password, and an error may quote it
            said = str(error).replace(registry, "the registry")
            return library.package, f"{type(error).__name__}: {said}"[:200]
        return library.package, ""

    with ThreadPoolExecutor(4) as threads:
        return {package: why for package, why in threads.map(get, missing) if why}


def registry_of(environ: Mapping[str, str]) -> str:
    """The npm registry's address without a slash at its end, from npm's variable, from npm itself,
    or from ~/.npmrc; empty when there is none."""
    found = environ.get("NPM_CONFIG_REGISTRY") or environ.get("npm_config_registry") or ""
    npm = shutil.which("npm", path=environ.get("PATH"))
    if not found and npm:
        asked = [npm, "config", "get", "registry"]
        try:
            done = subprocess.run(  # noqa: S603 (a fixed program)
                asked, env=dict(environ), capture_output=True, text=True, timeout=30, check=True
            )
            found = done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            found = ""
    own = Path(environ.get("HOME", "~")).expanduser() / ".npmrc"
    if not found and own.is_file():
        said = re.search(r"^\s*registry\s*=\s*(\S+)", own.read_text("utf-8", "replace"), re.M)
        found = said[1] if said else ""
    try:
        fits = urlsplit(found).scheme in ("http", "https")
    except ValueError:
        fits = False
    return found.rstrip("/") if fits else ""


def _asker(environ: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """What asks the registry, by the machine's proxies and with its CA bundles."""
    context = ssl.create_default_context()
    for name in ("NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE", "npm_config_cafile", "SSL_CERT_FILE"):
        if (path := environ.get(name)) and Path(path).is_file():
            context.load_verify_locations(path)
    secure = urllib.request.HTTPSHandler(context=context)
    return urllib.request.build_opener(secure)


def _files(library: Library, packed: bytes) -> dict[str, bytes]:
    """The files of a package's archive that are kept, by the name they are kept under.

    Raises ValueError when it isn't the very archive of the lock."""
    algorithm, _, expected = library.integrity.partition("-")
    try:
        wanted = base64.b64decode(expected, validate=True)
    except binascii.Error as error:
        raise ValueError("its hash in the lock can't be read") from error
    if algorithm != "sha512" or hashlib.sha512(packed).digest() != wanted:
        raise ValueError("what came isn't what the lock says: its hash is another")
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            content = archive.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if any(fnmatchcase(path, pattern) for pattern in library.files):
                found[served(library, path).split("/", 2)[2]] = content.read()
            elif re.fullmatch(r"licen[cs]e(\.\w+)?", path, re.I):
                found["LICENSE"] = content.read()
    for pattern in library.files:
        if not any(fnmatchcase(name, pattern.partition("/")[2] or pattern) for name in found):
            raise ValueError(f"{pattern} is not in the package")
    return found


def _keep(library: Library, files: Mapping[str, bytes], root: Path) -> None:
    """Puts a library in its folder, whole or not at all."""
    made = Path(mkdtemp(prefix=".new-", dir=root))
    try:
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made.chmod(0o755)
        if not _kept(library, root).is_dir():
            made.rename(_kept(library, root))
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _kept(library: Library, root: Path) -> Path:
    return root / f"{library.name}-{library.version}"
