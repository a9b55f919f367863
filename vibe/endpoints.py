"""Finds the model endpoint to use: the one that is set, else a model server on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpcore

from vibe.errors import UserError
from vibe.settings import Settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LOCAL_SERVERS = (("Ollama", 11434), ("LM Studio", 1234), ("llama.cpp", 8080), ("vLLM", 8000))
"""Model servers and the ports they use when nobody says otherwise, in the order of preference."""
PROBE_S = 0.5
"""How long a local server has to list its models."""
LIST_S = 3.0
"""How long an endpoint that was set has to list its models; without a list it is used unlisted."""
CONNECT_S = 10.0
LIST_BYTES = 1_000_000
NO_KEY = "none"
"""Sent where no key is set: the client library wants one, local servers ignore it."""

NOT_CHAT = re.compile(
    r"embed|whisper|rerank|moderation|guard|transcri|speech|audio|realtime|image|imagen|dall-e"
    r"|diffusion|sora|video|davinci|babbage|turbo-instruct|minilm|(^|[^a-z])(tts|bge|e5|gte|clip)"
    r"([^a-z]|$)",
    re.IGNORECASE,
)
"""Names of models that don't chat: embeddings, speech, images, moderation, bare completion."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server."""

    base_url: str
    """With its path, usually `/v1`."""
    api_key: str = field(repr=False)
    models: tuple[str, ...]
    """Every model it lists, in its order; empty when it gave no list in time."""
    source: str
    """How it was found, in words: `OPENAI_API_KEY`, `Ollama on port 11434` …"""

    @property
    def where(self) -> str:
        """Host and port, for messages: what else a URL may hold can be secret."""
        return urlsplit(self.base_url).netloc.rpartition("@")[2]

    @property
    def has_key(self) -> bool:
        return self.api_key != NO_KEY


async def find_endpoint(
    settings: Settings, local_servers: Iterable[tuple[str, int]] = LOCAL_SERVERS
) -> Endpoint | None:
    """The endpoint of the settings, else the first local server that has a chat model, else None
    (also when the settings say not to look for one).

    An endpoint that is set is returned even when it can't be reached: calling it then says what is
    wrong. Raises UserError for an address or a key that can't be one.
    """
    if settings.base_url or settings.api_key:
        return await _set_endpoint(settings)
    if not settings.local_models:
        return None
    found = await asyncio.gather(*(_probe(name, port) for name, port in local_servers))
    return next((endpoint for endpoint in found if endpoint), None)


async def connect(endpoint: Endpoint) -> AsyncOpenAI:
    """A client of the endpoint, without retries or timeouts of its own but for connecting."""
    return await asyncio.to_thread(_client, endpoint.base_url or None, endpoint.api_key)


def first_chat_model(models: Sequence[str]) -> str | None:
    """The first model that looks as if it could write programs."""
    return next((name for name in models if not NOT_CHAT.search(name)), None)


def listed(data: Any) -> tuple[str, ...]:
    """The names in an endpoint's list of models; a bare list will do, junk gives none."""
    models = data.get("data") if isinstance(data, dict) else data
    if not isinstance(models, list):
        return ()
    names = [model.get("id") for model in models if isinstance(model, dict)]
    return tuple(name for name in names if isinstance(name, str) and name)


def _client(base_url: str | None, api_key: str) -> AsyncOpenAI:
    import openai  # takes a second: only who calls a model pays it

    # A proxy that the environment names can't reach this machine's own loopback. One connection a
    # request: replies are seconds apart, and one that is left early leaves nothing open.
    timeout = openai.Timeout(None, connect=CONNECT_S)
    loopback = base_url is not None and _is_loopback(urlsplit(base_url).hostname or "")
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        timeout=timeout,
        default_headers={"Connection": "close"},
        http_client=openai.DefaultAsyncHttpxClient(trust_env=not loopback, timeout=timeout),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _set_endpoint(settings: Settings) -> Endpoint:
    base_url, api_key = settings.base_url.strip(), settings.api_key.strip()
    if base_url and not _is_address(base_url):
        raise UserError(
            "OPENAI_BASE_URL is not a web address.",
            "It looks like http://127.0.0.1:8000/v1, and usually ends in /v1.",
        )
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:
        raise UserError("OPENAI_API_KEY holds characters that no key has.", "Copy it once more.")
    source = "OPENAI_BASE_URL" if base_url else "OPENAI_API_KEY"
    endpoint = Endpoint(base_url, api_key or NO_KEY, (), source)
    async with await connect(endpoint) as client:
        names = await _list_or_nothing(client)
        return Endpoint(str(client.base_url).rstrip("/"), endpoint.api_key, names, source)


async def _list_or_nothing(client: AsyncOpenAI) -> tuple[str, ...]:
    import openai

    try:
        async with asyncio.timeout(LIST_S):
            return await list_models(client)
    except (openai.OpenAIError, TimeoutError, ValueError):
        return ()


async def list_models(client: AsyncOpenAI) -> tuple[str, ...]:
    """The models the endpoint lists. Raises openai.OpenAIError, and ValueError for no JSON."""
    answer = await client.models.with_raw_response.list()
    try:
        return listed(json.loads(answer.text))
    except RecursionError as error:
        raise ValueError("the list of models is nested too deep") from error


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


async def _probe(name: str, port: int) -> Endpoint | None:
    """The model server on that port of this machine, if one answers as such.

    Asked without the client library, which takes a second to import where there is no model."""
    base_url = f"http://127.0.0.1:{port}/v1"
    try:
        async with (
            asyncio.timeout(PROBE_S),
            httpcore.AsyncConnectionPool() as pool,
            pool.stream("GET", f"{base_url}/models") as response,
        ):
            body = b""
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > LIST_BYTES:
                    return None
        data = json.loads(body) if response.status == 200 else None
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        TimeoutError,
        ValueError,
        RecursionError,
    ):
        return None
    if not isinstance(data, dict) or data.get("object") != "list":
        return None
    models = listed(data)
    if first_chat_model(models) is None:
        return None
    return Endpoint(base_url, NO_KEY, models, f"{name} on port {port}")
