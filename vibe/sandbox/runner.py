"""The box end of the one pipe: files in, commands run, byte streams to local ports, files out.

Standard library only, one file: the host sends this source down the pipe to `python -I` (see
`vibe.sandbox.frames.BOOTSTRAP`), so no image carries it. One thread, one `poll` loop, nothing that
blocks; what waits to go out is bounded by the credit the host has given.

It is the first process of the box: programs in it can't signal it away, and because it is not
dumpable they can't open its end of the pipe through /proc either. Every command gets a small
supervisor (a fork of the runner) that adopts whatever the command leaves behind: when a supervisor
has no child left, nothing of that command is alive.
"""

# ruff: noqa: PTH103, PTH123, PTH208
# (importing pathlib would cost every box several milliseconds of its start)

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import itertools
import json
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Generator, Iterable
from typing import Any, NoReturn

HEADER = struct.Struct("!IBI")
HELLO, OPEN, OPENED, DATA, ERR, CREDIT, END, CLOSE, DONE = range(1, 10)
PAYLOAD = 65536
WINDOW = 262144
VERSION = 1

WORK = os.environ.get("VIBE_WORK", "/work")
BUSY = 4 * PAYLOAD
"""Sources are not read while this much waits to go out."""
ENTRIES = 20_000
DEPTH = 32
LONG = 3600.0
PATIENCE = 50
"""Rounds of killing after which a supervisor that doesn't end is killed too (about 1 s)."""
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Runner:
    """The pipe and everything that is open on it."""

    def __init__(self, inward: int, outward: int) -> None:
        self.inward, self.outward = inward, outward
        self.received, self.sending = bytearray(), bytearray()
        self.channels: dict[int, Channel] = {}
        self.restless: dict[int, Channel] = {}
        """Channels that have something to do in between."""
        self.changed: set[Channel] = set()
        """Channels whose interest may be another than when they were last looked at."""
        self.poll, self.owners = select.poll(), dict[int, Channel]()
        self.runs: dict[int, Started] = {}
        self.spares: list[Spare] = []
        self.door: socket.socket | None = None
        self.deadline = time.monotonic() + 60.0
        self.wake, wake = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        try:
            self.oom = os.open("/proc/self/oom_score_adj", os.O_RDWR)
            self.calm = os.pread(self.oom, 16, 0)
        except OSError:
            self.oom = -1

    def serve(self) -> None:
        """Until the pipe closes or the box's time is over."""
        poll, owners, free, writing = self.poll, self.owners, True, False
        poll.register(self.inward, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        while True:
            now = time.monotonic()
            if now >= self.deadline:
                return
            self.flush()
            wait, before, free = self.deadline - now, free, len(self.sending) < BUSY
            for channel in list(self.restless.values()):
                wait = min(wait, channel.turn(now, free))
            if free:
                self.flush()
            if free != before:
                self.changed.update(self.channels.values())
            self.changed.update(self.restless.values())
            while self.changed:
                self.watch(self.changed.pop(), free)
            if writing != (writing := bool(self.sending)):
                if writing:
                    poll.register(self.outward, select.POLLOUT)
                else:
                    poll.unregister(self.outward)
            for fd, mask in poll.poll(max(0.0, wait) * 1000):
                if fd == self.inward:
                    if not self.take():
                        return
                elif fd == self.wake:
                    self.reap()
                elif fd != self.outward:
                    channel = owners[fd]
                    if self.channels.get(channel.id) is channel:
                        channel.ready(fd, mask)
                        self.changed.add(channel)

    def flush(self) -> None:
        """Writes what the pipe takes now."""
        with contextlib.suppress(BlockingIOError):
            while self.sending:
                del self.sending[: os.write(self.outward, self.sending[: 4 * PAYLOAD])]

    def watch(self, channel: Channel, free: bool) -> None:
        """Has the descriptors of a channel polled that it is interested in now, and no others."""
        here = self.channels.get(channel.id) is channel
        wanted = dict(channel.interest(free)) if here else {}
        for fd in channel.watched.keys() - wanted.keys():
            if self.owners.get(fd) is channel:  # or else it is another's by now
                self.poll.unregister(fd)
                del self.owners[fd]
        for fd, mask in wanted.items():
            if self.owners.get(fd) is not channel or channel.watched.get(fd) != mask:
                self.poll.register(fd, mask)
                self.owners[fd] = channel
        channel.watched = wanted

    def take(self) -> bool:
        """Reads the pipe; False at its end."""
        chunk = os.read(self.inward, 4 * PAYLOAD)
        self.received += chunk
        at = 0
        while len(self.received) - at >= HEADER.size:
            size, kind, number = HEADER.unpack_from(self.received, at)
            start = at + HEADER.size
            if len(self.received) < start + size:
                break
            at = start + size
            self.frame(kind, number, bytes(self.received[start:at]))
        del self.received[:at]
        return bool(chunk)

    def frame(self, kind: int, number: int, payload: bytes) -> None:
        channel = self.channels.get(number)
        if kind == HELLO:
            self.deadline = time.monotonic() + json.loads(payload)["lifetime_s"]
            self.send(HELLO, 0, struct.pack("!I", VERSION))
            return
        if kind == OPEN:
            wanted = json.loads(payload)
            try:
                channel = CHANNELS[wanted.pop("do")](self, number, **wanted)
            except OSError as error:
                self.done(number, 1, error.errno or 0)
                return
            self.channels[number] = channel
            self.changed.add(channel)
            if type(channel).turn is not Channel.turn:
                self.restless[number] = channel
            return
        if channel is None:
            return  # crossed with our DONE
        self.changed.add(channel)
        if kind == DATA:
            channel.data(payload)
        elif kind == CREDIT:
            channel.credit += struct.unpack("!I", payload)[0]
        elif kind == END:
            channel.end()
        elif kind == CLOSE:
            channel.close()

    def send(self, kind: int, channel: int, payload: bytes = b"") -> None:
        self.sending += HEADER.pack(len(payload), kind, channel) + payload

    def done(self, number: int, flag: int = 0, code: int = 0, text: bytes = b"") -> None:
        self.send(DONE, number, struct.pack("!Bi", flag, code) + text[:4096])
        self.restless.pop(number, None)
        if channel := self.channels.pop(number, None):
            self.changed.add(channel)

    def fork(self) -> int:
        """os.fork; the child is the kernel's first choice when memory runs out, not the runner."""
        if self.oom >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self.oom, b"1000", 0)
        try:
            pid = os.fork()
        finally:
            if self.oom >= 0:
                with contextlib.suppress(OSError):
                    os.pwrite(self.oom, self.calm, 0)
        return pid

    def reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if started := self.runs.pop(found[0], None):
                    started.supervisor, started.orphans = 0, found[1] != 0

    def start(self, argv: list[str], env: dict[str, str]) -> Started:
        """A command, from what waits to become it if something does."""
        for spare in self.spares:
            if spare.fits(argv, env):
                return spare.become(argv)
        return Started(self, argv, env)

    def opened(self, port: int) -> socket.socket:
        """The one socket in here that the host itself answers, listening on that port."""
        if self.door is None:
            door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                door.setblocking(False)
                door.bind(("127.0.0.1", port))
                door.listen(64)
            except OSError:
                door.close()
                raise
            self.door = door
        return self.door

    def strays(self) -> list[int]:
        """Children that nobody supervises: their supervisor was killed from inside."""
        me = os.getpid()
        return [pid for pid, parent in parents().items() if parent == me and pid not in self.runs]


