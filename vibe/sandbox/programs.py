"""Runs the system's own programs to their end, with what they print in the log."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from vibe.errors import EngineFault

log = logging.getLogger("vibe.setup")
"""Every line that the programs behind a step print, at level DEBUG."""

LAST_LINES = 12
"""How much of a failed program's output goes into the message."""


def run(argv: Sequence[str], what: str, stdout: IO[bytes] | None = None) -> None:
    """Runs a program with its output in the log, or its stdout in a file.

    Raises EngineFault ("<what> failed …") with its last lines when it fails or is missing."""
    command = shlex.join(argv)
    log.debug("$ %s", command)
    tail = deque[str](maxlen=LAST_LINES)
    try:
        with subprocess.Popen(  # noqa: S603 (argv is ours, never a model's)
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE if stdout else subprocess.STDOUT,
            env={**os.environ, "PATH": search_path(), "DEBIAN_FRONTEND": "noninteractive"},
        ) as process:
            for raw in process.stderr or process.stdout or ():
                line = raw.decode(errors="replace").rstrip()
                tail.append(line)
                log.debug("%s: %s", Path(argv[0]).name, line)
            code = process.wait()
    except OSError as error:
        raise EngineFault(f"{what} failed: {error}.", f"Run `{command}`.") from error
    if code != 0:
        raise EngineFault(failure(what, f"exit {code}", tail), f"Run `{command}` to see it all.")


def failure(what: str, where: str, tail: Iterable[str]) -> str:
    """What failed and where, then the last lines that were printed, indented."""
    shown = "\n".join(f"    {line}" for line in tail)
    return f"{what} failed{f' at {where!r}' if where else ''}:\n{shown}\n"


def installed(program: str) -> str | None:
    """Where a program is, system folders included; None when it isn't installed."""
    return shutil.which(program, path=search_path())


def search_path() -> str:
    """PATH with the folders of system programs, which a user's PATH may lack."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
