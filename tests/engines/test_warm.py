"""Boxes that stand ready: each used once, the same to a program as any other, none left over."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import docker
import pytest

from tests.scripted import code, plan
from tests.wire.server import Exchange, ModelServer, streams
from vibe.errors import EngineFault
from vibe.kinds import kinds
from vibe.opening import open_studio
from vibe.running import app_box, open_box, serve
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import Box, BoxSpec
from vibe.sandbox.owners import gallery_label
from vibe.sandbox.warm import WarmEngine
from vibe.settings import Settings

pytestmark = pytest.mark.docker

PROGRAM = ("python", "-m", "program")
PROGRAMS = {PROGRAM: ("decimal",), ("python", "-m", "other"): ()}

ABOUT = b"""
import json, os, resource, signal, sys
about = {
    "argv": [sys.argv, sys.orig_argv], "name": __name__, "file": __file__,
    "spec": __spec__.name, "globals": sorted(globals()), "path": sys.path,
    "env": {k: v for k, v in os.environ.items() if k != "HOSTNAME"},
    "cwd": os.getcwd(), "ids": [os.getuid(), os.getgid()],
    "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)],
    "nice": os.nice(0), "leads": os.getsid(0) == os.getpid(), "umask": os.umask(0),
    "signals": [str(signal.getsignal(n)) for n in (2, 13, 15, 17)],
    "open": [n for n in range(3, 200) if os.path.exists(f"/proc/self/fd/{n}")],
    "input": sys.stdin.read(), "children": open(f"/proc/self/task/{os.getpid()}/children").read(),
}
print(json.dumps({"about": about, "warm": "decimal" in sys.modules}))
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[DockerEngine]:
    engine = await DockerEngine.open(gallery=tmp_path)
    yield engine
    await engine.close()


@pytest.fixture
async def warm(engine: DockerEngine) -> AsyncIterator[WarmEngine]:
    """An engine with two boxes that stand ready for PROGRAMS."""
    warm = WarmEngine(engine, PROGRAMS, 2, lambda count: True, rest_s=0.0)
    warm.expect("it-1")
    warm.expect("it-2")
    await until(lambda: warm.ready == 2)
    yield warm
    await warm.close()


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():
            await asyncio.sleep(0.05)


def names(gallery: Path) -> list[str]:
    """Of the gallery's containers."""
    client = docker.APIClient()
    try:
        label = f"vibe.gallery={gallery_label(gallery)}"
        return [c["Names"][0] for c in client.containers(all=True, filters={"label": label})]
    finally:
        client.close()


async def one_box(engine: WarmEngine, **more: object) -> Box:
    return await engine.start(BoxSpec(app="it-1", lifetime_s=120, programs=(PROGRAM,), **more))  # type: ignore[arg-type]


async def test_a_program_notices_no_difference_but_what_is_imported(
    warm: WarmEngine, engine: DockerEngine
) -> None:
    outcomes = []
    for box in (await one_box(warm), await engine.start(BoxSpec(app="cold"))):
        await box.put({"program.py": ABOUT})
        first = await box.run([*PROGRAM, "--flag", ""], stdin=b"hello")
        again = await box.run([*PROGRAM, "--flag", ""], stdin=b"hello")
        outcomes.append([json.loads(outcome.stdout) for outcome in (first, again)])
    (ready, second), (cold, _) = outcomes
    assert [ready["warm"], second["warm"], cold["warm"]] == [True, False, False]
    assert ready["about"] == second["about"] == cold["about"]


async def test_a_module_that_stood_ready_is_run_without_a_warning(engine: DockerEngine) -> None:
    argv, outcomes = ["python", "-m", "html.parser"], []
    for modules in (["html.parser"], None):
        box = await engine.start(BoxSpec())
        if modules:
            await box.prepare(argv, modules)
        outcomes.append(await box.run(argv))
        await box.stop()
    assert [(o.exit_code, o.stdout, o.stderr) for o in outcomes] == [(0, b"", b"")] * 2


async def test_a_program_from_standard_input_notices_none_either(engine: DockerEngine) -> None:
    argv = ["python", "-", "app.py"]
    outcomes = []
    for modules in (["decimal"], None):
        box = await engine.start(BoxSpec())
        if modules:
            await box.prepare(argv, modules)
        await box.put({"app.py": b""})
        source = ABOUT.replace(b"__spec__.name", b"__spec__").replace(b"__file__", b"__doc__")
        found = json.loads((await box.run([*argv, "--flag"], stdin=source)).stdout)
        failed = await box.run(argv, stdin=b"def fail():\n    1 / 0\n\nfail()\n")
        outcomes.append((found["warm"], found["about"], failed.exit_code, failed.stderr))
        await box.stop()
    (ready, *as_ready), (cold, *as_cold) = outcomes
    assert (ready, cold) == (True, False)
    assert not {n: (v, as_cold[0][n]) for n, v in as_ready[0].items() if v != as_cold[0][n]}
    assert as_ready[1:] == as_cold[1:]