class Channel:
    """One thing the host asked for. `credit` is how many bytes may still go to the host."""

    def __init__(self, runner: Runner, number: int) -> None:
        self.runner, self.id, self.credit = runner, number, WINDOW
        self.accepted, self.watched = 0, dict[int, int]()

    def turn(self, now: float, free: bool) -> float:
        """Called before each wait; the seconds after which it wants to be called again."""
        return LONG

    def interest(self, free: bool) -> Iterable[tuple[int, int]]:
        """Descriptors to wait for; `free`: there is room for what they give."""
        return ()

    def ready(self, fd: int, mask: int) -> None:
        """A descriptor of `interest` is ready."""

    def data(self, payload: bytes) -> None:
        """Bytes from the host."""

    def end(self) -> None:
        """The host's end-of-file."""

    def close(self) -> None:
        """The host has lost interest; DONE must follow."""
        self.runner.done(self.id)

    def accept(self, size: int) -> None:
        """Lets the host send `size` more bytes; tells it of many at once."""
        self.accepted += size
        if self.accepted >= WINDOW // 4:
            self.runner.send(CREDIT, self.id, struct.pack("!I", self.accepted))
            self.accepted = 0

    def emit(self, kind: int, payload: bytes) -> None:
        self.credit -= len(payload)
        self.runner.send(kind, self.id, payload)


