"""Both ends of the pipe together: the real runner in a process here, on programs of our own.

This is no engine: nothing isolates these programs, and no generated one may ever run so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
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


async def test_what_a_program_connects_to_the_box_s_own_port_is_a_stream_to_the_host(
    box: PipeBox,
) -> None:
    port = _free_port()
    accepting = [asyncio.create_task(box.accept(port)) for _ in range(2)]
    await box.ping()
    say = (
        "import socket,sys; s=socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(b'hello'); s.shutdown(1); print(s.makefile('rb').read().decode())"
    )
    running = [
        asyncio.create_task(box.run([sys.executable, "-c", say, str(port)])) for _ in range(2)
    ]
    for stream in await asyncio.gather(*accepting):
        heard = b""
        while piece := await stream.read():
            heard += piece
        assert heard == b"hello"
        await stream.write(b"w" * 300_000)
        await stream.end()
        assert await stream.read() == b""
    for outcome in await asyncio.gather(*running):
        assert outcome.stdout.strip() == b"w" * 300_000


async def test_the_box_s_own_port_is_none_of_the_program_s_and_stays_when_nobody_waits(
    box: PipeBox,
) -> None:
    port = _free_port()
    accepting = asyncio.create_task(box.accept(port))
    await box.ping()
    assert port not in await box.ports()
    accepting.cancel()
    await asyncio.gather(accepting, return_exceptions=True)
    taken = await box.run(
        [
            sys.executable,
            "-c",
            "import socket,sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))",
            str(port),
        ]
    )
    assert b"Address already in use" in taken.stderr


async def test_a_port_that_a_program_has_can_t_be_the_box_s_own(box: PipeBox) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionError):
            await box.accept(other.getsockname()[1])
    await box.ping()


async def test_accepting_ends_when_the_box_does(pipe: ProcessPipe) -> None:
    box = await make_box(pipe)
    accepting = asyncio.create_task(box.accept(_free_port()))
    await box.ping()
    await box.stop()
    with pytest.raises(BoxLost):
        await accepting


async def test_every_command_has_what_the_box_was_given_and_its_own_wins(box: PipeBox) -> None:
    box.give({"GIVEN": "one", "BOTH": "one"})
    outcome = await box.run(["sh", "-c", "echo $GIVEN $BOTH"], env={"BOTH": "two"})
    assert outcome.stdout == b"one two\n"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
