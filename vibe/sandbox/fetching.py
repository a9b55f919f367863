"""One task for the box that fetches packages, told over its pipe, and what it answers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from vibe.errors import NoPackages
from vibe.sandbox.engine import Box
from vibe.sandbox.index_environment import BUNDLE, IndexEnvironment
from vibe.sandbox.package_faults import fault
from vibe.settings import SANDBOXES

Fetcher = Callable[[IndexEnvironment, str, float], Awaitable[Box]]
"""A box with network for so many seconds, with a part of the store to fill, or none."""


async def told_by(
    box: Box,
    environment: IndexEnvironment,
    task: Mapping[str, Any],
    wall_s: float,
    heard: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """What the box's last line says; each line before it goes to `heard`. Raises NoPackages."""
    await box.put({BUNDLE: environment.bundle})
    said = dict(task)
    said.setdefault("offline", False)
    said["variables"] = dict(environment.variables)
    program = (SANDBOXES / "probes" / "fetch.py").read_text("utf-8")
    pending = b""

    def listen(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        nonlocal pending
        if stream == "stdout" and heard is not None:
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                if found := _line(line):
                    heard(found)

    outcome = await box.run(
        ["python", "-I", "-c", program],
        stdin=json.dumps(said).encode(),
        wall_s=wall_s,
        on_output=listen,
    )
    if outcome.how == "timeout":
        raise NoPackages(f"The packages took longer than {wall_s:.0f} seconds.", "Try again later.")
    lines = outcome.stdout.strip().splitlines()
    answer = _line(lines[-1]) if lines else None
    if answer is None or "code" not in answer:
        evidence = outcome.stderr.decode("utf-8", "replace")[-2000:]
        raise fault(evidence or f"the fetching box ended with {outcome.how}", ())
    return answer


def _line(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
