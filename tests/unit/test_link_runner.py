"""Both ends of the pipe together: the real runner in a process here, on programs of our own.

This is no engine: nothing isolates these programs, and no generated one may ever run so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from vibe.errors import BoxLost
from vibe.sandbox.box import PipeBox
from vibe.sandbox.frames import BOOTSTRAP, Kind, encode
from vibe.sandbox.link import Link


class ProcessPipe:
    """`link.Pipe` over a child process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self.process, self._in, self._out = process, process.stdin, process.stdout

    async def read(self) -> bytes:
        return await self._out.read(1 << 18)

    def write(self, data: bytes) -> None:
        self._in.write(data)

    async def drain(self) -> None:
        await self._in.drain()

    def waiting(self) -> int:
        return self._in.transport.get_write_buffer_size()

    def close(self) -> None:
        self._in.close()

    def diagnostics(self) -> str:
        return ""


async def no_memory(expected: bool) -> bool:
    return False


async def start_runner(work: Path) -> ProcessPipe:
    work.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-B", "-u", "-c", BOOTSTRAP,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(work / "home"), "VIBE_WORK": str(work)},
    )  # fmt: skip
    return ProcessPipe(process)


async def make_box(pipe: ProcessPipe, lifetime_s: float = 60) -> PipeBox:
    async def remove() -> None:
        await pipe.process.wait()

    return PipeBox(
        await Link.start(pipe, lifetime_s=lifetime_s),
        id="here",
        engine="none",
        image="",
        lifetime_s=lifetime_s,
        memory=no_memory,
        remove=remove,
    )


@pytest.fixture
async def pipe(tmp_path: Path) -> ProcessPipe:
    return await start_runner(tmp_path / "work")


@pytest.fixture
async def box(pipe: ProcessPipe) -> AsyncIterator[PipeBox]:
    box = await make_box(pipe)
    yield box
    await box.stop()


async def test_files_and_commands_go_round(box: PipeBox) -> None:
    await box.put({"a/b.txt": b"content"})
    outcome = await box.run(["cat", "a/b.txt"])
    assert (outcome.how, outcome.stdout) == ("ok", b"content")
    assert (await box.export()).files == {"a/b.txt": b"content"}
    await box.ping()


async def test_the_runner_ends_when_its_pipe_closes_and_takes_commands_with_it(
    pipe: ProcessPipe, tmp_path: Path
) -> None:
    box = await make_box(pipe)
    mark = tmp_path / "work" / "pid"
    running = asyncio.create_task(box.run(["sh", "-c", "setsid sleep 60 & echo $! >pid; wait"]))
    while not mark.exists() or not mark.read_text():
        await asyncio.sleep(0.01)
    pid = int(mark.read_text())
    os.kill(pid, 0)
    await box.stop()
    assert (await running).how == "killed"
    assert pipe.process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_the_runner_ends_when_its_time_is_over(tmp_path: Path) -> None:
    pipe = await start_runner(tmp_path / "work")
    link = await Link.start(pipe, lifetime_s=0.3)
    await asyncio.wait_for(link.gone.wait(), 30)
    await pipe.process.wait()
    await link.close()


async def test_a_host_that_speaks_no_frames_ends_the_runner(tmp_path: Path) -> None:
    pipe = await start_runner(tmp_path / "work")
    pipe.close()
    assert await asyncio.wait_for(pipe.process.wait(), 5) == 1


async def test_stray_prints_in_the_runner_cannot_reach_the_pipe(
    pipe: ProcessPipe, box: PipeBox
) -> None:
    """Its own descriptors 0 and 1 lead nowhere once it serves."""
    for number in (0, 1):
        assert Path(f"/proc/{pipe.process.pid}/fd/{number}").readlink() == Path(os.devnull)


async def test_frames_for_channels_that_ended_are_ignored_by_the_runner(
    pipe: ProcessPipe, box: PipeBox
) -> None:
    for kind in (Kind.DATA, Kind.CREDIT, Kind.END, Kind.CLOSE):
        pipe.write(encode(kind, 99, b"\0\0\0\1"))
    await box.ping()


async def test_closed_commands_leave_no_descriptor_behind(pipe: ProcessPipe, box: PipeBox) -> None:
    folder = Path(f"/proc/{pipe.process.pid}/fd")
    await box.run(["true"])
    before = len(list(folder.iterdir()))
    await asyncio.gather(*(box.run(["sh", "-c", "echo x; sleep 5"], wall_s=0.1) for _ in range(5)))
    await asyncio.gather(*(box.run(["no-such-program"]) for _ in range(5)))
    for _ in range(5):
        with pytest.raises(ConnectionRefusedError):
            await box.open_stream(1)
        await box.put({"x": b"x"})
        await box.export()
        await box.ports()
    assert len(list(folder.iterdir())) == before


async def test_the_runner_survives_a_supervisor_that_is_killed(box: PipeBox) -> None:
    source = "import os, time; os.kill(os.getppid(), 9); time.sleep(60)"
    outcome = await box.run([sys.executable, "-c", source], wall_s=20)
    assert (outcome.how, outcome.exit_code) == ("error", -signal.SIGKILL)
    assert outcome.seconds < 10
    assert (await box.run(["true"])).ok


async def test_a_runner_that_is_killed_is_a_lost_box(pipe: ProcessPipe) -> None:
    box = await make_box(pipe)
    running = asyncio.create_task(box.run(["sleep", "3"]))
    await asyncio.sleep(0.2)
    pipe.process.kill()
    with pytest.raises(BoxLost):
        await running
    await box.stop()


async def test_many_short_commands_are_quick(box: PipeBox) -> None:
    outcomes = await asyncio.gather(*(box.run(["true"]) for _ in range(50)))
    assert all(outcome.ok for outcome in outcomes)
