"""The model client against a real HTTP server that misbehaves in every way we know."""

import asyncio
import json
import logging
import time
import traceback
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from server import ModelServer, answer_json, refuses, stays_silent, streams

from vibe.endpoints import Endpoint, find_endpoint
from vibe.errors import ModelFault, UserError
from vibe.model import Message, OpenAIModel, Prompt, ReplyEnd
from vibe.refusal import LONGEST_WAIT_S, Passing
from vibe.settings import Limits, Settings

KEY = "sk-test-5f3a9c0d1e2b4a6788f0"
PROMPT = Prompt("code", (Message("system", "Write programs."), Message("user", "A clock.")))
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def model_at(server, *, settings=None, on_wait=None, model=None, key=KEY, **limits):
    endpoint = Endpoint(server.url, key, server.models, "OPENAI_BASE_URL")
    settings = settings or Settings(limits=replace(Limits(), **limits))
    return OpenAIModel(endpoint, settings, on_wait=on_wait, model=model)


async def reply(model, prompt=PROMPT):
    """The whole text and the end of one reply."""
    *pieces, end = [piece async for piece in model.reply(prompt)]
    assert isinstance(end, ReplyEnd)
    assert all(isinstance(piece, str) and piece for piece in pieces)
    return "".join(pieces), end


async def test_text_comes_in_pieces_and_ends_with_what_the_server_counted():
    async with ModelServer(streams("Here ", "it ", "is.", usage=USAGE)) as server:
        pieces = [piece async for piece in model_at(server).reply(PROMPT)]
    assert pieces[:-1] == ["Here ", "it ", "is."]
    end = pieces[-1]
    assert (end.finish, end.model, end.estimated) == ("stop", "served", False)
    assert (end.prompt_tokens, end.completion_tokens) == (7, 3)
    assert 0 < end.seconds_to_first <= end.seconds


async def test_the_first_piece_comes_before_the_last_is_written():
    go_on = asyncio.Event()

    async def answer(exchange):
        await exchange.head()
        await exchange.text("first")
        await go_on.wait()
        await exchange.delta("stop", content="last")

    async with (
        ModelServer(answer) as server,
        aclosing(model_at(server).reply(PROMPT)) as pieces,
    ):
        assert await anext(pieces) == "first"
        go_on.set()
        assert await anext(pieces) == "last"


async def test_only_the_messages_the_model_and_how_to_answer_are_sent():
    async with ModelServer(streams("ok")) as server:
        await reply(model_at(server))
        (exchange,) = server.asked
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.body == {
        "model": "small-chat",
        "messages": [
            {"role": "system", "content": "Write programs."},
            {"role": "user", "content": "A clock."},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 16_000,
    }


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "filter"),
        ("tool_calls", "stop"),
        ("error", "cut"),
    ],
)
async def test_the_finish_reason_is_told(said, means):
    async with ModelServer(streams("x", finish=said)) as server:
        _, end = await reply(model_at(server))
    assert end.finish == means


async def test_without_a_count_from_the_server_tokens_are_estimated_from_the_text():
    async with ModelServer(streams("12345678", "9")) as server:
        _, end = await reply(model_at(server))
    assert end.estimated
    assert (end.prompt_tokens, end.completion_tokens) == (6, 3)


@pytest.mark.parametrize("usage", [{"prompt_tokens": None}, {"prompt_tokens": "7"}, {"x": 1}])
async def test_a_count_that_is_no_count_is_estimated_too(usage):
    async with ModelServer(streams("1234", usage=usage)) as server:
        _, end = await reply(model_at(server))
    assert (end.estimated, end.prompt_tokens, end.completion_tokens) == (True, 6, 1)


# Replies that break off


@pytest.mark.parametrize("done", [True, False])
async def test_a_stream_without_a_finish_reason_was_cut(done):
    async with ModelServer(streams("half a pro", finish=None, done=done)) as server:
        text, end = await reply(model_at(server))
    assert (text, end.finish, len(server.asked)) == ("half a pro", "cut", 1)


