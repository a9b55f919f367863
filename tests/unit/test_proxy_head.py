"""What a program may ask of its proxy, and every other head, which is refused."""

from __future__ import annotations

import string

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.proxy_head import HEAD_BYTES, Refused, Wish, wish
from vibe.reach import Host


def read(head: bytes) -> Wish:
    """What a head asks for, by the way that the proxy reads it."""
    asking = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    asking.receive_data(head)
    event = asking.next_event()
    assert isinstance(event, h11.Request), event
    return wish(event)


def test_a_tunnel_to_a_host_is_asked_for_by_name_and_port() -> None:
    found = read(b"CONNECT API.Example.com.:8443 HTTP/1.1\r\nHost: other.example.com\r\n\r\n")
    assert found == Wish(Host("api.example.com", 8443), tunnel=True)


def test_a_plain_request_names_its_host_in_its_address_whatever_its_headers_say() -> None:
    found = read(
        b"POST http://api.example.com/a/b?c=d HTTP/1.1\r\nHost: other.example.com\r\n"
        b"Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n"
        b"Connection: close, X-Hop, Content-Length\r\nX-Hop: 1\r\nX-Kept: 2\r\n"
        b"Content-Length: 3\r\n\r\nabc"
    )
    assert found.host == Host("api.example.com", 80)
    assert (found.method, found.target) == (b"POST", b"/a/b?c=d")
    assert found.headers == ((b"x-kept", b"2"), (b"content-length", b"3"))


def test_a_length_doesn_t_go_on_beside_chunks() -> None:
    found = read(
        b"POST http://api.example.com HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    assert found.target == b"/"
    assert found.headers == ((b"transfer-encoding", b"chunked"),)


@pytest.mark.parametrize(
    "target",
    [
        b"/", b"/path", b"*", b"api.example.com", b"https://api.example.com/", b"ftp://a.example.com/",
        b"http://", b"http:///x", b"http://user@api.example.com/", b"http://a:b@api.example.com/",
        b"http://[::1]/", b"http://api.example.com:99999999/", b"http://api.example.com#x",
        b"http://api.example.com\\@other.example.com/", b"http://api.example.com:80:80/",
        b"http://api_example.com/", b"http://api.example.com%2eother/",
    ],
)  # fmt: skip
def test_an_address_that_is_not_plainly_one_of_a_named_host_is_refused(target: bytes) -> None:
    with pytest.raises(Refused):
        read(b"GET " + target + b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n")


@pytest.mark.parametrize(
    "target",
    [
        b"api.example.com", b":443", b"api.example.com:", b"api.example.com:44a", b"[::1]:443",
        b"::1:443", b"user@api.example.com:443", b"https://api.example.com:443", b"/", b"*",
        b"api.example.com:443/", b"api.example.com:443#", b"a,b.example.com:443",
    ],
)  # fmt: skip
def test_a_tunnel_to_anything_but_a_name_with_its_port_is_refused(target: bytes) -> None:
    with pytest.raises(Refused):
        read(b"CONNECT " + target + b" HTTP/1.1\r\nHost: api.example.com\r\n\r\n")


TARGETS = st.one_of(
    st.binary(max_size=60),
    st.text(alphabet=string.printable, max_size=60).map(str.encode),
    st.from_regex(
        rb"(http://)?[a-z.:@\[\]0-9%]{0,30}(:[0-9]{0,6})?(/[!-~]{0,10})?", fullmatch=True
    ),
)


@given(st.sampled_from([b"CONNECT", b"GET", b"POST", b"OPTIONS"]), TARGETS, st.binary(max_size=80))
def test_whatever_is_asked_gives_a_plain_name_or_a_refusal(
    method: bytes, target: bytes, rest: bytes
) -> None:
    head = method + b" " + target + b" HTTP/1.1\r\nHost: x\r\n" + rest + b"\r\n\r\n"
    asking = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    asking.receive_data(head)
    try:
        event = asking.next_event()
        if not isinstance(event, h11.Request):
            return
        found = wish(event)
    except (h11.RemoteProtocolError, Refused):
        return
    assert set(found.host.name) <= set(string.ascii_lowercase + string.digits + ".-")
    assert found.tunnel is (method == b"CONNECT")
    if not found.tunnel:
        assert found.target.startswith(b"/")
        # what is written anew can be written: no line of it ends early
        h11.Request(
            method=found.method, target=found.target, headers=[(b"host", b"x"), *found.headers]
        )


def test_a_head_without_end_is_refused() -> None:
    asking = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    asking.receive_data(b"CONNECT api.example.com:443 HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_BYTES)
    with pytest.raises(h11.RemoteProtocolError) as refusal:
        asking.next_event()
    assert refusal.value.error_status_hint == 431
