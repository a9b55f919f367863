"""Reading a stream's bytes: however they are split, and whatever they are."""

import asyncio
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vibe.completion import Answer, objects
from vibe.errors import ModelFault

TEXTS = st.lists(st.text(min_size=1, max_size=20), max_size=8)
NAMES = ["choices", "delta", "message", "content", "text", "reasoning", "finish_reason"]
COUNTS = ["model", "usage", "prompt_tokens", "completion_tokens"]
ENDS = st.sampled_from(["\n\n", "\r\n\r\n", "\r\n", "\n", "\n: comment\n\n"])


def read(chunks, content_type="text/event-stream", most=10_000):
    """All objects in those chunks of bytes."""

    async def come():
        for chunk in chunks:
            yield chunk

    async def collect():
        return [event async for event in objects(come(), content_type, most)]

    return asyncio.run(collect())


def pieces(data, cuts):
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    parts = [data[a:b] for a, b in pairwise(places)]
    return [part for part in parts if part]


@given(TEXTS, ENDS, st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_any_split_of_the_bytes_gives_the_same_text(texts, end, cuts, ascii_only):
    events = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    lines = [f"data: {json.dumps(event, ensure_ascii=ascii_only)}{end}" for event in events]
    data = "".join(lines).encode() + b"data: [DONE]\n\ndata: junk after the end\n\n"
    answer = Answer(10_000)
    assert "".join(answer.take(event) for event in read(pieces(data, cuts))) == "".join(texts)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.booleans())
def test_any_garbage_is_read_to_its_end_or_refused(chunks, as_json):
    answer = Answer(100)
    try:
        for event in read(chunks, "application/json" if as_json else "text/event-stream"):
            answer.take(event)
    except ModelFault:
        pass
    assert answer.bytes <= 100


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*NAMES, *COUNTS]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ).filter(lambda value: isinstance(value, dict))
)
def test_an_object_of_any_shape_gives_text_and_countable_tokens(event):
    answer = Answer(1_000)
    answer.take(event).encode()
    prompt, completion, _ = answer.tokens(40)
    assert prompt >= 0
    assert completion >= 0


@given(st.lists(st.text(min_size=1, max_size=9), max_size=20), st.integers(0, 40))
def test_text_never_outgrows_its_limit_and_stays_readable(texts, most):
    answer = Answer(most)
    kept = "".join(
        answer.take({"choices": [{"delta": {"content": text}}]})
        for text in texts
        if not answer.full
    )
    assert len(kept.encode()) <= most
    assert "".join(texts).startswith(kept)
    assert answer.full == (len("".join(texts).encode()) > most)
    assert answer.finish == ("length" if answer.full else None)
