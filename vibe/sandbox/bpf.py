"""Compiles a profile of system calls in Docker's format to the kernel's own, with libseccomp."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import platform
import tempfile
from typing import Any

from vibe.errors import EngineFault

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARE = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machine's names of the processors that profiles know, and Docker's."""
_UNKNOWN = -1


class _Argument(ctypes.Structure):
    """`struct scmp_arg_cmp` of seccomp.h."""

    _fields_ = [
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    ]


def compiled(profile: str) -> bytes:
    """The filter as `bwrap --seccomp` reads it, for this machine's processor only.

    Raises EngineFault without libseccomp, or for a profile that it can't express."""
    library = _library()
    arch = _ARCHES.get(platform.machine())
    if arch is None:
        raise EngineFault(f"There is no system-call filter for {platform.machine()} processors.")
    data = json.loads(profile)
    context = library.seccomp_init(_action(data["defaultAction"], data.get("defaultErrnoRet", 1)))
    if not context:
        raise EngineFault("libseccomp can't begin a filter.")
    try:
        for rule in data["syscalls"]:
            arches = rule.get("includes", {}).get("arches")
            if arches is None or arch in arches:
                _add(library, context, rule)
        with tempfile.TemporaryFile() as file:
            _check(library.seccomp_export_bpf(context, file.fileno()), "write the filter")
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: dict[str, Any]) -> None:
    if extra := set(rule.get("includes", {})) - {"arches"}:
        raise EngineFault(f"The system-call profile has a condition {min(extra)}.")
    given = rule.get("args") or []
    arguments = (_Argument * len(given))()
    for place, one in enumerate(given):
        operation = _COMPARE[one["op"]]
        arguments[place] = _Argument(one["index"], operation, one["value"], one.get("valueTwo", 0))
    action = _action(rule["action"], rule.get("errnoRet", 1))
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:
            continue  # a call newer than this libseccomp: refused, as all that isn't named
        found = library.seccomp_rule_add_array(context, action, number, len(given), arguments)
        _check(found, f"add {name}")


def _action(name: str, errno: int) -> int:
    return _ALLOW if name == "SCMP_ACT_ALLOW" else _ERRNO | errno


def _check(result: int, what: str) -> None:
    if result < 0:
        raise EngineFault(f"libseccomp can't {what}: {os.strerror(-result)}.")


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise EngineFault(
            "There is no libseccomp, which filters the system calls of boxes.",
            "Install it (Debian: `apt-get install libseccomp2`).",
        ) from error
    library.seccomp_init.argtypes, library.seccomp_init.restype = [ctypes.c_uint32], ctypes.c_void_p
    library.seccomp_release.argtypes, library.seccomp_release.restype = [ctypes.c_void_p], None
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Argument),
    ]
    return library
