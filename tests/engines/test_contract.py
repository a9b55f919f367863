"""What every engine's boxes must do, whatever runs in them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator

import pytest

from vibe.errors import BoxLost, UserError
from vibe.sandbox.engine import Box, BoxSpec, Engine, Outcome, Stream

ECHO = """
import socket, threading
def serve(peer):
    while data := peer.recv(65536):
        peer.sendall(data)
    peer.shutdown(socket.SHUT_WR)
    peer.close()
server = socket.create_server(("127.0.0.1", 9000), backlog=200)
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
SELECT_ECHO = """
import asyncio
async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 9000, backlog=200)
    print("ready", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
# marks its children with an argument, to be found among the processes of the box
PROCESSES = """
import os, sys
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0")
    except OSError:
        continue
    if sys.argv[1].encode() in words and int(pid) != os.getpid():
        found.append(pid)
print(len(found))
"""


async def python(box: Box, source: str, *arguments: str, **named: object) -> Outcome:
    return await box.run(["python", "-c", source, *arguments], **named)  # type: ignore[arg-type]


async def alive(box: Box, mark: str) -> int:
    """How many processes in the box carry that argument."""
    return int((await python(box, PROCESSES, mark)).stdout)


@contextlib.asynccontextmanager
async def serving(box: Box, source: str) -> AsyncIterator[asyncio.Task[Outcome]]:
    """A server in the box, from when it says `ready`."""
    ready = asyncio.Event()
    task = asyncio.create_task(
        box.run(
            ["python", "-u", "-c", source],
            wall_s=None,
            on_output=lambda _, text: ready.set() if b"ready" in text else None,
        )
    )
    waiter = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiter], timeout=20, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    assert ready.is_set(), "the server didn't start"
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def read_all(stream: Stream) -> bytes:
    found = bytearray()
    while piece := await stream.read():
        found += piece
    return bytes(found)


async def exchange(box: Box, data: bytes) -> bytes:
    stream = await box.open_stream(9000)
    try:
        writing = asyncio.create_task(stream.write(data))
        found = bytearray()
        while len(found) < len(data):
            piece = await stream.read()
            assert piece, "the stream ended early"
            found += piece
        await writing
        return bytes(found)
    finally:
        await stream.close()


# --- files


async def test_files_go_in_and_come_out_unchanged(box: Box) -> None:
    files = {
        "app.py": b"print('hello')\n",
        "deep/er/data.bin": bytes(range(256)) * 1000,
        "empty": b"",
        "naïve name (1) ünïcode 漢字 🎲.txt": b"x",
        "-rf": b"looks like a flag",
        "a b\\c'd\"e$f": b"shell",
        "large": random.Random(1).randbytes(3_000_000),
    }
    await box.put(files)
    export = await box.export()
    assert dict(export.files) == files
    assert export.dropped == ()


async def test_a_file_put_again_replaces_the_first(box: Box) -> None:
    await box.put({"a/b": b"first and longer"})
    await box.put({"a/b": b"second"})
    assert (await box.export("a")).files == {"a/b": b"second"}


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/../../x", "", ".", "a//b", "new\nline", "nul\0", "x" * 300,
     "/".join("d" * 40), "right\u202eleft", "\ud800"],
)  # fmt: skip
async def test_odd_paths_are_refused_and_nothing_is_written(box: Box, path: str) -> None:
    with pytest.raises(UserError):
        await box.put({"fine": b"1", path: b"2"})
    assert (await box.export()).files == {}


async def test_files_that_do_not_fit_are_the_persons_to_mend(box: Box) -> None:
    with pytest.raises(UserError, match="fit"):
        await box.put({f"big{number}": bytes(20_000_000) for number in range(20)})
    assert (await box.run(["true"])).ok


async def test_put_follows_no_link_that_a_program_left(box: Box) -> None:
    await box.run(["ln", "-s", "/tmp", "out"])
    await box.run(["ln", "-s", "/tmp/victim", "file"])
    with pytest.raises(UserError):
        await box.put({"out/x": b"1"})
    await box.put({"file": b"replaced"})
    assert (await box.run(["ls", "-A", "/tmp"])).stdout.split() == [b"home"]
    assert (await box.export()).files == {"file": b"replaced"}


async def test_only_regular_files_leave_and_the_rest_is_named(box: Box) -> None:
    await python(
        box,
        "import os, socket\n"
        "os.symlink('/etc/passwd', 'link'); os.symlink('/etc', 'folder'); os.mkfifo('fifo')\n"
        "socket.socket(socket.AF_UNIX).bind('socket')\n"
        "open('odd\\nname', 'w'); open(b'\\xff\\xfe', 'w'); open('plain', 'w').write('yes')\n"
        "f = open('sparse', 'w'); f.truncate(1 << 27)\n"
        "os.mkdir('locked', 0)\n",
    )
    export = await box.export()
    assert export.files == {"plain": b"yes"}
    reasons = dict(export.dropped)
    assert reasons["link"] == reasons["folder"] == "link"
    assert reasons["fifo"] == "fifo"
    assert reasons["socket"] == "socket"
    assert reasons["sparse"] == "too large"
    assert "locked" in reasons
    assert len(reasons) == 8
    assert all(name.isprintable() for name in reasons)


async def test_a_hard_link_to_a_system_file_is_not_possible(box: Box) -> None:
    assert (await box.run(["ln", "/etc/passwd", "hard"])).how == "error"


async def test_an_export_has_a_limit_in_bytes_and_in_files(box: Box) -> None:
    await python(box, "for i in range(3000): open(f'f{i:04}', 'w').write('x')")
    export = await box.export()
    assert len(export.files) == 2000
    assert {reason for _, reason in export.dropped} == {"too many files"}
    await box.run(["sh", "-c", "rm -f f*; head -c 600000 /dev/zero >a; cp a b"])
    export = await box.export(max_bytes=1_000_000)
    assert list(export.files) == ["a"]
    assert export.dropped == (("b", "too large"),)


async def test_a_file_that_grows_while_it_is_read_stays_bounded(box: Box) -> None:
    grow = "f = open('log', 'wb', 0)\nprint('ready', flush=True)\nwhile True: f.write(b'x' * 4096)"
    async with serving(box, grow):
        export = await box.export(max_bytes=8 << 20)
    assert sum(map(len, export.files.values())) <= 8 << 20


async def test_a_folder_that_is_not_there_exports_nothing(box: Box) -> None:
    export = await box.export("nowhere")
    assert export.files == {}
    assert export.dropped == (("nowhere", "No such file or directory"),)


# --- commands


async def test_exit_status_and_output_come_back(box: Box) -> None:
    outcome = await box.run(
        ["sh", "-c", "cat; echo $WORD >&2; exit 3"], stdin=b"in", env={"WORD": "w"}
    )
    assert (outcome.how, outcome.exit_code) == ("error", 3)
    assert (outcome.stdout, outcome.stderr) == (b"in", b"w\n")
    assert not outcome.truncated


async def test_a_program_ended_by_a_signal_says_which(box: Box) -> None:
    outcome = await box.run(["sh", "-c", "kill -SEGV $$"])
    assert (outcome.how, outcome.exit_code) == ("error", -signal.SIGSEGV)


async def test_a_command_that_is_not_there_is_an_error_that_says_so(box: Box) -> None:
    outcome = await box.run(["no-such-program"])
    assert (outcome.how, outcome.exit_code) == ("error", 127)
    assert b"No such file" in outcome.stderr


async def test_output_arrives_while_the_program_runs(box: Box) -> None:
    seen: list[float] = []
    began = time.monotonic()
    await python(
        box,
        "import time; print('a', flush=True); time.sleep(1); print('b')",
        on_output=lambda *_: seen.append(time.monotonic() - began),
    )
    assert seen[-1] - seen[0] > 0.5


async def test_large_input_reaches_a_program_that_reads_late(box: Box) -> None:
    data = random.Random(2).randbytes(2_000_000)
    outcome = await python(
        box, "import sys, time, hashlib; time.sleep(.3)\n"
        "print(hashlib.sha1(sys.stdin.buffer.read()).hexdigest())", stdin=data,
    )  # fmt: skip
    assert outcome.stdout.strip().decode() == hashlib.sha1(data).hexdigest()


async def test_input_nobody_reads_is_no_obstacle(box: Box) -> None:
    assert (await box.run(["true"], stdin=bytes(5_000_000))).ok


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_program_that_prints_for_ever_is_cut_and_killed(box: Box, stream: str) -> None:
    got = 0

    def count(_: str, text: bytes) -> None:
        nonlocal got
        got += len(text)

    outcome = await python(
        box,
        f"import sys\nwhile True: sys.{stream}.write('spam ' * 1000)",
        "spammer",
        on_output=count,
    )
    assert (outcome.how, outcome.truncated, outcome.exit_code) == ("output", True, None)
    assert len(getattr(outcome, stream)) == got == 1 << 20
    assert await alive(box, "spammer") == 0


async def test_much_output_on_both_streams_at_once_comes_whole(box: Box) -> None:
    """The streams share one credit: that one of them used it up isn't the other's end."""
    half = 900_000
    both = f"head -c {half} /dev/zero & head -c {half} /dev/zero >&2; wait"
    for _ in range(10):
        outcome = await box.run(["sh", "-c", both])
        assert (outcome.how, len(outcome.stdout), len(outcome.stderr)) == ("ok", half, half)


async def test_output_of_exactly_the_cap_is_no_fault(box: Box) -> None:
    outcome = await python(box, "print('x' * ((1 << 20) - 1))")
    assert outcome.ok
    assert not outcome.truncated
    assert len(outcome.stdout) == 1 << 20


STRAGGLERS = """
import os, subprocess, sys, signal, time
mark = sys.argv[1]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import time, signal; [signal.signal(s, 1) for s in (1, 2, 15)]; time.sleep(60)"
subprocess.Popen([sys.executable, "-c", sleep, mark])
subprocess.Popen([sys.executable, "-c", sleep, mark], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", sleep, mark], {})
    os._exit(0)
time.sleep(0.5)
print("ready", flush=True)
"""


async def test_a_time_out_kills_the_command_and_all_it_started(box: Box) -> None:
    began = time.monotonic()
    outcome = await python(box, STRAGGLERS + "time.sleep(60)", "straggler", wall_s=1.5)
    assert (outcome.how, outcome.exit_code) == ("timeout", None)
    assert outcome.stdout == b"ready\n"
    assert time.monotonic() - began < 30, "it waited for what sleeps a minute"
    assert await alive(box, "straggler") == 0


async def test_what_daemonised_dies_with_the_command_that_ended(box: Box) -> None:
    outcome = await python(box, STRAGGLERS, "straggler")
    assert outcome.ok
    assert outcome.seconds < 30
    assert await alive(box, "straggler") == 0


async def test_cancelling_kills_the_command_and_all_it_started(box: Box) -> None:
    ready = asyncio.Event()
    task = asyncio.create_task(
        python(box, STRAGGLERS + "time.sleep(60)", "straggler", on_output=lambda *_: ready.set())
    )
    await ready.wait()
    assert await alive(box, "straggler") == 4
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await alive(box, "straggler") == 0


async def test_a_command_that_kills_all_it_can_harms_only_itself(box: Box) -> None:
    other = asyncio.create_task(box.run(["sleep", "0.1"]))
    await other
    outcome = await python(box, "import os, signal; os.kill(-1, 9); os.kill(1, 9)", wall_s=10)
    assert outcome.how in ("error", "ok")
    assert (await box.run(["echo", "still here"])).stdout == b"still here\n"


async def test_a_command_whose_supervisor_is_stopped_still_ends(box: Box) -> None:
    outcome = await python(
        box,
        "import os, signal, time; os.kill(os.getppid(), signal.SIGSTOP); time.sleep(60)",
        "stopper",
        wall_s=1,
    )
    assert outcome.how == "timeout"
    assert await alive(box, "stopper") == 0


async def test_two_commands_run_at_once_and_keep_their_output_apart(box: Box) -> None:
    began = time.monotonic()
    source = "import sys, time\nfor _ in range(20): print(sys.argv[1], flush=True); time.sleep(.03)"
    outcomes = await asyncio.gather(*(python(box, source, name) for name in "abc"))
    assert [outcome.stdout for outcome in outcomes] == [f"{n}\n".encode() * 20 for n in "abc"]
    assert time.monotonic() - began < sum(outcome.seconds for outcome in outcomes) * 0.8


async def test_the_end_of_one_command_leaves_another_alone(box: Box) -> None:
    async with serving(box, ECHO) as server:
        await python(box, STRAGGLERS, "straggler")
        assert await exchange(box, b"still there") == b"still there"
        assert not server.done()


async def test_a_program_that_takes_too_much_memory_is_reported_so(box: Box) -> None:
    outcome = await python(box, "x = bytearray(3 << 30)")
    assert outcome.how == "memory"
    assert (await box.run(["echo", "alive"])).stdout == b"alive\n"


async def test_a_child_that_takes_too_much_memory_is_reported_so(box: Box) -> None:
    outcome = await python(
        box,
        "import subprocess, sys\n"
        "sys.exit(subprocess.run([sys.executable, '-c', 'bytearray(3 << 30)']).returncode != 0)",
    )
    assert (outcome.how, outcome.exit_code) == ("memory", 1)


async def test_a_program_that_kills_itself_is_not_blamed_on_memory(box: Box) -> None:
    outcome = await box.run(["sh", "-c", "kill -KILL $$"])
    assert (outcome.how, outcome.exit_code) == ("error", -9)


async def test_filling_the_disk_is_contained(box: Box) -> None:
    outcome = await box.run(
        ["sh", "-c", "cat /dev/zero >a; cat /dev/zero >b; cat /dev/zero >/tmp/c"]
    )
    assert outcome.how == "error"
    assert b"No space left" in outcome.stderr
    many = await python(box, "for i in range(10**6): open(f'/tmp/{i}', 'w')", wall_s=20)
    assert b"No space left" in many.stderr


async def test_a_fork_bomb_is_contained_and_cleared_away(box: Box, engine: Engine) -> None:
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    outcome = await python(box, bomb, "bomb", wall_s=2)
    assert outcome.how == "timeout"
    assert outcome.seconds < 60
    assert await alive(box, "bomb") == 0
    other = await engine.start(BoxSpec())
    assert (await other.run(["true"])).ok


async def test_a_program_may_have_threads_but_not_without_end(box: Box) -> None:
    outcome = await python(
        box,
        "import threading, time\nn = 0\ntry:\n  while True:\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n)",
    )
    assert 60 < int(outcome.stdout) < 200


# --- streams


async def test_fifty_megabytes_go_both_ways_through_a_slow_reader(box: Box) -> None:
    size = 50_000_000
    data = random.Random(3).randbytes(1 << 20)
    async with serving(box, SELECT_ECHO):
        stream = await box.open_stream(9000)

        async def write() -> None:
            for start in range(0, size, len(data)):
                await stream.write(data[: size - start])
            await stream.end()

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.5)
        assert not writing.done(), "a reader that doesn't read must hold the writer"
        got = 0
        while piece := await stream.read():
            at = got % len(data)
            assert (data[at:] + data)[: len(piece)] == piece
            got += len(piece)
            if got < 2_000_000:
                await asyncio.sleep(0.01)
        await writing
        assert got == size
        await stream.close()


async def test_a_stalled_stream_does_not_hold_the_others(box: Box) -> None:
    flood = ECHO.replace("while data := peer.recv(65536):", "data = bytes(65536)\n    while True:")
    async with serving(box, flood.replace("9000", "9001")), serving(box, ECHO):
        stalled = [await box.open_stream(9001) for _ in range(20)]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        data = bytes(1_000_000)
        assert await exchange(box, data) == data
        assert (await box.run(["echo", "ok"])).stdout == b"ok\n"
        assert time.monotonic() - began < 30
        for stream in stalled:
            await stream.close()


async def test_a_hundred_streams_at_once(box: Box) -> None:
    async with serving(box, SELECT_ECHO):
        sent = [os.urandom(20_000) for _ in range(100)]
        assert await asyncio.gather(*(exchange(box, data) for data in sent)) == sent


async def test_more_streams_than_the_box_has_room_for_wait_their_turn(box: Box) -> None:
    async with serving(box, SELECT_ECHO):
        sent = [os.urandom(100) for _ in range(400)]
        assert await asyncio.gather(*(exchange(box, data) for data in sent)) == sent


async def test_a_stream_ends_when_its_server_is_done(box: Box) -> None:
    once = (
        "import socket\ns = socket.create_server(('127.0.0.1', 9000)); print('ready', flush=True)\n"
        "p = s.accept()[0]; data = p.recv(100); p.sendall(data.upper() * 100000); p.close()"
    )
    async with serving(box, once) as server:
        stream = await box.open_stream(9000)
        await stream.write(b"hello ")
        assert await read_all(stream) == b"HELLO " * 100000
        assert await stream.read() == b""
        assert (await server).ok
        with pytest.raises(ConnectionError):
            await stream.write(bytes(10_000_000))
        await stream.close()
        await stream.close()


async def test_half_closing_leaves_the_answer_readable(box: Box) -> None:
    total = (
        "import socket\ns = socket.create_server(('127.0.0.1', 9000)); print('ready', flush=True)\n"
        "p = s.accept()[0]; n = 0\nwhile d := p.recv(65536): n += len(d)\n"
        "p.sendall(str(n).encode())"
    )
    async with serving(box, total):
        stream = await box.open_stream(9000)
        await stream.write(bytes(1_000_001))
        await stream.end()
        assert await read_all(stream) == b"1000001"


async def test_a_port_nobody_listens_on_is_refused(box: Box) -> None:
    with pytest.raises(ConnectionRefusedError):
        await box.open_stream(9999)


@pytest.mark.parametrize("port", [0, -1, 70_000])
async def test_a_port_that_cannot_be_is_refused(box: Box, port: int) -> None:
    with pytest.raises(UserError):
        await box.open_stream(port)


async def test_ports_are_found_also_when_only_ipv6_listens(box: Box) -> None:
    assert await box.ports() == ()
    six = ECHO.replace('("127.0.0.1", 9000)', '("::1", 9006), family=socket.AF_INET6')
    async with serving(box, six), serving(box, ECHO):
        assert await box.ports() == (9000, 9006)
        stream = await box.open_stream(9006)
        await stream.write(b"six")
        assert await stream.read() == b"six"
        await stream.close()


# --- isolation


async def test_a_box_has_no_network(box: Box) -> None:
    outcome = await python(
        box,
        "import socket\nprint(sorted(name for _, name in socket.if_nameindex()))\n"
        "for host in ('1.1.1.1', '169.254.169.254', '172.17.0.1', '10.0.0.1'):\n"
        "  try: socket.create_connection((host, 80), 2); print('connected')\n"
        "  except OSError as e: print(e.errno)\n"
        "try: socket.getaddrinfo('example.com', 80); print('resolved')\n"
        "except OSError: print('no names')",
    )
    assert outcome.stdout.decode().split("\n")[:-1] == ["['lo']", *["101"] * 4, "no names"]


async def test_a_box_has_no_rights_and_a_read_only_system(box: Box) -> None:
    outcome = await python(
        box,
        "import os\nprint(os.getuid(), os.getgid(), os.getgroups())\n"
        "status = dict(l.split(':', 1) for l in open('/proc/self/status') if ':' in l)\n"
        "print(*(status[k].strip() for k in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp')))\n"
        "for path in ('/x', '/etc/x', '/usr/x', '/opt/x', '/var/tmp/x', '/root/x'):\n"
        "  try: open(path, 'w'); print('wrote', path)\n"
        "  except OSError: pass\n"
        "print([v for v in os.environ if 'KEY' in v or 'PROXY' in v.upper()])\n"
        "print(os.path.exists('/var/run/docker.sock'))",
    )
    assert outcome.stdout.decode().splitlines() == [
        "10001 10001 [10001]",
        "0000000000000000 0000000000000000 1 2",
        "[]",
        "False",
    ]


async def test_a_program_cannot_reach_the_pipe(box: Box) -> None:
    """Else it could forge frames: its own exit status, another command's output."""
    outcome = await python(
        box,
        "import os\n"
        "parents = [1, os.getppid()]\n"
        "for pid in parents:\n"
        "  for what in ('fd', 'mem', 'environ', 'maps'):\n"
        "    try:\n"
        "      found = os.listdir(f'/proc/{pid}/fd') if what == 'fd' else "
        "open(f'/proc/{pid}/{what}', 'rb').read(1)\n"
        "      print('open', pid, what)\n"
        "    except OSError: pass\n"
        "print(sorted(os.listdir('/proc/self/fd')))",
    )
    assert outcome.stdout == b"['0', '1', '2', '3']\n"


async def test_home_and_the_usual_libraries_work(box: Box) -> None:
    outcome = await python(
        box,
        "import matplotlib.pyplot as plt, pathlib, tempfile, streamlit, pandas\n"
        "plt.plot([1, 2]); plt.savefig('plot.png'); tempfile.mkdtemp()\n"
        "pathlib.Path.home().joinpath('x').write_text('x')\n",
        wall_s=60,
    )
    assert outcome.ok, outcome.stderr.decode()
    assert list((await box.export()).files) == ["plot.png"]


# --- the life of a box


async def test_a_box_stops_quickly_and_twice(engine: Engine) -> None:
    box = await engine.start(BoxSpec())
    running = asyncio.create_task(box.run(["sleep", "60"]))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await box.stop()
    assert time.monotonic() - began < 30, "it waited for the command"
    assert (await running).how == "killed"
    await box.stop()
    with pytest.raises(BoxLost):
        await box.run(["true"])
    with pytest.raises(BoxLost):
        await box.open_stream(80)


async def test_a_stream_of_a_stopped_box_says_the_box_is_lost(engine: Engine) -> None:
    box = await engine.start(BoxSpec())
    async with serving(box, ECHO):
        stream = await box.open_stream(9000)
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0.1)
        await box.stop()
        with pytest.raises(BoxLost):
            await reading
        with pytest.raises(BoxLost):
            await stream.write(b"x")


