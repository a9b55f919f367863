"""Runs in the box that fetches packages: one task for uv, told on standard input as JSON.

resolve: prints {"code", "said", "pylock", "python", "machine"}. install: prints {"got": [name,
version]} for each package that is there, then {"code", "said", "stopped", "bytes", "modules"}.
"""

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

task = json.loads(sys.stdin.read())
CACHE, TARGET = Path("/cache"), Path("/packages")
COMMON = ["--only-binary", ":all:", "--python", sys.executable, "--no-progress", "--color", "never"]
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
    done = subprocess.run(  # noqa: S603 - uv, and no shell
        [*compile.split(), *COMMON, *until], capture_output=True, text=True, errors="replace"
    )
    lock = Path("pylock.toml")
    python = ".".join(map(str, sys.version_info[:2]))
    tell(
        code=done.returncode,
        said=done.stderr[-8000:],
        pylock=lock.read_text() if lock.is_file() and not done.returncode else "",
        python=python,
        machine=platform.machine(),
    )


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
        if weight(TARGET) + sum(weight(place) for place in set(unpacked()) - before) > task["most"]:
            stopped = "size"
        elif free() < task["reserve"]:
            stopped = "disk"
        if stopped:
            uv.kill()
    reader.join(5)
    report(before, seen)
    names = {re.split(r"\.", path.name)[0] for path in TARGET.iterdir() if is_module(path)}
    code = 1 if stopped else uv.returncode
    tell(code=code, said="".join(said)[-8000:], stopped=stopped, bytes=weight(TARGET),
         modules=sorted(name for name in names if name.isidentifier()))  # fmt: skip


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


if task["task"] == "resolve":
    resolve()
else:
    install()
