"""The codec: any split of the bytes gives the same frames, any garbage one documented error."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.errors import BoxLost
from vibe.sandbox import frames, runner
from vibe.sandbox.frames import HEADER, PAYLOAD, Decoder, Demultiplexer, Frame, Kind, encode

frame = st.tuples(
    st.sampled_from(Kind),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300) | st.sampled_from([b"", bytes(PAYLOAD), b"\xff" * (PAYLOAD - 1)]),
)


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(points)]


def decoded(pieces: list[bytes]) -> list[Frame]:
    decoder = Decoder()
    return [found for piece in pieces for found in decoder.feed(piece)]


@given(st.lists(frame, max_size=8), st.lists(st.integers(0, 3000), max_size=60))
def test_any_split_of_the_bytes_gives_the_frames_that_went_in(
    sent: list[Frame], cuts: list[int]
) -> None:
    data = b"".join(encode(*one) for one in sent)
    assert decoded(split(data, cuts)) == sent


@given(st.lists(frame, max_size=3))
def test_bytes_that_come_one_by_one_give_the_frames_that_went_in(sent: list[Frame]) -> None:
    data = b"".join(encode(kind, channel, payload[:50]) for kind, channel, payload in sent)
    assert decoded([bytes([byte]) for byte in data]) == [
        (kind, channel, payload[:50]) for kind, channel, payload in sent
    ]


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_garbage_is_frames_or_a_lost_box_and_never_piles_up(pieces: list[bytes]) -> None:
    decoder = Decoder()
    try:
        for piece in pieces:
            for kind, _, payload in decoder.feed(piece):
                assert isinstance(kind, Kind)
                assert len(payload) <= PAYLOAD
            assert len(decoder._buffer) <= HEADER.size + PAYLOAD
    except BoxLost:
        pass


@given(st.integers(PAYLOAD + 1, 2**32 - 1), st.integers(0, 255))
def test_a_frame_that_is_too_long_is_refused_by_its_header_alone(size: int, kind: int) -> None:
    with pytest.raises(BoxLost):
        list(Decoder().feed(HEADER.pack(size, kind, 1)))


@pytest.mark.parametrize("kind", [0, 10, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(BoxLost):
        list(Decoder().feed(HEADER.pack(0, kind, 1)))


def test_a_frame_of_ours_is_never_too_long() -> None:
    with pytest.raises(ValueError, match="65536"):
        encode(Kind.DATA, 1, bytes(PAYLOAD + 1))


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300)), max_size=10),
    st.lists(st.integers(0, 3000), max_size=60),
)
def test_dockers_multiplexing_comes_apart_however_it_is_split(
    sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    data = b"".join(struct.pack("!BxxxI", stream, len(text)) + text for stream, text in sent)
    apart = Demultiplexer()
    found = {1: b"", 2: b""}
    for piece in split(data, cuts):
        for stream, text in apart.feed(piece):
            found[stream] += text
    assert found == {n: b"".join(text for stream, text in sent if stream == n) for n in (1, 2)}


@given(st.lists(st.binary(max_size=500), max_size=20))
def test_garbage_from_docker_is_bytes_or_a_lost_box(pieces: list[bytes]) -> None:
    apart = Demultiplexer()
    try:
        for piece in pieces:
            assert sum(len(text) for _, text in apart.feed(piece)) <= len(piece)
            assert len(apart._header) < 8
    except BoxLost:
        pass


def test_both_ends_of_the_pipe_speak_the_same_language() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        name: getattr(runner, name) for name in Kind.__members__
    }
    assert (runner.PAYLOAD, runner.WINDOW, runner.VERSION, runner.HEADER.format) == (
        frames.PAYLOAD,
        frames.WINDOW,
        frames.VERSION,
        frames.HEADER.format,
    )
