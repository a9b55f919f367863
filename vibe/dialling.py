"""Connects to a host for a box, at an address that was looked up and judged here."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import h11

from vibe.proxy_head import HEAD_BYTES, Header, Refused
from vibe.reach import Host

LOOK_UP_S = 10.0
CONNECT_S = 10.0
"""How long one address has to accept."""
ADDRESSES = 6
"""How many of a name's addresses are tried."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses that a name has; none when nobody knows it."""
Judge = Callable[[str], bool]
"""Whether a box may be led to an address."""

_INNER = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
    )
]  # fmt: skip
"""Addresses of special use (IANA's registries), whatever this Python's `is_global` knows of them;
tunnels of IPv6 in IPv4; and the address under which Azure answers its own machines."""
_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Line:
    """A connection to a host, or to the machine's proxy that leads there."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    before: bytes = b""
    """What a plain request's target begins with: `http://name` for a proxy, else nothing."""
    headers: tuple[Header, ...] = ()
    """What a plain request needs beside its own, for a proxy."""
    heard: bytes = b""
    """What came with the proxy's answer already."""


class Dial(Protocol):
    """Connects to a host. Raises Refused with a sentence when that may not or can't be."""

    async def __call__(self, host: Host, *, tunnel: bool) -> Line: ...


@dataclass(frozen=True, slots=True)
class Dialler:
    """`Dial` with this machine's names and rules; tests give others."""

    resolve: Resolve | None = None
    judge: Judge | None = None
    environ: Mapping[str, str] | None = None

    async def __call__(self, host: Host, *, tunnel: bool) -> Line:
        resolve, judge = self.resolve or resolved, self.judge or outside
        proxy = machine_proxy(host, os.environ if self.environ is None else self.environ, tunnel)
        try:
            async with asyncio.timeout(LOOK_UP_S):
                addresses = await resolve(host.name, host.port)
        except TimeoutError:
            addresses = []
        if not all(map(judge, addresses)):
            raise Refused(403, f"{host.name} leads to an address inside a machine or a network.")
        if proxy is not None:
            return await _through(proxy, host, tunnel)
        if not addresses:
            raise Refused(502, f"Nobody knows the name {host.name}.")
        return await _connected(host, addresses[:ADDRESSES])


async def resolved(name: str, port: int, threads: Executor | None = None) -> list[str]:
    """What the machine's resolver says, asked in one of these threads."""
    ask = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(threads, ask)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def outside(text: str) -> bool:
    """Whether that is the address of one host of the internet, and not one of this machine's."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _public(address) and not _own(text)


def _public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _public(inner)
        if address not in _UNICAST or address.scope_id:
            return False
    inside = any(address.version == net.version and address in net for net in _INNER)
    return address.is_global and not (address.is_multicast or address.is_reserved or inside)


def _own(text: str) -> bool:
    """Whether this machine has the address itself: then it can be bound."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))
    except OSError:
        return False
    return True


async def _connected(host: Host, addresses: list[str]) -> Line:
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_S):
                # the address itself: nobody is asked for the name a second time
                return Line(
                    *await asyncio.open_connection(address, host.port, flags=socket.AI_NUMERICHOST)
                )
        except (OSError, TimeoutError):
            continue
    raise Refused(502, f"{host} does not answer.")


# The machine's own proxy


def machine_proxy(host: Host, environ: Mapping[str, str], tunnel: bool) -> SplitResult | None:
    """The proxy that the machine's variables name for that host; None when it is met directly."""

    def value(name: str) -> str:
        return environ.get(name.lower()) or environ.get(name.upper()) or ""

    if any(_covers(entry, host) for entry in value("no_proxy").split(",")):
        return None
    address = value("https_proxy" if tunnel else "http_proxy") or value("all_proxy")
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(502, "The machine's proxy is of a kind that Vibe can't use.")
    return parts


def _covers(entry: str, host: Host) -> bool:
    """Whether an entry of NO_PROXY is that host, or what its name ends with."""
    name, _, port = entry.strip().lower().removeprefix("*.").lstrip(".").partition(":")
    if name == "*":
        return True
    named = bool(name) and (host.name == name or host.name.endswith(f".{name}"))
    return named and port in ("", str(host.port))


async def _through(proxy: SplitResult, host: Host, tunnel: bool) -> Line:
    """A line by way of the machine's proxy: it is asked for the name, and does what it may."""
    secure = ssl.create_default_context() if proxy.scheme == "https" else None
    port = proxy.port or (443 if secure else 80)
    headers: tuple[Header, ...] = ()
    if proxy.username is not None:
        told = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        headers = ((b"proxy-authorization", b"Basic " + base64.b64encode(told)),)
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(proxy.hostname, port, ssl=secure)
    except (OSError, TimeoutError):
        raise Refused(502, "The machine's proxy does not answer.") from None
    name = host.name if host.port == 80 else f"{host.name}:{host.port}"
    if not tunnel:
        return Line(reader, writer, f"http://{name}".encode(), headers)
    try:
        async with asyncio.timeout(CONNECT_S * 2):
            heard = await _tunnelled(reader, writer, f"{host.name}:{host.port}".encode(), headers)
    except (OSError, TimeoutError, h11.RemoteProtocolError):
        heard = None
    except BaseException:
        writer.close()
        raise
    if heard is None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        raise Refused(502, f"The machine's proxy does not lead to {host}.")
    return Line(reader, writer, heard=heard)


async def _tunnelled(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: bytes,
    headers: tuple[Header, ...],
) -> bytes | None:
    """Asks a proxy for a tunnel; what came behind its answer, None when it says no."""
    asking = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    request = h11.Request(method="CONNECT", target=target, headers=[(b"host", target), *headers])
    writer.write((asking.send(request) or b"") + (asking.send(h11.EndOfMessage()) or b""))
    await writer.drain()
    while (event := asking.next_event()) is h11.NEED_DATA:
        data = await reader.read(HEAD_BYTES)
        if not data:
            return None
        asking.receive_data(data)
    if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
        return None
    return asking.trailing_data[0]
