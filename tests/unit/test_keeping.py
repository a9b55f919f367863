"""When the events of a build reach the disk, and that none is lost on the way."""

import asyncio

import pytest

from vibe.errors import UserError
from vibe.events import Notice, Output, ReplyText
from vibe.keeping import KEPT_EVENTS, Keeper


class Kept:
    """What was written, in batches, and whether it had to be on the disk."""

    def __init__(self):
        self.batches = []
        self.came = asyncio.Event()

    async def __call__(self, events, sync):
        await asyncio.sleep(0)
        self.batches.append(([event.text for event in events], sync))
        self.came.set()


@pytest.fixture
async def kept():
    return Kept()


async def test_streamed_text_is_written_although_nothing_follows_it(kept):
    async with Keeper(kept) as keeper:
        await keeper.take(ReplyText(text="a first half"))
        await asyncio.wait_for(kept.came.wait(), 10)
        assert kept.batches == [(["a first half"], False)]


async def test_a_stage_is_on_the_disk_at_once_after_the_text_before_it(kept):
    async with Keeper(kept) as keeper:
        await keeper.take(ReplyText(text="text"))
        await keeper.take(Notice(text="stage"))
        assert kept.batches == [(["text", "stage"], True)]


async def test_a_flood_of_tokens_is_one_text_in_few_events(kept):
    tokens = [f"{number} " for number in range(5 * KEPT_EVENTS)]
    async with Keeper(kept) as keeper:
        for token in tokens:
            await keeper.take(ReplyText(text=token))
    texts = [text for batch, _ in kept.batches for text in batch]
    assert "".join(texts) == "".join(tokens)
    assert len(texts) == len(kept.batches) <= 6


async def test_what_goes_to_other_streams_stays_apart_and_in_order(kept):
    told = [("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")]
    async with Keeper(kept) as keeper:
        for stream, text in told:
            await keeper.take(Output(stream=stream, text=text))
    assert kept.batches == [(["ab", "c", "d"], False)]


async def test_a_build_that_is_stopped_keeps_what_had_come(kept):
    began = asyncio.Event()

    async def build():
        async with Keeper(kept) as keeper:
            await keeper.take(ReplyText(text="half"))
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(build())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept.batches == [(["half"], False)]


async def test_a_full_disk_is_said_by_the_next_event():
    async def keep(events, sync):
        raise UserError("The disk is full.")

    async def build():
        async with Keeper(keep) as keeper:
            await keeper.take(ReplyText(text="lost"))
            await keeper.take(Notice(text="never"))
            raise AssertionError("it went on")

    with pytest.raises(UserError):
        await build()
