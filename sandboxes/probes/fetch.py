"""Runs in the box that fetches packages: one task for uv, told on standard input as JSON.

resolve: prints {"code", "said", "pylock", "python", "machine"}. install: prints {"got": [name,
version]} for each package that is there, then {"code", "said", "stopped", "bytes", "modules"}.
locate: prints {"code", "said", "places"}, a wheel for each name with its sha256. download: puts one
of them into wheel/, in parts whose names are in order, and prints {"code", "said", "stopped"}.
"""

import contextlib
import http.client
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

task = json.loads(sys.stdin.read())
CACHE, TARGET = Path("/cache"), Path("/packages")
COMMON = ["--only-binary", ":all:", "--python", sys.executable, "--no-progress", "--color", "never"]
if "UV_NO_INDEX" in task["variables"]:  # uv reads no such variable
    COMMON.append("--no-index")
if task.get("apart"):
    CACHE = TARGET / ".cache"
os.environ |= {
    **task["variables"],
    "UV_CACHE_DIR": str(CACHE),
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_NO_CONFIG": "1",
    "UV_HTTP_TIMEOUT": "30",
    "UV_HTTP_RETRIES": "2",
    "UV_OFFLINE": "1" if task["offline"] else "0",
}


def resolve():
    until = ["--exclude-newer", task["until"]] if task["until"] else []
    Path("names.in").write_text("".join(f"{name}\n" for name in task["names"]))
    Path("image.txt").write_text("".join(f"{pin}\n" for pin in task["present"]))
    compile = "uv pip compile names.in -c image.txt --format pylock.toml -o pylock.toml --no-header"
    known = set()
    while True:
        done = subprocess.run(  # noqa: S603 - uv, and no shell
            [*compile.split(), *COMMON, *until], capture_output=True, text=True, errors="replace"
        )
        # an index of the machine's own may say no dates: of those packages alone any age will do
        new = undated(done.stderr) - known if done.returncode and task["undated"] else set()
        if not new or len(known) > 500:
            break
        known |= new
        until += [part for name in new for part in ("--exclude-newer-package", f"{name}=false")]
    lock = Path("pylock.toml")
    python = ".".join(map(str, sys.version_info[:2]))
    tell(
        code=done.returncode,
        said=done.stderr[-8000:],
        pylock=lock.read_text() if lock.is_file() and not done.returncode else "",
        python=python,
        machine=platform.machine(),
    )


def undated(said):
    """Names of the packages of whose files uv says that the index gives no date."""
    files = re.findall(r"`([^`\s/]+)` is missing an upload date", said)
    stems = (f.split("-")[0] if f.endswith(".whl") else f.rsplit("-", 1)[0] for f in files)
    return {re.sub(r"[-_.]+", "-", stem).lower() for stem in stems}


