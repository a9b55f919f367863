"""What a program in a box asks of its proxy: the head of one request, read narrowly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h11

from vibe.reach import Host

Header = tuple[bytes, bytes]

HEAD_BYTES = 16 * 1024
"""What the head may weigh."""

_TUNNEL = re.compile(rb"([A-Za-z0-9.-]{1,254}):([0-9]{1,5})")
_ADDRESS = re.compile(rb"[hH][tT]{2}[pP]://([A-Za-z0-9.-]{1,254})(?::([0-9]{1,5}))?([/?][^\s#]*)?")
_DROPPED = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer "
    b"upgrade http2-settings expect host".split()
)


class Refused(Exception):
    """What is asked for isn't given; the message is a sentence for the program and the person."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Wish:
    """What the head of a request asks for."""

    host: Host
    tunnel: bool
    """Whether bytes shall pass both ways as they are (CONNECT), as for TLS."""
    method: bytes = b""
    target: bytes = b""
    """Path and query of a plain request."""
    headers: tuple[Header, ...] = ()
    """What goes on of a plain request's headers: without those for the proxy."""


def wish(head: h11.Request) -> Wish:
    """What that head asks for. Raises Refused for what no proxy of ours is asked."""
    method, target = bytes(head.method), bytes(head.target)
    if method == b"CONNECT":
        found = _TUNNEL.fullmatch(target)
        if found is None:
            raise Refused(400, "Only a host's name with its port can be asked for.")
        return Wish(_host(found[1], found[2]), tunnel=True)
    found = _ADDRESS.fullmatch(target)
    if found is None:
        raise Refused(400, "Only the whole address of a named host can be asked for.")
    path = found[3] or b"/"
    headers = [(bytes(name), bytes(value)) for name, value in head.headers]
    return Wish(
        _host(found[1], found[2] or b"80"),
        tunnel=False,
        method=method,
        target=path if path.startswith(b"/") else b"/" + path,
        headers=tuple(_passed(headers)),
    )


def _host(name: bytes, port: bytes) -> Host:
    return Host(name.decode("ascii").lower().removesuffix("."), int(port))


def _passed(headers: Sequence[Header]) -> Iterator[Header]:
    """A request's own headers. Its length counts only where it isn't sent in chunks, as h11 has
    it; what `Connection` names is for the proxy."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    } - {b"content-length", b"transfer-encoding"}
    chunked = any(name == b"transfer-encoding" for name, _ in headers)
    for name, value in headers:
        if name in _DROPPED or name in named or (chunked and name == b"content-length"):
            continue
        yield name, value
