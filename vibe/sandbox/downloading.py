"""The wheels of a lock as files, for a machine without network: only those whose hashes it has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from vibe.errors import EngineFault, NoPackages
from vibe.sandbox.fetching import Fetcher, told_by
from vibe.sandbox.index_environment import IndexEnvironment
from vibe.sandbox.lock import Lock
from vibe.sandbox.package_faults import fault

MAX_WHEEL = 56 << 20
"""Bytes of one: it has to fit into the box's /work."""
PART = 16 << 20
"""Bytes of one file that comes over the pipe."""
MAX_BYTES = 160 << 20
"""Bytes of all wheels that a bundle has."""
LOCATE_S, DOWNLOAD_S = 90.0, 300.0
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,199}\.whl")


async def wheels(fetcher: Fetcher, environment: IndexEnvironment, wanted: Lock) -> dict[str, bytes]:
    """File name → content of one wheel for each package of the lock. Raises NoPackages."""
    known = {pin.name: pin.hashes for pin in wanted.pins}
    names = [f"{pin.name}=={pin.version}" for pin in wanted.pins]
    found: dict[str, bytes] = {}
    box = await fetcher(environment, "", LOCATE_S + DOWNLOAD_S)
    try:
        task: dict[str, Any] = {"task": "locate", "names": names}
        places = (await _answer(box, environment, task, LOCATE_S))["places"]
        for name, hashes in known.items():
            place = next((each for each in places if each["sha256"] in hashes), None)
            if place is None or not NAME.fullmatch(str(place["file"])):
                raise NoPackages(
                    f"The wheel of {name} that the app was locked to is not to be had any more.",
                    "Make the bundle without packages.",
                )
            task = {"task": "download", "place": place, "most": MAX_WHEEL, "part": PART}
            await _answer(box, environment, task, DOWNLOAD_S)
            parts = (await box.export("wheel", max_bytes=MAX_WHEEL)).files
            content = b"".join(parts[name] for name in sorted(parts))
            if hashlib.sha256(content).hexdigest() not in hashes:
                raise fault("hash mismatch", wanted.asked)
            found[str(place["file"])] = content
            if sum(map(len, found.values())) > MAX_BYTES:
                raise _too_large()
    finally:
        await box.stop()
    return found


async def _answer(
    box: Any, environment: IndexEnvironment, task: Mapping[str, Any], wall_s: float
) -> dict[str, Any]:
    answer = await told_by(box, environment, task, wall_s)
    if answer.get("stopped") == "size":
        raise _too_large()
    if answer["code"]:
        raise fault(str(answer["said"]), ())
    return answer


def _too_large() -> EngineFault:
    return NoPackages(
        f"The packages are too large for a bundle: {MAX_WHEEL >> 20} MB each and "
        f"{MAX_BYTES >> 20} MB together are the most.",
        "Make the bundle without packages.",
    )