async def test_a_program_asked_for_while_its_modules_are_imported_has_them(
    engine: DockerEngine,
) -> None:
    box = await engine.start(BoxSpec())
    preparing = asyncio.create_task(box.prepare(PROGRAM, ["pandas"]))
    await box.put({"program.py": b"import sys; print('pandas' in sys.modules)"})
    assert (await box.run(PROGRAM)).stdout == b"True\n"
    await preparing
    await box.stop()


async def test_a_traceback_and_an_exit_status_are_the_same(
    warm: WarmEngine, engine: DockerEngine
) -> None:
    said = []
    for box in (await one_box(warm), await engine.start(BoxSpec())):
        await box.put({"program.py": b"def fail():\n    1 / 0\n\nfail()\n"})
        outcome = await box.run(PROGRAM)
        said.append((outcome.how, outcome.exit_code, outcome.stderr))
    assert said[0] == said[1]
    assert b"ZeroDivisionError" in said[0][2]


async def test_a_file_named_like_an_imported_module_still_wins(warm: WarmEngine) -> None:
    box = await one_box(warm)
    await box.put({"program.py": b"import decimal; print(decimal.__file__)", "decimal.py": b""})
    assert (await box.run(PROGRAM)).stdout == b"/work/decimal.py\n"


async def test_a_program_that_stood_ready_is_killed_with_all_it_started(warm: WarmEngine) -> None:
    box = await one_box(warm)
    await box.put({"program.py": b"import os, time\nos.fork()\nos.fork()\ntime.sleep(600)\n"})
    assert (await box.run(PROGRAM, wall_s=1.0)).how == "timeout"
    left = await box.run(["sh", "-c", "grep -l program /proc/[0-9]*/cmdline | grep -v self; true"])
    assert b"program" not in left.stdout
    assert (await box.run(["python", "-c", "raise SystemExit(3)"])).exit_code == 3


async def test_a_claimed_box_has_only_what_it_needs_and_can_not_reach_the_pipe(
    warm: WarmEngine,
) -> None:
    box = await one_box(warm)
    look = b"""
import os, time
for _ in range(100):  # what was killed at the claim may still be on its way out
    lines = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            lines.append(f"{pid} {open(f'/proc/{pid}/cmdline').read().count('def wait')}")
            os.listdir(f"/proc/{pid}/fd")
        except OSError as error:
            lines.append(f"{pid} {type(error).__name__}")
    if sum(line.endswith(" 1") for line in lines) == 1:
        break
    time.sleep(0.1)
print(*lines, sep=chr(10))
"""
    await box.put({"program.py": look})
    lines = (await box.run(PROGRAM)).stdout.decode().splitlines()
    assert "1 PermissionError" in lines
    assert len([line for line in lines if line.endswith(" 1")]) == 1, lines  # itself


async def test_many_that_want_one_at_once_each_get_their_own(
    warm: WarmEngine, tmp_path: Path
) -> None:
    before = set(names(tmp_path))
    boxes = await asyncio.gather(
        *(warm.start(BoxSpec(app=f"app-{n}", programs=(PROGRAM,))) for n in range(6))
    )
    assert len({box.id for box in boxes}) == 6
    look = b"import os, sys; print(os.listdir(), 'decimal' in sys.modules)"
    printed = []
    for box in boxes:
        await box.put({"program.py": look})
        printed.append((await box.run(PROGRAM)).stdout)
    assert sorted(printed) == [b"['program.py'] False\n"] * 4 + [b"['program.py'] True\n"] * 2
    await until(lambda: warm.ready == 2)  # and as many stand ready again
    named = {name.partition(".") for name in names(tmp_path)}
    assert {stem for stem, _, app in named if app} == before


async def test_an_app_that_asks_often_is_readied_for_once(engine: DockerEngine) -> None:
    warm = WarmEngine(engine, PROGRAMS, 4, lambda count: True)
    assert warm.wanted == 0
    warm.expect("it-1")  # its build begins
    await until(lambda: warm.ready == 1)
    await (await one_box(warm)).stop()  # its first attempt
    await (await one_box(warm)).stop()  # a repair
    assert warm.wanted == 1
    await (await warm.start(BoxSpec(app="it-2", programs=(PROGRAM,)))).stop()
    assert warm.wanted == 2
    await warm.close()


async def test_while_an_app_starts_no_other_box_is_made_ready(
    engine: DockerEngine, tmp_path: Path
) -> None:
    warm = WarmEngine(engine, PROGRAMS, 1, lambda count: True, rest_s=3600.0)
    warm.expect("it-1")
    await until(lambda: warm.ready == 1)
    box = await one_box(warm)
    warm.expect("it-2")
    await asyncio.sleep(1.0)
    assert warm.ready == 0
    assert len(names(tmp_path)) == 1
    await box.stop()
    await warm.close()


