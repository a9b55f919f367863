"""What is special to bubblewrap: no daemon sees to limits, rights and the end of a box."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vibe.checks import examine
from vibe.errors import EngineFault
from vibe.kinds import kind
from vibe.opening import open_engine
from vibe.plan import Plan
from vibe.sandbox import bpf, cgroups, fitness, policy
from vibe.sandbox.box import PipeBox
from vibe.sandbox.box_environment import environment
from vibe.sandbox.bubblewrap import BubblewrapEngine, MemoryEvidence
from vibe.sandbox.engine import BoxSpec
from vibe.sandbox.link import Link
from vibe.sandbox.process_pipe import ProcessPipe
from vibe.sandbox.wrapping import command
from vibe.settings import ROOT, SANDBOXES, Limits, Settings
from vibe.verdict import judge

pytestmark = pytest.mark.bubblewrap

KILLED = """
import asyncio, sys
from pathlib import Path
from vibe.sandbox.bubblewrap import BubblewrapEngine
from vibe.sandbox.engine import BoxSpec
async def main():
    engine = await BubblewrapEngine.open(gallery=Path(sys.argv[1]))
    boxes = [await engine.start(BoxSpec()) for _ in range(3)]
    runs = [asyncio.create_task(box.run(["sleep", sys.argv[2]], wall_s=None)) for box in boxes]
    print("ready", flush=True)
    await asyncio.gather(*runs)
asyncio.run(main())
"""
MARK = "86397"


def asleep() -> int:
    """How many processes of this machine sleep as long as the test's."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += path.read_bytes().split(b"\0")[:2] == [b"sleep", MARK.encode()]
    return found


async def test_killing_vibe_leaves_no_process_and_the_next_one_clears_up(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path), MARK]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as vibe:
        assert vibe.stdout
        assert vibe.stdout.readline() == b"ready\n"
        async with asyncio.timeout(30):
            while asleep() < 3:
                await asyncio.sleep(0.05)
        vibe.kill()
    async with asyncio.timeout(30):
        while asleep():
            await asyncio.sleep(0.05)
    engine = await BubblewrapEngine.open(gallery=tmp_path)
    try:
        mine = await engine.start(BoxSpec())
        assert len(await engine.sweep()) == 3
        assert await engine.sweep() == []
        assert (await mine.run(["true"])).ok
    finally:
        await engine.close()
    places = cgroups.find()
    assert places
    assert mine.id not in cgroups.groups(places)


async def test_a_user_without_control_groups_has_a_limit_for_each_process(tmp_path: Path) -> None:
    """As any user of the machine: the rest of the box is the same."""
    rules = policy.load(SANDBOXES / "policy.yaml")
    wanted = environment("python")
    with open(os.memfd_create("filter"), "w+b") as file:  # noqa: PTH123 (a descriptor)
        file.write(bpf.compiled(rules.seccomp))
        file.seek(0)
        argv = command(
            environment=wanted.folder,
            interpreter=wanted.interpreter,
            allowance=rules.images["python"],
            env=rules.env,
            name="test",
            root=False,
            filter_fd=file.fileno(),
        )
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        pipe = await ProcessPipe.start([*user, *argv], descriptors=[file.fileno()])
        link = await Link.start(pipe, lifetime_s=60)
    box = PipeBox(
        link, id="test", engine="bubblewrap", image="", lifetime_s=60,
        memory=MemoryEvidence(None), remove=pipe.end,
    )  # fmt: skip
    try:
        assert fitness.gaps(await fitness.found(box)) == []
        outcome = await box.run(["python", "-c", "bytearray(3 << 30)"])
        assert outcome.how == "error"
        assert b"MemoryError" in outcome.stderr
    finally:
        await box.stop()


async def test_no_process_is_started_by_a_command_that_is_not_allowed(tmp_path: Path) -> None:
    """The real engine with a slip in its policy: refused before there is a box, and after it, none
    of its control groups is left."""
    engine = await BubblewrapEngine.open(gallery=tmp_path)
    rules = engine._policy
    engine._policy = replace(rules, env={**rules.env, "LD_PRELOAD": "/work/x.so"})
    places = cgroups.find()
    assert places
    try:
        with pytest.raises(EngineFault, match="LD_PRELOAD"):
            await engine.start(BoxSpec())
        assert not [name for name in cgroups.groups(places) if name.startswith(engine._label)]
        engine._policy = rules
        assert (await (await engine.start(BoxSpec())).run(["true"])).ok
    finally:
        await engine.close()


async def test_what_only_docker_has_is_refused(tmp_path: Path) -> None:
    engine = await BubblewrapEngine.open(gallery=tmp_path)
    try:
        present = environment("python").id
        assert await engine.image(present, "") == present
        assert await engine.image("sha256:" + "0" * 64, "") == ""
        with pytest.raises(EngineFault, match="Docker"):
            await engine.start(BoxSpec(image="node"))
        with pytest.raises(EngineFault, match="not installed"):
            await engine.start(BoxSpec(packages="0" * 64))
        with pytest.raises(EngineFault, match="gone"):
            await engine.start(BoxSpec(image_id="sha256:" + "0" * 64))
    finally:
        await engine.close()


async def test_it_is_used_when_it_is_asked_for_and_never_for_a_docker_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, fault = await open_engine(Settings(gallery=tmp_path, engine="bubblewrap"))
    assert engine is not None
    assert (engine.name, fault) == ("bubblewrap", None)
    await engine.close()
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    engine, fault = await open_engine(Settings(gallery=tmp_path))
    assert engine is None
    assert fault is not None


async def test_an_app_is_made_and_its_verdict_says_how_it_was_isolated(tmp_path: Path) -> None:
    engine = await BubblewrapEngine.open(gallery=tmp_path)
    try:
        emitted: list[object] = []
        plan = Plan("Six", "script")
        found = await examine(
            kind("script"), {"main.py": "import pandas\nprint(pandas.Series([1, 2, 3]).sum())\n"},
            plan, engine=engine, app_id="six", data={}, limits=Limits(), eyes=None,
            emit=emitted.append,
        )  # fmt: skip
        assert found.runs, found.rungs
        verdict = judge(kind("script"), plan, found, engine)
        assert verdict.isolation == "bubblewrap"
        assert "Reduced isolation" in verdict.sentence
    finally:
        await engine.close()


def test_a_profile_with_a_condition_that_is_not_known_is_refused() -> None:
    profile = '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": '
    with pytest.raises(EngineFault, match="minKernel"):
        bpf.compiled(profile + '"SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}}]}')