class Ping(Channel):
    """Is anyone there?"""

    def turn(self, now: float, free: bool) -> float:
        self.runner.done(self.id)
        return 0.0


class Ports(Channel):
    """Ports something listens on, as the kernel's tables say."""

    def turn(self, now: float, free: bool) -> float:
        found = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with contextlib.suppress(OSError), open(table) as lines:
                for line in itertools.islice(lines, 1, None):
                    _, local, _, state, *_ = line.split()
                    if state == "0A":
                        found.add(int(local.rpartition(":")[2], 16))
        if self.runner.door is not None:
            found.discard(self.runner.door.getsockname()[1])  # no program's
        ports = sorted(found)[:2000]
        self.runner.done(self.id, text=struct.pack(f"!{len(ports)}H", *ports))
        return 0.0


class Put(Channel):
    """Files as `!HQ` (length of path, of content), path, content; each replaces its name whole."""

    HEAD = struct.Struct("!HQ")

    def __init__(self, runner: Runner, number: int) -> None:
        super().__init__(runner, number)
        self.buffer, self.left = bytearray(), 0
        self.file = self.folder = -1
        self.path, self.name, self.draft = b"", "", f".vibe-put-{number}"
        self.failed = 0

    def data(self, payload: bytes) -> None:
        self.accept(len(payload))
        if self.failed:
            return
        self.buffer += payload
        try:
            while self.step():
                pass
        except OSError as error:
            self.failed = error.errno or errno.EIO
            self.drop()

    def step(self) -> bool:
        """Does what the buffer allows; False when more bytes are needed."""
        if self.file < 0:
            if len(self.buffer) < self.HEAD.size:
                return False
            length, size = self.HEAD.unpack_from(self.buffer)
            start = self.HEAD.size + length
            if len(self.buffer) < start:
                return False
            self.path = bytes(self.buffer[self.HEAD.size : start])
            del self.buffer[:start]
            *folders, self.name = self.path.decode().split("/")
            self.folder, self.left = descend(folders, make=True), size
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            self.file = os.open(self.draft, flags, 0o644, dir_fd=self.folder)
        chunk = bytes(self.buffer[: self.left])
        del self.buffer[: self.left]
        self.left -= len(chunk)
        while chunk:
            chunk = chunk[os.write(self.file, chunk) :]
        if self.left:
            return False
        os.rename(self.draft, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        self.drop()
        return True

    def drop(self) -> None:
        if self.file >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self.draft, dir_fd=self.folder)
            os.close(self.file)
        if self.folder >= 0:
            os.close(self.folder)
        self.file = self.folder = -1

    def end(self) -> None:
        self.drop()
        self.runner.done(self.id, 1 if self.failed else 0, self.failed, self.path)

    def close(self) -> None:
        self.drop()
        super().close()


class Started:
    """A command under its supervisor, and our ends of its pipes."""

    def __init__(self, runner: Runner, argv: list[str], env: dict[str, str], *further: int) -> None:
        """`further`: descriptors that it gets as its numbers 3 and on."""
        self.orphans = False
        pipes = [os.pipe() for _ in range(4)]
        (stdin, into), (out, stdout), (err, stderr), (heard, report) = pipes
        try:
            self.supervisor = runner.fork()
        except OSError:
            for pair in pipes:
                os.close(pair[0])
                os.close(pair[1])
            raise
        if not self.supervisor:
            supervise(argv, {**os.environ, **env}, (stdin, stdout, stderr, *further), report)
        runner.runs[self.supervisor] = self
        for fd in (stdin, stdout, stderr, report):
            os.close(fd)
        self.ends = (into, out, err, heard)
        for fd in self.ends:
            os.set_blocking(fd, False)

    def drop(self) -> None:
        """Kills it and closes its pipes: nobody wants it."""
        if self.supervisor:
            kill([self.supervisor, *descendants(self.supervisor)])
        for fd in self.ends:
            os.close(fd)