async def test_a_box_ends_at_its_deadline(engine: Engine) -> None:
    box = await engine.start(BoxSpec(lifetime_s=2))
    began = time.monotonic()
    outcome = await box.run(["sleep", "60"], wall_s=None)
    assert outcome.how == "timeout"
    assert 1 < time.monotonic() - began < 30
    await asyncio.sleep(0.5)
    with pytest.raises(BoxLost):
        await box.ports()


async def test_two_boxes_share_nothing(engine: Engine) -> None:
    one, two = await asyncio.gather(engine.start(BoxSpec()), engine.start(BoxSpec()))
    await one.put({"secret": b"1"})
    assert (await two.export()).files == {}
    async with serving(one, ECHO):
        with pytest.raises(ConnectionRefusedError):
            await two.open_stream(9000)
    assert one.id != two.id
    assert one.image == two.image
    assert one.image.startswith("sha256:")


async def test_the_self_test_finds_the_engine_fit(engine: Engine) -> None:
    posture = await engine.probe()
    assert posture.usable, posture
    assert posture.engine == engine.name


async def test_many_starts_at_once_all_succeed(engine: Engine) -> None:
    boxes = await asyncio.gather(*(engine.start(BoxSpec(app="many")) for _ in range(8)))
    outcomes = await asyncio.gather(*(box.run(["true"]) for box in boxes))
    assert all(outcome.ok for outcome in outcomes)
    await asyncio.gather(*(box.stop() for box in boxes))