async def test_a_connection_that_breaks_after_text_cuts_the_reply_and_is_not_tried_again():
    async def answer(exchange):
        await exchange.head()
        await exchange.text("half")
        await asyncio.sleep(0.1)
        exchange.reset()

    told = []
    async with ModelServer(answer, streams("again")) as server:
        text, end = await reply(model_at(server, on_wait=told.append))
    assert (text, end.finish, len(server.asked)) == ("half", "cut", 1)
    assert "cut off" in told[0]


async def test_a_body_shorter_than_promised_cuts_the_reply():
    async def answer(exchange):
        await exchange.head(Content_Length=5000)
        await exchange.text("half")

    async with ModelServer(answer) as server:
        assert (await reply(model_at(server)))[1].finish == "cut"


async def test_a_connection_that_breaks_before_text_is_tried_again():
    async def answer(exchange):
        await exchange.head()
        await exchange.delta(role="assistant", content="")
        exchange.reset()

    async with ModelServer(answer, streams("whole")) as server:
        text, end = await reply(model_at(server))
    assert (text, end.finish, len(server.asked)) == ("whole", "stop", 2)


async def test_a_reply_that_stays_empty_is_the_models_fault_after_three_tries():
    async with ModelServer(streams(finish=None, done=False)) as server:
        with pytest.raises(ModelFault, match="ended before"):
            await reply(model_at(server))
    assert len(server.asked) == 3


async def test_a_reply_that_is_finished_and_empty_is_a_reply():
    async with ModelServer(streams(finish="stop")) as server:
        text, end = await reply(model_at(server))
    assert (text, end.finish, len(server.asked)) == ("", "stop", 1)


# Tries and waits


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_trouble_that_passes_is_waited_out_and_the_wait_is_told(status):
    told = []
    async with ModelServer(refuses(status, "slow", Retry_After=0), streams("ok")) as server:
        text, _ = await reply(model_at(server, on_wait=told.append))
    assert text == "ok"
    assert len(server.asked) == 2
    assert len(told) == 1
    assert str(status) in told[0]
    assert "Trying again" in told[0]


async def test_three_tries_are_the_most():
    async with ModelServer(refuses(503, "overloaded", Retry_After="0")) as server:
        with pytest.raises(UserError, match=r"503.*overloaded"):
            await reply(model_at(server))
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 501])
async def test_what_will_not_pass_is_not_tried_again_as_it_was(status):
    async with ModelServer(refuses(status)) as server:
        with pytest.raises(UserError) as caught:
            await reply(model_at(server))
    bodies = [json.dumps(exchange.body) for exchange in server.asked]
    assert len(bodies) == len(set(bodies)) <= 2
    assert caught.value.fix


async def test_an_account_without_credit_is_not_asked_again():
    answer = refuses(429, "You exceeded your quota.", code="insufficient_quota")
    async with ModelServer(answer) as server:
        with pytest.raises(UserError, match="no credit"):
            await reply(model_at(server))
    assert len(server.asked) == 1


async def test_retry_after_in_seconds_is_honoured():
    told = []
    async with ModelServer(refuses(429, Retry_After="1.2"), streams("ok")) as server:
        start = time.monotonic()
        await reply(model_at(server, on_wait=told.append))
    assert time.monotonic() - start >= 1.2
    assert told[0].endswith("Trying again in 1.2 s.")


async def test_retry_after_as_a_date_is_honoured():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    async with ModelServer(refuses(503, Retry_After=date), streams("ok")) as server:
        start = time.monotonic()
        await reply(model_at(server))
    assert time.monotonic() - start >= 1.2


@pytest.mark.parametrize("value", ["-5", "soon", "nan", "inf", "Mon, 99 Foo 2020 77:00:00 GMT"])
async def test_a_retry_after_that_makes_no_sense_means_a_short_pause(value):
    async with ModelServer(refuses(429, Retry_After=value), streams("ok")) as server:
        async with asyncio.timeout(25):
            assert (await reply(model_at(server)))[0] == "ok"


def test_no_wait_is_longer_than_a_minute_and_pauses_grow():
    assert Passing(UserError("x"), after=9999).wait(1) == LONGEST_WAIT_S
    assert all(0.5 <= Passing(UserError("x")).wait(1) <= 1 for _ in range(50))
    assert all(1 <= Passing(UserError("x")).wait(2) <= 2 for _ in range(50))


