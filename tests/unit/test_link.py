"""The host end against a box that lies: every frame is checked, every buffer bounded."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe.errors import BoxLost, UserError
from vibe.sandbox.box import PipeBox
from vibe.sandbox.frames import PAYLOAD, VERSION, WINDOW, Decoder, Kind, bootstrap, encode
from vibe.sandbox.link import BACKLOG, CHANNELS, SMALL, Link, runner_source

HELLO = encode(Kind.HELLO, 0, struct.pack("!I", VERSION))
DONE = struct.pack("!Bi", 0, 0)


class Liar:
    """A pipe whose far end says whatever the test wants. `answers` may react to what was sent."""

    def __init__(self, hello: bytes = HELLO) -> None:
        self.sent = bytearray()
        self.closed = False
        self.stuck = 0
        self.said = ""
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.say(hello)

    def say(self, data: bytes) -> None:
        if data:
            self._queue.put_nowait(data)

    def hang_up(self) -> None:
        self._queue.put_nowait(b"")

    async def read(self) -> bytes:
        return await self._queue.get()

    def write(self, data: bytes) -> None:
        self.sent += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def waiting(self) -> int:
        return self.stuck

    def close(self) -> None:
        self.closed = True
        self.hang_up()

    def diagnostics(self) -> str:
        return self.said

    def frames(self) -> list[tuple[Kind, int, bytes]]:
        return list(Decoder().feed(bytes(self.sent[len(bootstrap(runner_source())) :])))


async def no_memory(expected: bool) -> bool:
    return False


async def nothing() -> None:
    return


async def liar_and_link() -> tuple[Liar, Link]:
    liar = Liar()
    return liar, await Link.start(liar, lifetime_s=60)


def make_box(link: Link, remove: Callable[[], Coroutine[None, None, None]] = nothing) -> PipeBox:
    return PipeBox(
        link, id="x", engine="none", image="none", lifetime_s=60, memory=no_memory, remove=remove
    )


async def lost(link: Link) -> str:
    await asyncio.wait_for(link.gone.wait(), 5)
    assert link.lost
    await link.close()
    return link.lost.message


async def test_the_source_goes_first_and_then_the_lifetime() -> None:
    liar, link = await liar_and_link()
    assert liar.sent.startswith(bootstrap(runner_source()))
    assert liar.frames() == [(Kind.HELLO, 0, b'{"lifetime_s": 60}')]
    await link.close()
    assert liar.closed


@pytest.mark.parametrize(
    "hello",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        encode(Kind.DONE, 1, DONE),
        encode(Kind.HELLO, 0, struct.pack("!I", 999)),
        encode(Kind.HELLO, 7, struct.pack("!I", VERSION)),
        encode(Kind.HELLO, 0),
        b"\xff" * 100,
    ],
)
async def test_what_is_not_our_runner_is_refused(hello: bytes) -> None:
    with pytest.raises(BoxLost):
        await Link.start(Liar(hello), lifetime_s=60, within_s=5)


async def test_a_runner_that_says_nothing_is_given_up() -> None:
    liar = Liar(b"")
    with pytest.raises(BoxLost, match="said nothing"):
        await Link.start(liar, lifetime_s=60, within_s=0.1)
    assert liar.closed


async def test_a_box_that_ends_at_once_says_what_it_last_said() -> None:
    liar = Liar(b"")
    liar.said = "Traceback\nMemoryError: no\n"
    liar.hang_up()
    with pytest.raises(BoxLost, match="MemoryError: no"):
        await Link.start(liar, lifetime_s=60, within_s=5)


def wrong(purpose: str, *frames: bytes) -> tuple[str, bytes]:
    return purpose, b"".join(frames)


ODD = {
    "a channel never opened": wrong("run", encode(Kind.DATA, 2, b"x")),
    "channel nought": wrong("run", encode(Kind.DATA, 0, b"x")),
    "a second hello": wrong("run", HELLO),
    "a frame after the last": wrong("run", encode(Kind.DONE, 1, DONE), encode(Kind.DATA, 1, b"x")),
    "a second end": wrong("run", encode(Kind.DONE, 1, DONE), encode(Kind.DONE, 1, DONE)),
    "a broken end": wrong("run", encode(Kind.DONE, 1, b"ab")),
    "our own words": wrong("run", encode(Kind.OPEN, 1, b"{}")),
    "a close": wrong("tcp", encode(Kind.CLOSE, 1)),
    "output of a put": wrong("put", encode(Kind.DATA, 1, b"x")),
    "output of a ping": wrong("ping", encode(Kind.DATA, 1, b"x")),
    "errors in a stream": wrong("tcp", encode(Kind.OPENED, 1), encode(Kind.ERR, 1, b"x")),
    "data before the stream is open": wrong("tcp", encode(Kind.DATA, 1, b"x")),
    "an end before the stream is open": wrong("tcp", encode(Kind.END, 1)),
    "a stream opened twice": wrong("tcp", encode(Kind.OPENED, 1), encode(Kind.OPENED, 1)),
    "a run that opens": wrong("run", encode(Kind.OPENED, 1)),
    "data after its end": wrong(
        "tcp", encode(Kind.OPENED, 1), encode(Kind.END, 1), encode(Kind.DATA, 1, b"x")
    ),
    "nothing as data": wrong("run", encode(Kind.DATA, 1)),
    "credit it never had": wrong("put", encode(Kind.CREDIT, 1, struct.pack("!I", 1))),
    "no credit": wrong("put", encode(Kind.CREDIT, 1, struct.pack("!I", 0))),
    "half a credit": wrong("put", encode(Kind.CREDIT, 1, b"ab")),
    "more than the window": wrong("run", *[encode(Kind.DATA, 1, bytes(PAYLOAD))] * 5),
    "a frame too long": wrong("run", struct.pack("!IBI", PAYLOAD + 1, 4, 1)),
    "an unknown kind": wrong("run", struct.pack("!IBI", 0, 77, 1)),
}


@pytest.mark.parametrize("purpose_and_frames", ODD.values(), ids=ODD.keys())
async def test_a_frame_that_cannot_come_loses_the_box(
    purpose_and_frames: tuple[str, bytes],
) -> None:
    purpose, frames = purpose_and_frames
    liar, link = await liar_and_link()
    channel = await link.open(purpose)
    liar.say(frames)
    reason = await lost(link)
    assert reason.startswith("The box sent") or "credit" in reason or "opened" in reason, reason
    assert liar.closed
    with pytest.raises(BoxLost):
        await link.open("ping")
    if not channel.done:
        with pytest.raises(BoxLost):
            await channel.finished()


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*Kind] * 2 + [Kind.DATA] * 10),
            st.integers(0, 7),
            st.sampled_from([b"", b"x", DONE, struct.pack("!I", 5), bytes(PAYLOAD)]),
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_any_frames_in_any_order_are_bounded_and_end_in_order_or_in_a_lost_box(
    said: list[tuple[Kind, int, bytes]],
) -> None:
    async def attempt() -> None:
        liar, link = await liar_and_link()
        purposes = ["run", "tcp", "put", "export", "ping", "ports"]
        channels = [await link.open(purpose) for purpose in purposes]
        for one in said:
            liar.say(encode(*one))
        liar.hang_up()
        await lost(link)
        for channel in channels:
            assert sum(len(piece) for _, piece in channel._pieces) <= WINDOW
            try:
                while await channel.receive():
                    pass
                await channel.finished()
            except BoxLost:
                pass

    asyncio.run(asyncio.wait_for(attempt(), 10))


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(deadline=None)
def test_garbage_after_the_hello_loses_the_box(said: list[bytes]) -> None:
    async def attempt() -> None:
        liar, link = await liar_and_link()
        await link.open("run", argv=["x"], env={})
        for one in said:
            liar.say(one)
        liar.hang_up()
        await lost(link)

    asyncio.run(asyncio.wait_for(attempt(), 10))


async def test_a_reader_that_does_not_read_gets_a_window_and_no_more() -> None:
    liar, link = await liar_and_link()
    channel = await link.open("run")
    for _ in range(WINDOW // PAYLOAD):
        liar.say(encode(Kind.DATA, 1, bytes(PAYLOAD)))
    await asyncio.sleep(0.05)
    assert not [frame for frame in liar.frames() if frame[0] is Kind.CREDIT]
    assert await channel.receive() == (Kind.DATA, bytes(PAYLOAD))
    await asyncio.sleep(0)
    assert [frame for frame in liar.frames() if frame[0] is Kind.CREDIT] == [
        (Kind.CREDIT, 1, struct.pack("!I", PAYLOAD))
    ]
    await link.close()


async def test_a_window_of_single_bytes_is_kept_in_few_pieces() -> None:
    liar, link = await liar_and_link()
    channel = await link.open("tcp", port=1)
    liar.say(encode(Kind.OPENED, 1))
    for start in range(0, WINDOW, 4096):
        liar.say(
            b"".join(encode(Kind.DATA, 1, bytes([at % 251])) for at in range(start, start + 4096))
        )
    while sum(len(piece) for _, piece in channel._pieces) < WINDOW:
        await asyncio.sleep(0)
    assert len(channel._pieces) <= WINDOW // SMALL
    liar.say(encode(Kind.END, 1))
    found = b""
    while piece := await channel.receive():
        found += piece[1]
    assert found == bytes(at % 251 for at in range(WINDOW))
    await link.close()


async def test_a_writer_stops_at_the_window_until_there_is_credit() -> None:
    liar, link = await liar_and_link()
    channel = await link.open("put")
    sending = asyncio.create_task(channel.send(bytes(WINDOW + 5)))
    await asyncio.sleep(0.05)
    assert sum(len(data) for kind, _, data in liar.frames() if kind is Kind.DATA) == WINDOW
    assert not sending.done()
    liar.say(encode(Kind.CREDIT, 1, struct.pack("!I", 5)))
    await asyncio.wait_for(sending, 5)
    assert sum(len(data) for kind, _, data in liar.frames() if kind is Kind.DATA) == WINDOW + 5
    await link.close()


async def test_a_box_that_does_not_read_its_pipe_is_lost() -> None:
    liar, link = await liar_and_link()
    liar.stuck = BACKLOG + 1
    await link.open("ping")
    assert "read" in await lost(link)


async def test_no_more_channels_are_open_at_once_than_agreed() -> None:
    liar, link = await liar_and_link()
    for _ in range(CHANNELS):
        await link.open("tcp", port=1)
    waiting = asyncio.create_task(link.open("ping"))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    liar.say(encode(Kind.DONE, 9, DONE))
    assert (await asyncio.wait_for(waiting, 5)).id == CHANNELS + 1
    more = asyncio.create_task(link.open("ping"))
    await asyncio.sleep(0.02)
    await link.close()
    with pytest.raises(BoxLost):
        await more


async def test_a_request_too_long_for_a_frame_is_the_callers_to_mend() -> None:
    _, link = await liar_and_link()
    with pytest.raises(UserError):
        await link.open("run", argv=["x" * PAYLOAD], env={})
    await link.close()


async def test_a_command_the_box_will_not_kill_costs_the_box_its_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vibe.sandbox.box.KILL_S", 0.1)
    removed = asyncio.Event()

    async def remove() -> None:
        removed.set()

    _, link = await liar_and_link()
    box = make_box(link, remove)
    outcome = await box.run(["x"], wall_s=0.1)
    assert outcome.how == "timeout"
    assert removed.is_set()
    await box.stop()


async def test_a_box_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vibe.sandbox.box.ANSWER_S", 0.1)
    _, link = await liar_and_link()
    box = make_box(link)
    with pytest.raises(BoxLost, match="no answer"):
        await box.ports()
    await box.stop()


async def test_a_command_in_a_box_that_vanishes_has_no_outcome() -> None:
    liar, link = await liar_and_link()
    box = make_box(link)
    running = asyncio.create_task(box.run(["x"]))
    await asyncio.sleep(0.02)
    liar.hang_up()
    with pytest.raises(BoxLost, match="ended"):
        await running
    await box.stop()


async def test_an_exit_status_is_all_the_box_can_say_about_a_command() -> None:
    """Its words can't claim more than the host saw: no time-out, no memory, no success."""
    liar, link = await liar_and_link()
    box = make_box(link)
    running = asyncio.create_task(box.run(["x"]))
    await asyncio.sleep(0.02)
    liar.say(encode(Kind.DATA, 1, b"out") + encode(Kind.ERR, 1, b"err"))
    liar.say(encode(Kind.DONE, 1, struct.pack("!Bi", 0, -9) + b"7"))
    outcome = await running
    assert (outcome.how, outcome.exit_code) == ("error", -9)
    assert (outcome.stdout, outcome.stderr) == (b"out", b"err")
    await box.stop()
