"""The self-test of an engine: what a box says of itself, and what of it is not as it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vibe.sandbox.engine import Box

SELF_TEST = """\
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
wanted = ("Uid", "CapBnd", "NoNewPrivs", "Seccomp")
found = {key: status.get(key, "").strip() for key in wanted}
found["kernel"] = os.uname().release
try:
    found["pipe"] = "open" if os.listdir("/proc/1/fd") else "closed"
except OSError:
    found["pipe"] = "closed"
found["left"] = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found["left"] += b"86399" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
    except OSError:
        pass
room = os.statvfs("/work")
found["work"] = "limited" if room.f_blocks * room.f_frsize < 1 << 40 else "unlimited"
found["net"] = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
try:
    open("/probe", "w")
    found["root"] = "writable"
except OSError:
    found["root"] = "read-only"
print(json.dumps(found))
"""
EXPECTED = {
    "Uid": "10001\t10001\t10001\t10001",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "net": ["lo"],
    "root": "read-only",
    "pipe": "closed",
    "left": 0,
    "work": "limited",
}
LEAVES = ["sh", "-c", "setsid sleep 86399 & exit 0"]
"""A command that leaves a process behind, which must be gone when the self-test looks."""
OF_THE_KERNEL = ("NoNewPrivs", "Seccomp")
"""What gVisor has no need to say: its programs never reach the machine's kernel."""


async def found(box: Box) -> dict[str, Any]:
    """What a fresh box says of itself; empty when it says nothing.

    Raises EngineFault or ValueError when it can't be asked."""
    await box.run(LEAVES, wall_s=10)
    outcome = await box.run(["python", "-I", "-c", SELF_TEST], wall_s=10)
    said = json.loads(outcome.stdout) if outcome.ok else {}
    return said if isinstance(said, dict) else {}


def gaps(said: Mapping[str, Any], *, kernel: str = "") -> list[str]:
    """What of it is not as it must be; `kernel` is the machine's, where boxes must not be on it."""
    own = OF_THE_KERNEL if kernel else ()
    wrong = [key for key, value in EXPECTED.items() if said.get(key) != value and key not in own]
    return wrong + ["kernel"] * (bool(kernel) and said.get("kernel") == kernel)