async def test_a_wait_that_would_outlast_the_reply_is_not_begun():
    async with ModelServer(refuses(429, "later", Retry_After="30")) as server:
        async with asyncio.timeout(25):
            with pytest.raises(UserError, match="too busy"):
                await reply(model_at(server, reply_s=10))
    assert len(server.asked) == 1


async def test_an_error_inside_the_stream_is_tried_again_before_text():
    async def answer(exchange):
        await exchange.head()
        await exchange.event(error={"message": "engine overloaded", "code": 503})

    async with ModelServer(answer, streams("ok")) as server:
        assert (await reply(model_at(server)))[0] == "ok"


async def test_an_error_inside_the_stream_that_will_not_pass_is_told():
    async def answer(exchange):
        await exchange.head()
        await exchange.event(error={"message": "prompt is too long", "code": 400})

    async with ModelServer(answer) as server:
        with pytest.raises(UserError, match="prompt is too long"):
            await reply(model_at(server))
    assert len(server.asked) == 1


async def test_an_error_inside_the_stream_cuts_a_reply_that_has_begun():
    async def answer(exchange):
        await exchange.head()
        await exchange.text("half")
        await exchange.event(error={"message": "engine died"})

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server))
    assert (text, end.finish, len(server.asked)) == ("half", "cut", 1)


# Parameters an endpoint does not know


def particular(*unknown, message="Unrecognized request argument: {}"):
    """An endpoint that refuses some parameters."""

    async def answer(exchange):
        for name in unknown:
            if name in exchange.body:
                return await refuses(400, message.format(name))(exchange)
        return await streams("ok")(exchange)

    return answer


@pytest.mark.parametrize("name", ["stream_options", "max_completion_tokens"])
async def test_a_parameter_that_is_refused_is_left_out_from_then_on(name):
    async with ModelServer(particular(name)) as server:
        model = model_at(server)
        assert (await reply(model))[0] == "ok"
        assert (await reply(model))[0] == "ok"
    optional = {"stream_options", "max_completion_tokens"}
    sent = [set(exchange.body) & optional for exchange in server.asked]
    assert sent == [optional, optional - {name}, optional - {name}]


async def test_a_limit_that_is_refused_under_its_old_name_is_left_out():
    answer = particular("max_completion_tokens", message="max_tokens is too large: 16000")
    async with ModelServer(answer) as server:
        assert (await reply(model_at(server)))[0] == "ok"
    assert "stream_options" in server.asked[-1].body


@pytest.mark.parametrize("message", ["Unknown field {}", "Bad request"])
async def test_an_endpoint_that_refuses_both_still_answers(message):
    answer = particular("stream_options", "max_completion_tokens", message=message)
    async with ModelServer(answer) as server:
        assert (await reply(model_at(server)))[0] == "ok"
        assert len(server.asked) <= 3


async def test_a_request_that_is_refused_for_another_reason_says_the_endpoints_words():
    async with ModelServer(refuses(400, "context length exceeded")) as server:
        model = model_at(server)
        with pytest.raises(UserError, match="context length exceeded"):
            await reply(model)
        server.answers = [streams("ok")]
        await reply(model)
    assert "stream_options" in server.asked[-1].body, "that refusal was not about parameters"


# Silence and endlessness


@pytest.mark.parametrize("after_head", [False, True])
async def test_an_endpoint_that_stays_silent_is_given_up(after_head):
    async with ModelServer(stays_silent(after_head=after_head)) as server:
        with pytest.raises(UserError, match=r"did not answer within 1\.5 s") as caught:
            await reply(model_at(server, first_token_s=1.5))
        assert "first_token_s" in caught.value.fix
        assert len(server.asked) == 1
        await asyncio.wait_for(server.asked[0].left.wait(), 10)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_thinking_is_no_text_but_a_sign_of_life(name):
    async def answer(exchange):
        await exchange.head()
        for _ in range(6):
            await exchange.delta(**{name: "hmm "}, content=None)
            await asyncio.sleep(0.3)
        await exchange.delta("stop", content="So.")

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server, first_token_s=1.5))
    assert (text, end.finish) == ("So.", "stop")
    assert end.completion_tokens >= 6
    assert end.seconds_to_first > 1.5


