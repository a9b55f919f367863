"""Finding a model endpoint: settings first, then real servers on this machine's ports."""

import asyncio

import pytest
from server import ModelServer, answer_json, refuses, streams

from vibe.endpoints import NO_KEY, Endpoint, find_endpoint, first_chat_model
from vibe.errors import UserError
from vibe.model import OpenAIModel
from vibe.settings import Settings

KEY = "sk-test-5f3a9c0d1e2b4a6788f0"


def local(**servers):
    """Where to look for local servers: names and the servers' ports."""
    return [(name.replace("_", " "), server.port) for name, server in servers.items()]


async def found(listing, **settings):
    """The endpoint when one local server answers the question for its models like that."""
    async with ModelServer(listing=listing) as server:
        return await find_endpoint(Settings(**settings), local(Ollama=server))


async def test_a_local_model_server_is_found_without_any_setting():
    async with ModelServer(models=("nomic-embed-text", "qwen3:8b")) as server:
        endpoint = await find_endpoint(Settings(), local(LM_Studio=server))
    assert endpoint == Endpoint(
        base_url=server.url,
        api_key=NO_KEY,
        models=("nomic-embed-text", "qwen3:8b"),
        source=f"LM Studio on port {server.port}",
    )


async def test_of_two_local_servers_the_first_in_the_list_wins():
    async with ModelServer(models=("one",)) as first, ModelServer(models=("two",)) as second:
        endpoint = await find_endpoint(Settings(), local(Ollama=first, vLLM=second))
    assert endpoint.models == ("one",)


async def test_a_local_model_server_is_left_alone_when_the_settings_say_so():
    async with ModelServer() as server:
        settings = Settings(local_models=False)
        assert await find_endpoint(settings, local(Ollama=server)) is None
        assert await find_endpoint(Settings(local_models=False, base_url=server.url)) is not None


async def test_nothing_is_found_where_nothing_listens():
    async with ModelServer() as gone:
        pass
    assert await find_endpoint(Settings(), local(Ollama=gone)) is None


@pytest.mark.parametrize(
    "listing",
    [
        answer_json(b"<html>It works!</html>", content_type="text/html"),
        answer_json({"status": "ok"}),
        answer_json([{"id": "x"}]),
        answer_json({"object": "list", "data": None}),
        answer_json({"object": "list", "data": [{"name": "x"}, 3]}),
        answer_json({"object": "list", "data": [{"id": "bge-m3"}]}),
        answer_json({"data": [{"id": "user-1"}]}),
        answer_json({"object": "list", "data": [{"id": "x"}]}, status=500),
        answer_json({"object": "list", "data": [{"id": "x" * 1_100_000}]}),
        answer_json(b"[" * 200_000),
        answer_json(b"\xff\xfe"),
        refuses(404),
        refuses(302, Location="/login"),
    ],
)
async def test_a_server_that_lists_no_chat_models_is_no_model_server(listing):
    assert await found(listing) is None


async def test_something_that_speaks_no_http_is_no_model_server():
    async def answer(exchange):
        await exchange.raw(b"220 mail.example.org ESMTP ready\r\n")

    assert await found(answer) is None


async def test_servers_that_hang_are_given_up_and_do_not_delay_the_one_that_answers():
    told = []

    async def hang(exchange):
        told.append("asked")
        await exchange.left.wait()
        told.append("given up")

    async def drip(exchange):
        told.append("asked")
        await exchange.head(200, "application/json")
        while True:
            await exchange.raw(b" ")
            await asyncio.sleep(0.05)

    async def answers(exchange):
        told.append("asked")
        await server.list_models(exchange)

    async with (
        ModelServer(listing=hang) as hanging,
        ModelServer(listing=drip) as dripping,
        ModelServer(models=("real",), listing=answers) as server,
    ):
        servers = local(Ollama=hanging, LM_Studio=dripping, vLLM=server)
        endpoint = await find_endpoint(Settings(), servers)
    assert endpoint.models == ("real",)
    assert told[:3] == ["asked"] * 3, "the first is not given up before the others are asked"


