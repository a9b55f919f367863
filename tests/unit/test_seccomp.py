"""The system calls of a box: the profile is strict, and the check of it lets nothing loose by."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vibe.sandbox import seccomp
from vibe.settings import SANDBOXES

PROFILE: dict[str, Any] = json.loads((SANDBOXES / "seccomp.json").read_text("utf-8"))
ALLOWED = {
    name
    for rule in PROFILE["syscalls"]
    if rule["action"] == "SCMP_ACT_ALLOW"
    for name in rule["names"]
}


def weakness(change: dict[str, Any], *, also: dict[str, Any] | None = None) -> str:
    """What is found wrong with the profile with other top-level parts, or one more rule."""
    changed = copy.deepcopy(PROFILE) | change
    changed["syscalls"] += [also] if also else []
    return seccomp.weakness(json.dumps(changed))


def test_the_profile_of_boxes_is_strict() -> None:
    assert weakness({}) == ""


def test_the_profile_allows_what_programs_need() -> None:
    assert {"read", "openat", "execve", "clone", "futex", "memfd_create", "epoll_wait"} <= ALLOWED


@given(st.sampled_from(sorted(seccomp.FORBIDDEN)), st.sampled_from([[], [{"index": 0}]]))
def test_a_forbidden_call_is_found_in_any_rule(name: str, arguments: list[Any]) -> None:
    rule = {"names": ["read", name], "action": "SCMP_ACT_ALLOW", "args": arguments}
    assert name in weakness({}, also=rule)


@given(st.integers(0, 60), st.integers(0, 20), st.integers(0, 300))
@example(1, 5, 0)
@example(2, 1, 6)
@example(10, 2, 17)
@example(2, 5, 132)
@example(16, 3, 0)
def test_a_socket_of_another_family_or_protocol_is_found(
    family: int, kind: int, protocol: int
) -> None:
    by_family = {"index": 0, "op": "SCMP_CMP_EQ", "value": family}
    by_type = {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 15, "valueTwo": kind}
    by_protocol = {"index": 2, "op": "SCMP_CMP_EQ", "value": protocol}
    rule = {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [by_family]}
    assert bool(weakness({}, also=rule)) == (family != 1)
    rule["args"] = [by_family, by_protocol]
    assert bool(weakness({}, also=rule)) == ((family, protocol) != (16, 0))
    rule["args"] = [by_family, by_type, by_protocol]
    fine = family in (2, 10) and (kind, protocol) in ((1, 0), (1, 6), (2, 0), (2, 17))
    assert bool(weakness({}, also=rule)) == (not fine)


@pytest.mark.parametrize(
    "rule",
    [
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["socket", "read"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 0x10000000}],
        },
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": []},
        {"names": ["prlimit64"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["prlimit64"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}],
        },
        {"names": ["read"], "action": "SCMP_ACT_TRACE"},
        {"names": ["read"], "action": "SCMP_ACT_NOTIFY"},
        {"names": "mount", "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "listenerPath": "/x"},
        {"action": "SCMP_ACT_ALLOW"},
        [],
    ],
)
def test_a_loose_or_unreadable_rule_is_found(rule: dict[str, Any]) -> None:
    assert weakness({}, also=rule or {"x": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_ALLOW"},
        {"defaultAction": "SCMP_ACT_LOG"},
        {"defaultErrnoRet": 0},
        {"archMap": [{"architecture": "SCMP_ARCH_X86", "subArchitectures": []}]},
        {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]},
        {"architectures": ["SCMP_ARCH_X86"]},
        {"flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]},
        {"syscalls": None},
    ],
)
def test_a_loose_profile_is_found(change: dict[str, Any]) -> None:
    assert seccomp.weakness(json.dumps({**PROFILE, **change}))


@given(st.text(max_size=200) | st.binary(max_size=50).map(str))
def test_what_is_no_profile_is_never_taken_for_one(text: str) -> None:
    assert seccomp.weakness(text)