async def test_a_model_that_thinks_for_ever_is_given_up():
    async def answer(exchange):
        await exchange.head()
        while True:
            await exchange.delta(reasoning_content="hmm ")
            await asyncio.sleep(0.02)

    async with ModelServer(answer) as server:
        with pytest.raises(UserError, match="thought for a long time"):
            await reply(model_at(server, reply_s=2))


async def test_a_reply_that_takes_too_long_is_cut():
    async def answer(exchange):
        await exchange.head()
        while True:
            await exchange.text("and ")
            await asyncio.sleep(0.02)

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server, reply_s=2))
        await asyncio.wait_for(server.asked[0].left.wait(), 10)
    assert text.startswith("and and ")
    assert end.finish == "cut"


async def test_a_reply_that_stalls_is_cut():
    async def answer(exchange):
        await exchange.head()
        await exchange.text("half")
        await exchange.left.wait()

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server, first_token_s=1.5))
    assert (text, end.finish) == ("half", "cut")


async def test_a_server_that_never_hangs_up_does_not_hold_up_a_finished_reply():
    async def answer(exchange):
        await exchange.head()
        await exchange.delta("stop", content="done")
        await exchange.left.wait()

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server, reply_s=2))
    assert (text, end.finish) == ("done", "stop")


async def test_text_that_never_ends_is_stopped_at_the_limit():
    async def answer(exchange):
        await exchange.head()
        while True:
            await exchange.text("für immer ")

    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server, reply_bytes=5_001))
        await asyncio.wait_for(server.asked[0].left.wait(), 10)
    assert end.finish == "length"
    assert 4_995 <= len(text.encode()) <= 5_001


@pytest.mark.parametrize("start", [b"data: ", b""])
async def test_a_line_that_never_ends_is_not_kept_in_memory(start):
    async def answer(exchange):
        await exchange.head()
        await exchange.raw(start)
        while True:
            await exchange.raw(b"x" * 10_000)

    async with ModelServer(answer) as server:
        with pytest.raises(ModelFault, match="line of more than"):
            await reply(model_at(server, reply_bytes=10_000))
        await asyncio.wait_for(server.asked[0].left.wait(), 10)


# Answers of another shape


@pytest.mark.parametrize("content", ["A whole.", [{"type": "text", "text": "A whole."}]])
async def test_an_answer_in_one_piece_is_a_reply_too(content):
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "length"}
    answer = answer_json({"model": "served", "choices": [choice], "usage": USAGE})
    async with ModelServer(answer) as server:
        text, end = await reply(model_at(server))
    assert (text, end.finish, end.model, end.prompt_tokens) == ("A whole.", "length", "served", 7)


