"""A model server on a real port that answers as it is told, misbehaviour included."""

import asyncio
import contextlib
import json
import struct
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET

REASONS = {200: "OK", 302: "Found"}


@dataclass
class Exchange:
    """One request, and the means to answer it."""

    method: str
    path: str
    headers: dict
    body: dict
    writer: asyncio.StreamWriter
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has closed its connection."""

    async def raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status=200, content_type="text/event-stream", **headers):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Trouble')}", "Connection: close"]
        lines += [f"Content-Type: {content_type}"] if content_type else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def event(self, **fields):
        await self.raw(b"data: " + json.dumps(fields).encode() + b"\n\n")

    async def delta(self, finish=None, **delta):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await self.event(object="chat.completion.chunk", model="served", choices=[choice])

    async def text(self, text):
        await self.delta(content=text)

    def reset(self):
        """Breaks the connection off: the client gets no proper end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ModelServer:
    """`async with ModelServer(answer, …)`: the answers are used in turn, one a completion asked
    for, the last one for ever. An answer is an async function of the exchange."""

    def __init__(self, *answers, models=("small-chat", "big-chat"), listing=None):
        self.answers = list(answers)
        self.models = models
        self.listing = listing or self.list_models
        self.asked = []
        """The exchanges about completions, in order."""

    async def __aenter__(self):
        self._tasks = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def list_models(self, exchange):
        models = [{"id": name, "object": "model"} for name in self.models]
        await answer_json({"object": "list", "data": models})(exchange)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                exchange = await self._read(reader, writer)
                watcher = asyncio.create_task(self._watch(reader, exchange))
                try:
                    await self._answer(exchange)
                finally:
                    watcher.cancel()
        except asyncio.CancelledError:
            pass  # the server closes while an answer goes on; a stream's handler must not say so
        finally:
            writer.close()

    async def _answer(self, exchange):
        if exchange.path == "/v1/models":
            await self.listing(exchange)
        elif exchange.path == "/v1/chat/completions":
            self.asked.append(exchange)
            await self.answers[min(len(self.asked), len(self.answers)) - 1](exchange)
        else:
            await refuses(404, "no such path")(exchange)

    async def _watch(self, reader, exchange):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        exchange.left.set()

    async def _read(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Exchange(method, path, headers, json.loads(body or b"{}"), writer)


def streams(*texts, finish="stop", usage=None, done=True):
    """An answer as it should be."""

    async def answer(exchange):
        await exchange.head()
        await exchange.delta(role="assistant", content="")
        for text in texts:
            await exchange.text(text)
        if finish:
            await exchange.delta(finish)
        if usage:
            await exchange.event(choices=[], usage=usage)
        if done:
            await exchange.raw(b"data: [DONE]\n\n")

    return answer


def refuses(status, message="no", code=None, **headers):
    """An answer with an HTTP error and the usual error object."""
    return answer_json({"error": {"message": message, "code": code}}, status, **headers)


def answer_json(data, status=200, content_type="application/json", **headers):
    body = data if isinstance(data, bytes) else json.dumps(data).encode()

    async def answer(exchange):
        await exchange.head(status, content_type, Content_Length=len(body), **headers)
        await exchange.raw(body)

    return answer


def stays_silent(*, after_head=False):
    """An answer that never comes; it ends when the client leaves."""

    async def answer(exchange):
        if after_head:
            await exchange.head()
            await exchange.delta(role="assistant", content="")
        await exchange.left.wait()

    return answer
