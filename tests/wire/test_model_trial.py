"""A role's model, tried against a server that answers as it is told."""

from __future__ import annotations

from tests.wire.server import ModelServer
from vibe.model_trial import try_role
from vibe.settings import Limits, Settings

PRICES = {"served": {"prompt": 2.0, "completion": 10.0}}


def settings(server: ModelServer, **more) -> Settings:
    return Settings(base_url=server.url, api_key="sk-test-00000000", prices=PRICES, **more)


async def ready(exchange):
    await exchange.head()
    await exchange.text("ready")
    await exchange.delta(finish="stop")
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    await exchange.event(object="chat.completion.chunk", model="served", choices=[], usage=usage)
    await exchange.raw(b"data: [DONE]\n\n")


async def refused(exchange):
    await exchange.head(401, "application/json")
    await exchange.raw(b'{"error": {"message": "Incorrect key sk-test-00000000"}}')


async def test_a_model_that_answers_is_told_with_time_tokens_and_money():
    async with ModelServer(ready) as server:
        tried = await try_role(settings(server, roles={"repair": "mender"}), "repair")
        assert server.asked[0].body["model"] == "mender"
        assert server.asked[0].body["max_completion_tokens"] <= 256
    assert tried.ok
    assert (tried.model, tried.prompt_tokens, tried.completion_tokens) == ("served", 100, 5)
    assert tried.money == (100 * 2 + 5 * 10) / 1e6
    assert tried.seconds > 0


async def test_a_wrong_key_is_told_in_words_without_the_key():
    async with ModelServer(refused) as server:
        tried = await try_role(settings(server), "plan")
    assert not tried.ok
    assert "key" in tried.message.lower() + tried.fix.lower()
    assert "sk-test" not in repr(tried)


async def test_a_silent_model_ends_the_test_and_not_the_patience():
    async def silent(exchange):
        await exchange.left.wait()

    async with ModelServer(silent) as server:
        limits = Limits(first_token_s=0.3)
        tried = await try_role(settings(server, model="quiet", limits=limits), "code")
    assert "did not answer" in tried.message


async def test_without_a_model_there_is_a_sentence():
    tried = await try_role(Settings(local_models=False), "plan")
    assert "No model is connected" in tried.message