async def test_an_answer_in_one_piece_can_be_an_error():
    async with ModelServer(answer_json({"error": {"message": "no model loaded"}})) as server:
        with pytest.raises(UserError, match="no model loaded"):
            await reply(model_at(server))


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"choices": [{"delta": {"cont\n\n',
        b"data: hello\n\n",
        b"data: [1, 2]\n\n",
        b"data: \xff\xfe\xff\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
async def test_a_stream_that_is_no_json_is_the_models_fault(data):
    async def answer(exchange):
        await exchange.head()
        await exchange.text("so far")
        await exchange.raw(data)

    async with ModelServer(answer) as server:
        with pytest.raises(ModelFault, match="answer is not"):
            await reply(model_at(server))


@pytest.mark.parametrize(
    "event",
    [
        {"choices": "x"},
        {"choices": [7]},
        {"choices": [{"delta": [1]}]},
        {"choices": [{"delta": {"content": 5}}]},
        {"choices": None, "usage": [], "model": 3},
    ],
)
async def test_objects_of_an_odd_shape_are_passed_over(event):
    async def answer(exchange):
        await exchange.head()
        await exchange.event(**event)
        await exchange.raw(b": a comment\nevent: ping\ndata:\n\n")
        await exchange.delta("stop", content="fine")

    async with ModelServer(answer) as server:
        assert (await reply(model_at(server)))[0] == "fine"


async def test_a_web_page_means_a_wrong_address():
    async with ModelServer(answer_json(b"<html>Hello</html>", content_type="text/html")) as server:
        with pytest.raises(UserError, match="web page") as caught:
            await reply(model_at(server))
    assert "/v1" in caught.value.fix


async def test_a_character_that_is_split_between_two_pieces_arrives_whole():
    async def answer(exchange):
        await exchange.head()
        await exchange.text("a \ud83d")
        await exchange.text("\ude00 b \udc00")
        await exchange.delta("stop")

    async with ModelServer(answer) as server:
        text, _ = await reply(model_at(server))
    assert text == "a 😀 b \ufffd"


# What the person can mend


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_said_and_never_shown(status, caplog):
    caplog.set_level(logging.DEBUG)
    answer = refuses(status, f"Incorrect API key provided: {KEY}.")
    async with ModelServer(answer) as server:
        model = model_at(server)
        with pytest.raises(UserError, match="key was refused") as caught:
            await reply(model)
        server.listing = answer
        with pytest.raises(UserError, match="key was refused"):
            await model.models()
    assert "OPENAI_API_KEY" in caught.value.fix
    shown = "".join(traceback.format_exception(caught.value)) + repr(model._endpoint) + repr(model)
    assert KEY not in shown + caplog.text


@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("key", [KEY, "pa55"])
async def test_a_key_in_the_endpoints_words_is_masked(status, key, caplog):
    caplog.set_level(logging.DEBUG)
    async with ModelServer(refuses(status, f"bad {key} indeed", Retry_After="0")) as server:
        told = []
        with pytest.raises(UserError, match=r"bad \[secret\] indeed") as caught:
            await reply(model_at(server, on_wait=told.append, key=key))
    shown = "".join(traceback.format_exception(caught.value)) + "".join(told)
    assert key not in shown + caplog.text


async def test_without_a_key_a_refusal_says_that_one_is_wanted():
    async with ModelServer(refuses(401)) as server:
        endpoint = await find_endpoint(Settings(base_url=server.url))
        with pytest.raises(UserError, match="wants a key") as caught:
            await reply(OpenAIModel(endpoint, Settings()))
    assert "OPENAI_API_KEY" in caught.value.fix


@pytest.mark.parametrize(("status", "code"), [(404, None), (400, "model_not_found")])
async def test_an_unknown_model_names_those_there_are(status, code):
    async with ModelServer(refuses(status, "no such model", code=code)) as server:
        model = model_at(server, model="nowhere-7b")
        with pytest.raises(UserError, match="no model called 'nowhere-7b'") as caught:
            await reply(model)
    assert "small-chat, big-chat" in caught.value.fix


async def test_a_wrong_path_is_told_from_an_unknown_model():
    async with ModelServer(streams("ok")) as server:
        endpoint = Endpoint(server.url.removesuffix("/v1"), KEY, ("a",), "OPENAI_BASE_URL")
        with pytest.raises(UserError) as caught:
            await reply(OpenAIModel(endpoint, Settings()))
    assert "/v1" in caught.value.fix


async def test_a_server_that_is_gone_is_said_with_its_address():
    async with ModelServer(streams("ok")) as server:
        model = model_at(server)
        assert (await reply(model))[0] == "ok"
    told = []
    model = model_at(server, on_wait=told.append)
    with pytest.raises(UserError, match=rf"127\.0\.0\.1:{server.port} can't be reached") as caught:
        await reply(model)
    assert "running" in caught.value.fix
    assert len(told) == 2
    with pytest.raises(UserError, match="can't be reached"):
        await model.models()


async def test_a_host_that_does_not_exist_is_said():
    endpoint = Endpoint("http://nowhere.invalid/v1", KEY, ("a",), "OPENAI_BASE_URL")
    with pytest.raises(UserError, match=r"nowhere\.invalid can't be reached"):
        await reply(OpenAIModel(endpoint, Settings()))


# Leaving early


async def test_closing_the_iterator_closes_the_connection():
    async def answer(exchange):
        await exchange.head()
        await exchange.text("one")
        await exchange.left.wait()

    async with ModelServer(answer) as server:
        async with aclosing(model_at(server).reply(PROMPT)) as pieces:
            assert await anext(pieces) == "one"
        await asyncio.wait_for(server.asked[0].left.wait(), 10)


@pytest.mark.parametrize("after_head", [False, True])
async def test_cancelling_a_reply_that_waits_closes_the_connection(after_head):
    async with ModelServer(stays_silent(after_head=after_head)) as server:
        task = asyncio.create_task(reply(model_at(server)))
        while not server.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.asked[0].left.wait(), 10)


async def test_cancelling_a_reply_between_two_tries_ends_it():
    async with ModelServer(refuses(429, Retry_After="50")) as server:
        told = asyncio.Event()
        model = model_at(server, on_wait=lambda _: told.set())
        task = asyncio.create_task(reply(model))
        await asyncio.wait_for(told.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(server.asked) == 1


async def test_several_replies_at_once_do_not_mix():
    async def answer(exchange):
        await streams(*exchange.body["messages"][0]["content"])(exchange)

    async with ModelServer(answer) as server:
        model = model_at(server)
        prompts = [Prompt("code", (Message("user", f"number {n}"),)) for n in range(5)]
        texts = [text for text, _ in await asyncio.gather(*(reply(model, p) for p in prompts))]
        await model.close()
        assert (await reply(model, prompts[0]))[0] == "number 0"
    assert texts == [f"number {n}" for n in range(5)]


# Which model


@pytest.mark.parametrize(
    ("roles", "setting", "argument", "plan", "code"),
    [
        ({}, "", None, "small-chat", "small-chat"),
        ({}, "set", None, "set", "set"),
        ({}, "set", "asked", "asked", "asked"),
        ({"plan": "quick"}, "set", None, "quick", "set"),
        ({"plan": "quick", "code": "deep"}, "set", "asked", "quick", "deep"),
    ],
)
async def test_a_roles_model_beats_the_chosen_one_which_beats_the_first(
    roles, setting, argument, plan, code
):
    settings = Settings(model=setting, roles=roles)
    async with ModelServer(streams("ok")) as server:
        model = model_at(server, settings=settings, model=argument)
        assert model.name == code
        await reply(model, replace(PROMPT, role="plan"))
        await reply(model, replace(PROMPT, role="code"))
    assert [exchange.body["model"] for exchange in server.asked] == [plan, code]


async def test_a_model_nobody_named_is_asked_for_when_it_is_needed():
    async with ModelServer(streams("ok"), models=("text-embedding-3", "talker")) as server:
        model = OpenAIModel(Endpoint(server.url, KEY, (), "OPENAI_BASE_URL"), Settings())
        await reply(model)
    assert server.asked[0].body["model"] == model.name == "talker"


async def test_an_endpoint_without_a_chat_model_says_so():
    async with ModelServer(streams("ok"), models=("whisper-1",)) as server:
        with pytest.raises(UserError, match="no model that can chat") as caught:
            await reply(model_at(server))
    assert "VIBE_MODEL" in caught.value.fix


async def test_a_proxy_in_the_environment_does_not_stand_before_a_local_server(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with ModelServer(streams("ok")) as server:
        assert (await reply(model_at(server)))[0] == "ok"


async def test_pictures_go_beside_the_text_and_are_left_out_where_they_are_refused():
    prompt = Prompt("code", (Message("user", "Copy this.", (b"\xff\xd8 a picture",)),))
    told = []
    async with ModelServer(
        streams("Seen."), refuses(400, "image_url is not supported"), streams("Read.")
    ) as server:
        model = model_at(server, on_wait=told.append)
        assert (await reply(model, prompt))[0] == "Seen."
        assert (await reply(model, prompt))[0] == "Read."
    text, picture = server.asked[0].body["messages"][0]["content"]
    assert text == {"type": "text", "text": "Copy this."}
    assert picture["image_url"]["url"] == "data:image/jpeg;base64,/9ggYSBwaWN0dXJl"
    assert server.asked[2].body["messages"][0]["content"] == "Copy this."
    assert told == ["The endpoint does not take pictures; it is asked without them."]