async def test_a_base_url_beats_local_servers_and_needs_no_key():
    async with ModelServer(models=("set",)) as server, ModelServer() as other:
        endpoint = await find_endpoint(Settings(base_url=f"{server.url}/"), local(Ollama=other))
    assert endpoint.base_url == server.url
    assert (endpoint.models, endpoint.source) == (("set",), "OPENAI_BASE_URL")
    assert not endpoint.has_key


async def test_a_key_goes_to_the_base_url_without_the_spaces_around_it():
    keys = []

    async def listing(exchange):
        keys.append(exchange.headers["authorization"])
        await answer_json({"data": [{"id": "a"}]})(exchange)

    async with ModelServer(listing=listing) as server:
        settings = Settings(base_url=server.url, api_key=f" {KEY}\n")
        endpoint = await find_endpoint(settings)
    assert keys == [f"Bearer {KEY}"]
    assert (endpoint.api_key, endpoint.models) == (KEY, ("a",))


async def test_the_key_is_not_in_the_endpoints_repr():
    assert KEY not in repr(Endpoint("http://127.0.0.1/v1", KEY, (), "OPENAI_API_KEY"))


@pytest.mark.parametrize("listing", [refuses(401), refuses(404), answer_json(b"<html>")])
async def test_an_endpoint_that_is_set_is_used_although_it_lists_nothing(listing):
    async with ModelServer(streams("ok"), listing=listing) as server:
        endpoint = await find_endpoint(Settings(base_url=server.url, model="mine"))
        assert endpoint.models == ()
        model = OpenAIModel(endpoint, Settings(model="mine"))
        assert model.name == "mine"


async def test_an_endpoint_that_is_set_is_returned_although_nothing_listens_there():
    async with ModelServer() as gone:
        pass
    endpoint = await find_endpoint(Settings(base_url=gone.url))
    assert (endpoint.base_url, endpoint.models) == (gone.url, ())
    with pytest.raises(UserError, match="can't be reached"):
        await OpenAIModel(endpoint, Settings()).models()


async def test_asking_for_the_models_gives_what_the_endpoint_has_now():
    async with ModelServer(models=["old"]) as server:
        endpoint = await find_endpoint(Settings(base_url=server.url))
        server.models.append("new")
        assert await OpenAIModel(endpoint, Settings()).models() == ("old", "new")


@pytest.mark.parametrize(
    "address", ["localhost:11434", "127.0.0.1", "ftp://x/v1", "http://", "http://[x/v1", "http:/x"]
)
async def test_an_address_that_is_none_is_said(address):
    with pytest.raises(UserError, match="OPENAI_BASE_URL is not a web address") as caught:
        await find_endpoint(Settings(base_url=address))
    assert "/v1" in caught.value.fix


@pytest.mark.parametrize("key", ["sk-“quoted”", "two words", "line\nbreak"])
async def test_a_key_that_can_be_none_is_said_and_not_shown(key):
    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        await find_endpoint(Settings(base_url="http://127.0.0.1:9/v1", api_key=key))
    assert key not in str(caught.value)


def test_an_address_with_a_password_is_shown_without_it():
    endpoint = Endpoint("https://me:pass@models.example.com:8443/v1", KEY, (), "OPENAI_BASE_URL")
    assert endpoint.where == "models.example.com:8443"


@pytest.mark.parametrize(
    ("models", "first"),
    [
        (["text-embedding-3-small", "whisper-1", "tts-1-hd", "gpt-image-1", "gpt-5"], "gpt-5"),
        (["nomic-embed-text:latest", "bge-m3", "qwen2.5-coder:7b-instruct"], None),
        (["dall-e-3", "omni-moderation-latest", "jina-reranker-v2", "llama-guard3:8b"], ""),
        (["gpt-3.5-turbo-instruct", "davinci-002", "babbage-002", "gpt-4o-transcribe"], ""),
        (["gpt-4o-realtime-preview", "sora-2", "stable-diffusion-xl", "all-minilm"], ""),
        (["/models/Mistral-7B-Instruct-v0.3.Q4_K_M.gguf"], None),
        (["gemma3:4b"], None),
        (["deepseek-r1:8b"], None),
        ([], ""),
    ],
)
def test_the_first_model_that_chats_is_chosen(models, first):
    wanted = models[-1] if first is None else first or None
    assert first_chat_model(models) == wanted