async def test_a_box_of_another_image_is_not_taken_for_the_one_that_was_asked_for(
    warm: WarmEngine,
) -> None:
    with pytest.raises(EngineFault):
        await one_box(warm, image_id=f"sha256:{'0' * 64}")
    assert warm.ready == 2
    box = await one_box(warm)
    same = await one_box(warm, image_id=box.image)
    assert same.image == box.image


async def test_none_stands_ready_when_nobody_asks_or_others_need_the_memory(
    engine: DockerEngine, tmp_path: Path
) -> None:
    room = True
    warm = WarmEngine(engine, PROGRAMS, 1, lambda count: room, idle_s=2.0, rest_s=0.0)

    def one_is_ready() -> bool:
        warm.expect("it-1")  # again and again: on a slow machine its time may be over before
        return warm.ready == 1

    await until(one_is_ready)
    await until(lambda: not names(tmp_path))
    await until(one_is_ready)
    room = False
    warm.expect("it-1")
    await until(lambda: not names(tmp_path))
    assert warm.ready == 0
    box = await one_box(warm)
    assert (await box.run(["true"])).ok
    await warm.close()
    assert names(tmp_path) == []


async def test_a_box_that_died_while_it_stood_ready_is_not_handed_out(
    warm: WarmEngine, tmp_path: Path
) -> None:
    client = docker.APIClient()
    for name in names(tmp_path):
        client.remove_container(name, force=True)
    client.close()
    assert (await (await one_box(warm)).run(["true"])).ok


async def test_a_build_runs_in_the_box_that_stood_ready_when_its_plan_was_there(
    tmp_path: Path,
) -> None:
    ready: list[str] = []
    page = code(index_html="<!doctype html><html><body><h1>Hello</h1></body></html>")

    async def when_one_is_ready(exchange: Exchange) -> None:
        engine = studio.engine
        assert isinstance(engine, WarmEngine)
        engine.expect("another")
        await until(lambda: engine.ready == 1)
        ready.extend(names(tmp_path))  # the browser's comes after the plan
        await streams(plan("web"))(exchange)

    async with ModelServer(when_one_is_ready, streams(page)) as server:
        settings = Settings(gallery=tmp_path, base_url=server.url, api_key="none", warm_boxes=1)
        async with open_studio(settings, warm=True) as studio:
            made = await studio.create("say hello", kind="web")
            assert (await studio.wait(made.id)).status == "ready"
            (stood_ready,) = ready
            await until(lambda: f"{stood_ready}.{made.id}" in names(tmp_path))
    assert names(tmp_path) == []


HOLDER = """
import asyncio, sys
from pathlib import Path
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.warm import WarmEngine
from vibe.settings import Settings
async def main():
    engine = await DockerEngine.open(gallery=Path(sys.argv[1]))
    warm = WarmEngine(engine, {("python", "-m", "program"): ("decimal",)}, 1, lambda count: True)
    warm.expect("it-1")
    while not warm.ready:
        await asyncio.sleep(0.05)
    print("ready", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_killing_vibe_leaves_none_that_stood_ready(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        assert len(names(tmp_path)) == 1
        process.send_signal(signal.SIGKILL)
    await until(lambda: not names(tmp_path))


FILES = {
    "fastapi": ("app.py", b"from fastapi import FastAPI\napp = FastAPI()\n"
                          b"@app.get('/')\ndef page():\n    return 'here'\n"),
    "flask": ("app.py", b"from flask import Flask\napp = Flask(__name__)\n"
                        b"@app.get('/')\ndef page():\n    return 'here'\n"),
    "streamlit": ("app.py", b"import streamlit as st\nst.title('here')\n"),
    "web": ("index.html", b"here"),
}  # fmt: skip


async def test_every_kind_that_serves_does_so_from_a_box_that_stood_ready(
    engine: DockerEngine,
) -> None:
    programs = dict(pair for kind in kinds().values() for pair in kind.programs().items())
    warm = WarmEngine(engine, programs, 1, lambda count: True, rest_s=0.0)
    warm.expect("it-1")
    tried = []
    for kind in kinds().values():
        if kind.name not in FILES:
            continue
        await until(lambda: warm.ready == 1)
        name, content = FILES[kind.name]
        spec = app_box(kind, "it", lambda event: None)
        box = await open_box(
            warm.start, spec, {name: content}, {"d.csv": b"1"}, lambda event: None, kind=kind
        )
        running = await serve(box, kind, start_s=60, emit=lambda event: None)
        found = await box.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
        assert b"def wait" in found.stdout, "it was started cold"
        assert running.port == kind.port
        await running.stop()
        tried.append(kind.name)
    assert tried == list(FILES)
    await warm.close()