class Spare(Channel):
    """A Python that has imported what a command needs and waits to become that command, once.
    DONE says that it is ready, or why it can't be."""

    def __init__(self, runner: Runner, number: int, argv: list[str], modules: list[str]) -> None:
        super().__init__(runner, number)
        self.argv, self.imported = argv, False
        ours, theirs = socket.socketpair()
        with theirs:
            waiting = [argv[0], "-c", WAITING, *modules]
            self.started = Started(runner, waiting, {}, theirs.fileno())
        self.socket = ours
        runner.spares.append(self)

    def interest(self, free: bool) -> Iterable[tuple[int, int]]:
        return [(self.socket.fileno(), select.POLLIN)]

    def ready(self, fd: int, mask: int) -> None:
        with contextlib.suppress(OSError):
            self.imported = self.socket.recv(1) == b"1"
        if self not in self.runner.spares:
            self.socket.close()
        elif not self.imported:
            self.drop()
        self.runner.done(self.id, 0 if self.imported else 1)

    def fits(self, argv: list[str], env: dict[str, str]) -> bool:
        alive = self.started.supervisor != 0
        return alive and not env and argv[: len(self.argv)] == self.argv

    def become(self, argv: list[str]) -> Started:
        """What waited, now that command; what still imports becomes it when it has."""
        self.runner.spares.remove(self)
        with contextlib.suppress(OSError):
            self.socket.sendall("\0".join(argv).encode())
            self.socket.shutdown(socket.SHUT_WR)
        if self.imported:
            self.socket.close()
        return self.started

    def drop(self) -> None:
        self.runner.spares.remove(self)
        self.socket.close()
        self.started.drop()

    def close(self) -> None:
        if self in self.runner.spares:
            self.drop()
        else:
            self.socket.close()
        super().close()


class Claim(Channel):
    """The box gets its one use: how long it lives from now, and which spares it may need."""

    def __init__(
        self, runner: Runner, number: int, lifetime_s: float, programs: list[list[str]]
    ) -> None:
        super().__init__(runner, number)
        runner.deadline = time.monotonic() + lifetime_s
        for spare in list(runner.spares):
            if spare.argv not in programs:
                spare.drop()

    def turn(self, now: float, free: bool) -> float:
        self.runner.done(self.id)
        return 0.0