def install():
    if free() < task["reserve"]:
        tell(code=1, said="", stopped="disk", bytes=0, modules=[])
        return
    Path("lock.txt").write_text(task["lock"])
    before = set(unpacked())
    install = "uv pip install -r lock.txt --require-hashes --no-deps --compile-bytecode"
    uv = subprocess.Popen(  # noqa: S603 - uv, and no shell
        [*install.split(), "--link-mode", "copy", "--target", str(TARGET), *COMMON],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    said = []
    reader = threading.Thread(target=lambda: said.extend(uv.stderr), daemon=True)
    reader.start()
    seen, stopped = set(), ""
    while uv.poll() is None:
        time.sleep(0.15)
        report(before, seen)
        others = () if task.get("apart") else set(unpacked()) - before
        if weight(TARGET) + sum(map(weight, others)) > task["most"]:
            stopped = "size"
        elif free() < task["reserve"]:
            stopped = "disk"
        if stopped:
            uv.kill()
    reader.join(5)
    report(before, seen)
    if task.get("apart"):
        shutil.rmtree(CACHE, ignore_errors=True)
    names = {re.split(r"\.", path.name)[0] for path in TARGET.iterdir() if is_module(path)}
    code = 1 if stopped else uv.returncode
    tell(code=code, said="".join(said)[-8000:], stopped=stopped, bytes=weight(TARGET),
         modules=sorted(name for name in names if name.isidentifier()))  # fmt: skip


def locate():
    Path("names.in").write_text("".join(f"{name}\n" for name in task["names"]))
    compile = "uv pip compile names.in --no-deps --format pylock.toml -o pylock.toml --no-header"
    done = subprocess.run(  # noqa: S603 - uv, and no shell
        [*compile.split(), *COMMON], capture_output=True, text=True, errors="replace"
    )
    places = []
    if not done.returncode:
        for package in tomllib.loads(Path("pylock.toml").read_text()).get("packages", []):
            for wheel in package.get("wheels", []):
                where = wheel.get("url") or wheel["path"]
                file = wheel.get("name") or unquote(urlsplit(where).path).rpartition("/")[2]
                places.append({"file": file, "where": where, "sha256": wheel["hashes"]["sha256"]})
    tell(code=done.returncode, said=done.stderr[-8000:], places=places)


def download():
    where, folder = task["place"]["where"], Path("wheel")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    said, stopped = "", ""
    try:
        address = urlsplit(where)
        if address.scheme in ("http", "https"):
            bare = address._replace(netloc=address.netloc.rpartition("@")[2])
            request = urllib.request.Request(urlunsplit(bare))  # noqa: S310
            if known := password(address):
                # not carried on when another host is named instead
                request.add_unredirected_header("Authorization", "Basic " + known)
            opened = urllib.request.urlopen(request, timeout=60)  # noqa: S310
        else:
            opened = Path(unquote(address.path)).open("rb")  # noqa: SIM115 - closed below
        with opened as source:
            size = 0
            while data := source.read(task["part"]):
                size += len(data)
                if size > task["most"]:
                    stopped = "size"
                    break
                (folder / f"{size:012}").write_bytes(data)
    except (OSError, http.client.HTTPException) as error:
        said = f"failed to download: {error}"
    tell(code=1 if said or stopped else 0, said=said, stopped=stopped)


def password(address):
    """What opens an address, as basic authentication has it: its own, or that of its index."""
    named = [
        *task["variables"].get("UV_INDEX", "").split(),
        task["variables"].get("UV_FIND_LINKS", ""),
    ]
    for place in (address, *map(index, (task["variables"].get("UV_DEFAULT_INDEX", ""), *named))):
        user, at, host = place.netloc.rpartition("@")
        if at and host == address.netloc.rpartition("@")[2]:
            return b64encode(unquote(user).encode()).decode()
    return ""


def index(said):
    """An index's address: it may have a name before it, and its password in variables."""
    name, equals, address = said.partition("=")
    if not equals or "/" in name:
        return urlsplit(said)
    place, start = urlsplit(address), f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', name.upper())}_"
    user = task["variables"].get(start + "USERNAME", "")
    secret = task["variables"].get(start + "PASSWORD", "")
    return place._replace(netloc=f"{user}:{secret}@{place.netloc}") if user or secret else place


def unpacked():
    """What uv has unpacked, or is about to, in its cache."""
    for folder in (CACHE, CACHE / "archive-v0"):
        for path in folder.iterdir() if folder.is_dir() else ():
            if folder != CACHE or path.name.startswith(".tmp"):
                yield path


def report(before, seen):
    """Tells of packages that were not seen before, in the cache or at their place."""
    for place in (*(set(unpacked()) - before), TARGET):
        try:
            found = [path.name for path in place.iterdir() if path.name.endswith(".dist-info")]
        except OSError:
            continue
        for name in set(found) - seen:
            seen.add(name)
            tell(got=name.removesuffix(".dist-info").rsplit("-", 1))


def is_module(path):
    if path.is_dir():
        return path.name not in ("bin", "share", "include", "lib", "__pycache__", "etc")
    return path.suffix in (".py", ".so")


def weight(top):
    """Bytes below a folder; what vanishes meanwhile weighs nothing."""
    total = 0
    for folder, _, files in os.walk(top):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def free():
    disk = os.statvfs(TARGET)
    return disk.f_bavail * disk.f_frsize


def tell(**said):
    print(json.dumps(said), flush=True)


{"resolve": resolve, "install": install, "locate": locate, "download": download}[task["task"]]()