class Run(Channel):
    """A command with its pipes. Over when nothing of it is alive and its output is read."""

    def __init__(self, runner: Runner, number: int, argv: list[str], env: dict[str, str]) -> None:
        super().__init__(runner, number)
        self.pending, self.ended, self.closing = bytearray(), False, False
        self.status: int | None = None
        self.error, self.ooms = 0, ooms()
        self.rounds, self.next_round = 0, LONG * 1e6
        self.started = runner.start(argv, env)
        self.stdin, self.stdout, self.stderr, self.report = self.started.ends

    def interest(self, free: bool) -> Iterable[tuple[int, int]]:
        wanted = [(self.report, select.POLLIN)] if self.report >= 0 else []
        if self.pending and self.stdin >= 0:
            wanted.append((self.stdin, select.POLLOUT))
        if self.closing or (free and self.credit > 0):
            wanted += [(fd, select.POLLIN) for fd in (self.stdout, self.stderr) if fd >= 0]
        return wanted

    def ready(self, fd: int, mask: int) -> None:
        if fd == self.report:
            self.hear()
        elif fd == self.stdin:
            self.feed()
        elif fd in (self.stdout, self.stderr):
            self.read(fd)

    def hear(self) -> None:
        """The supervisor's only message: how the command ended, or why it never began."""
        message = os.read(self.report, 8)
        if len(message) == 8:
            self.status, self.error = struct.unpack("!ii", message)
        os.close(self.report)
        self.report = -1
        self.next_round = time.monotonic() + 0.001  # time to find that it has no child left

    def read(self, fd: int) -> bool:
        """True when there was something to read."""
        if not self.closing and self.credit <= 0:
            return False  # reading nothing would look like the end; the other stream used it up
        try:
            chunk = os.read(fd, PAYLOAD if self.closing else min(PAYLOAD, self.credit))
        except BlockingIOError:
            return False
        if not chunk:
            os.close(fd)
            if fd == self.stdout:
                self.stdout = -1
            else:
                self.stderr = -1
        elif not self.closing:
            self.emit(DATA if fd == self.stdout else ERR, chunk)
        return bool(chunk)

    def feed(self) -> None:
        try:
            sent = os.write(self.stdin, self.pending[:PAYLOAD])
        except BlockingIOError:
            return
        except OSError:
            sent = len(self.pending)
            self.shut()
        self.accept(sent)
        del self.pending[:sent]
        if self.ended and not self.pending:
            self.shut()

    def shut(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def data(self, payload: bytes) -> None:
        if self.stdin < 0:
            self.accept(len(payload))
        else:
            self.pending += payload

    def end(self) -> None:
        self.ended = True
        if not self.pending:
            self.shut()

    def close(self) -> None:
        self.closing, self.next_round = True, 0.0

    def turn(self, now: float, free: bool) -> float:
        if supervisor := self.started.supervisor:
            if now >= self.next_round:
                family = descendants(supervisor)
                kill([*family, supervisor] if self.rounds > PATIENCE else family)
                self.rounds += 1
                self.next_round = now + (0.002 if self.rounds < 10 else 0.02)
            return self.next_round - now
        if self.report >= 0:
            self.hear()
        if self.started.orphans and (left := self.runner.strays()):
            kill(left)
            return 0.005
        return self.finish(free)

    def finish(self, free: bool) -> float:
        while True:
            if not self.closing and (not free or self.credit <= 0):
                return LONG
            both = [self.read(fd) for fd in (self.stdout, self.stderr) if fd >= 0]
            if not any(both):
                break
            free = len(self.runner.sending) < BUSY
        self.shut()
        for fd in (self.stdout, self.stderr):
            if fd >= 0:
                os.close(fd)
        status = -signal.SIGKILL if self.status is None else self.status
        after = ooms()
        text = b"" if after is None or self.ooms is None else b"%d" % (after - self.ooms)
        self.runner.done(self.id, 1 if self.error else 0, self.error or status, text)
        return 0.0


class Tcp(Channel):
    """A connection to a port in here."""

    def __init__(self, runner: Runner, number: int, port: int) -> None:
        super().__init__(runner, number)
        self.pending, self.opened, self.ended, self.finished = bytearray(), False, False, False
        self.addresses = [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port))]
        self.socket = self.connect()

    def connect(self) -> socket.socket:
        while self.addresses:
            family, address = self.addresses.pop(0)
            with contextlib.suppress(OSError):
                connection = socket.socket(family, socket.SOCK_STREAM)
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if connection.connect_ex(address) in (0, errno.EINPROGRESS):
                    return connection
                connection.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "connect")

    def interest(self, free: bool) -> Iterable[tuple[int, int]]:
        mask = select.POLLOUT if self.pending or not self.opened else 0
        if self.opened and not self.finished and free and self.credit > 0:
            mask |= select.POLLIN
        return [(self.socket.fileno(), mask)] if mask else []

    def ready(self, fd: int, mask: int) -> None:
        broken = mask & (select.POLLERR | select.POLLHUP)
        try:
            if not self.opened:
                self.establish()
                return
            if self.pending and mask & select.POLLOUT | broken:
                self.push()
            if not self.finished and self.credit > 0 and mask & select.POLLIN | broken:
                self.receive()
        except BlockingIOError:
            pass
        except OSError as error:
            self.socket.close()
            self.runner.done(self.id, 1, error.errno or 0)

    def establish(self) -> None:
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.socket.close()
            self.socket = self.connect()
            return
        self.opened = True
        self.runner.send(OPENED, self.id)

    def receive(self) -> None:
        chunk = self.socket.recv(min(PAYLOAD, self.credit))
        if chunk:
            self.emit(DATA, chunk)
        else:
            self.finished = True
            self.runner.send(END, self.id)
            self.half()

    def half(self) -> None:
        """Passes the host's end-of-file on once all is sent; both ends seen, it is over."""
        if self.ended and not self.pending:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
            if self.finished:
                self.close()

    def push(self) -> None:
        sent = self.socket.send(self.pending[: 4 * PAYLOAD])
        self.accept(sent)
        del self.pending[:sent]
        self.half()

    def data(self, payload: bytes) -> None:
        waiting = bool(self.pending)
        self.pending += payload
        if self.opened and not waiting:
            with contextlib.suppress(OSError):  # `ready` is told again of what is wrong
                self.push()

    def end(self) -> None:
        self.ended = True
        self.half()

    def close(self) -> None:
        self.socket.close()
        super().close()


class Accept(Tcp):
    """A connection that a program in here makes to the runner's own port, when it makes one."""

    def __init__(self, runner: Runner, number: int, port: int) -> None:
        Channel.__init__(self, runner, number)
        self.pending, self.opened, self.ended, self.finished = bytearray(), False, False, False
        self.addresses = []
        self.socket = runner.opened(port)

    def turn(self, now: float, free: bool) -> float:
        """Nothing; but who waits at a door that others wait at as well is looked at each time."""
        return LONG

    def interest(self, free: bool) -> Iterable[tuple[int, int]]:
        return super().interest(free) if self.opened else [(self.socket.fileno(), select.POLLIN)]

    def ready(self, fd: int, mask: int) -> None:
        if self.opened:
            super().ready(fd, mask)
            return
        try:
            connection, _ = self.socket.accept()
        except (BlockingIOError, ConnectionError):
            return  # whoever knocked has gone
        except OSError as error:
            self.runner.done(self.id, 1, error.errno or 0)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket, self.opened = connection, True
        self.runner.restless.pop(self.id, None)
        self.runner.send(OPENED, self.id)

    def close(self) -> None:
        if self.opened:
            super().close()
        else:
            Channel.close(self)  # the door stays for the next


class Export(Channel):
    """Regular files below a folder, as entries that `vibe.sandbox.files` reads."""

    def __init__(
        self,
        runner: Runner,
        number: int,
        folder: str,
        max_bytes: int,
        max_file: int,
        max_files: int,
    ) -> None:
        super().__init__(runner, number)
        self.bytes_left, self.files_left, self.max_file = max_bytes, max_files, max_file
        self.buffer, self.more = bytearray(), True
        self.source = self.walk([part for part in folder.split("/") if part not in ("", ".")])

    def turn(self, now: float, free: bool) -> float:
        while free and self.credit > 0:
            if self.buffer:
                chunk = bytes(self.buffer[: min(PAYLOAD, self.credit)])
                del self.buffer[: len(chunk)]
                self.emit(DATA, chunk)
                free = len(self.runner.sending) < BUSY
            elif self.more:
                while self.more and len(self.buffer) < PAYLOAD:
                    piece = next(self.source, None)
                    self.buffer += piece or b""
                    self.more = piece is not None
            else:
                self.runner.done(self.id)
                return 0.0
        return LONG

    def walk(self, top: list[str]) -> Generator[bytes, None, None]:
        folders, left = [top], ENTRIES
        while folders:
            parts = folders.pop()
            try:
                fd = descend(parts)
            except OSError as error:
                yield dropped(parts, error)
                continue
            try:
                with os.scandir(fd) as entries:
                    names = sorted(entry.name for entry in itertools.islice(entries, left + 1))
                left -= len(names)
                for name in names:
                    path = [*parts, name]
                    try:
                        mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
                        if stat.S_ISDIR(mode) and len(path) <= DEPTH:
                            folders.append(path)
                        elif stat.S_ISREG(mode):
                            yield from self.content(fd, path)
                        else:
                            yield dropped(path, KINDS.get(stat.S_IFMT(mode), "odd"))
                    except OSError as error:
                        yield dropped(path, error)
            finally:
                os.close(fd)
            if left < 0:
                yield dropped(parts, "too many files")
                return

    def content(self, folder: int, path: list[str]) -> Generator[bytes, None, None]:
        fd = os.open(path[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        try:
            found = os.fstat(fd)
            left = found.st_size
            if not stat.S_ISREG(found.st_mode):
                yield dropped(path, "changed while it was read")
            elif left > self.max_file or left > self.bytes_left:
                yield dropped(path, "too large")
            elif not self.files_left:
                yield dropped(path, "too many files")
            else:
                self.bytes_left -= left
                self.files_left -= 1
                yield entry(0, path)
                with contextlib.suppress(OSError):
                    while left and (chunk := os.read(fd, min(left, PAYLOAD))):
                        left -= len(chunk)
                        yield struct.pack("!I", len(chunk)) + chunk
                yield struct.pack("!I", 0xFFFFFFFF if left else 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        self.source.close()
        super().close()


CHANNELS: dict[str, Any] = {
    "ping": Ping,
    "ports": Ports,
    "put": Put,
    "run": Run,
    "tcp": Tcp,
    "accept": Accept,
    "export": Export,
    "spare": Spare,
    "claim": Claim,
}
KINDS = {
    stat.S_IFDIR: "too deep",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


def entry(kind: int, path: list[str], reason: str = "") -> bytes:
    raw, why = os.fsencode("/".join(path))[:16384], reason.encode()[:200]
    return struct.pack("!BHB", kind, len(raw), len(why)) + raw + why


def dropped(path: list[str], reason: str | OSError) -> bytes:
    if isinstance(reason, OSError):
        reason = os.strerror(reason.errno or 0)
    return entry(1, path, reason)


def descend(folders: list[str], make: bool = False) -> int:
    """A descriptor of the folder below WORK, following no link on the way."""
    here = os.open(WORK, FOLDER)
    try:
        for name in folders:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=here)
            there = os.open(name, FOLDER, dir_fd=here)
            os.close(here)
            here = there
    except BaseException:
        os.close(here)
        raise
    return here


def parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return found


def descendants(top: int) -> list[int]:
    """Every process below `top`."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found, queue = [], [top]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def ooms() -> int | None:
    """How many processes of this box the kernel has killed for memory; None when it won't say."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        with contextlib.suppress(OSError), open(path) as lines:
            for line in lines:
                name, _, number = line.partition(" ")
                if name == "oom_kill":
                    return int(number)
    return None


def prctl(option: int, value: int) -> None:
    LIBC.prctl(option, value, 0, 0, 0)


LIBC = ctypes.CDLL(None)

WAITING = """\
def wait():
    import importlib, os, runpy, sys
    for name in sys.argv[1:]:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    try:
        os.write(3, b"1")
    except OSError:
        pass
    found = b""
    try:
        while chunk := os.read(3, 65536):
            found += chunk
    except OSError:
        pass
    os.close(3)
    if not found:
        os._exit(0)
    argv = os.fsdecode(found).split("\\0")
    importlib.invalidate_caches()
    names = {name.partition(".")[0] for name in os.listdir()}
    if argv[1] not in ("-m", "-") or names & set(sys.modules):
        os.execvp(argv[0], argv)
    program = argv[1] == "-" and compile(sys.stdin.buffer.read(), "<stdin>", "exec")
    sys.orig_argv, sys.argv = argv, argv[1:]
    del globals()["wait"]
    try:
        if program:
            globals().update(__file__="<stdin>", __cached__=None)
            exec(program, globals())
            return
        del sys.argv[1]
        sys.path[0] = os.getcwd()
        if not hasattr(sys.modules.get(argv[2]), "__path__"):
            sys.modules.pop(argv[2], None)  # else runpy warns that it is there already
        runpy._run_module_as_main(argv[2])
    except Exception as error:
        error.__traceback__ = error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(1)
wait()
"""
"""What a spare runs: `python -m` of what it is told, or `python -` of its standard input, as Python
itself does that. An app's file named like a module that is imported already must win over it: then
it begins anew."""


def supervise(
    argv: list[str], env: dict[str, str], pipes: tuple[int, ...], report: int
) -> NoReturn:
    """In the fork: starts the command, adopts its orphans, ends when there are none."""
    try:
        signal.set_wakeup_fd(-1)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(10)  # so that the runner has its turn among a hundred busy processes
        try:
            os.chdir(WORK)
            main = os.posix_spawnp(
                argv[0],
                argv,
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(pipes)],
                setsid=True,
                setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD],
            )
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None) or errno.EINVAL
            os.write(report, struct.pack("!ii", 127, number))
            os._exit(0)
        os.closerange(0, report)
        os.closerange(report + 1, 4096)
        while True:
            pid, status = os.wait()
            if pid == main:
                os.write(report, struct.pack("!ii", os.waitstatus_to_exitcode(status), 0))
    except ChildProcessError:
        os._exit(0)
    finally:
        os._exit(70)


def main() -> None:
    inward, outward, nothing = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.set_blocking(outward, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    runner = Runner(inward, outward)
    prctl(PR_SET_DUMPABLE, 0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    with contextlib.suppress(OSError, KeyError):
        os.makedirs(os.environ["HOME"], exist_ok=True)
    gc.freeze()
    try:
        runner.serve()
    except BrokenPipeError:
        pass  # the host is gone
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        for _ in range(PATIENCE):
            if not (left := descendants(os.getpid())):
                break
            kill(left)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.002)
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
