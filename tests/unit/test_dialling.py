"""Where a box may be led: which addresses count as the internet, and whose proxy is asked."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.dialling import Dialler, machine_proxy, outside
from vibe.proxy_head import Refused
from vibe.reach import Host

API = Host("api.example.com")


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_an_address_of_the_internet_may_be_met(address: str) -> None:
    assert outside(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "169.254.1.1", "100.64.0.1", "100.100.100.200",
        "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%lo", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.0.0.1",
        "64:ff9b:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:101:101::1",
        "2001:0:7f00:1::1", "2001::1", "3fff::1", "5f00::1", "100::1", "4000::1",
        "", "example.com", "1.1.1", "1.1.1.1.1", "0x7f000001", "2130706433", "127.1",
    ],
)  # fmt: skip
def test_an_address_inside_a_machine_or_a_network_may_not(address: str) -> None:
    assert not outside(address)


@given(st.ip_addresses(v=4))
def test_an_address_counts_the_same_in_each_of_its_forms(address: ipaddress.IPv4Address) -> None:
    plain = outside(str(address))
    assert outside(f"::ffff:{address}") == plain
    assert outside(f"64:ff9b::{address}") == plain
    assert not outside(f"2002:{int(address) >> 16:x}:{int(address) & 0xFFFF:x}::1")
    assert not plain or address.is_global


async def addresses(*found: str) -> list[str]:
    return list(found)


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.1.2.3", "::1", "169.254.169.254"])
async def test_a_name_that_leads_inside_is_refused_though_it_leads_outside_too(inner: str) -> None:
    dial = Dialler(resolve=lambda name, port: addresses("1.1.1.1", inner), environ={})
    with pytest.raises(Refused, match="inside a machine or a network") as refusal:
        await dial(API, tunnel=True)
    assert refusal.value.status == 403


async def test_a_name_that_nobody_knows_is_told() -> None:
    dial = Dialler(resolve=lambda name, port: addresses(), environ={})
    with pytest.raises(Refused, match="Nobody knows the name"):
        await dial(API, tunnel=True)


@pytest.mark.parametrize(
    ("environ", "tunnel", "met"),
    [
        ({}, True, None),
        ({"HTTPS_PROXY": "http://proxy.corp:3128"}, True, "proxy.corp"),
        ({"https_proxy": "proxy.corp:3128"}, True, "proxy.corp"),
        ({"HTTP_PROXY": "http://proxy.corp:3128"}, True, None),
        ({"HTTP_PROXY": "http://proxy.corp:3128"}, False, "proxy.corp"),
        ({"ALL_PROXY": "http://proxy.corp:3128"}, True, "proxy.corp"),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "localhost, .example.com"}, True, None),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "example.com"}, True, None),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "*"}, True, None),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "api.example.com:443"}, True, None),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "api.example.com:80"}, True, "p.corp"),
        ({"HTTPS_PROXY": "http://p.corp", "NO_PROXY": "ample.com,,"}, True, "p.corp"),
    ],
)
def test_the_machine_s_own_proxy_is_asked_where_its_variables_say_so(
    environ: dict[str, str], tunnel: bool, met: str | None
) -> None:
    found = machine_proxy(API, environ, tunnel)
    assert (found.hostname if found else None) == met


def test_a_proxy_of_another_kind_is_told_and_not_gone_round() -> None:
    with pytest.raises(Refused, match="of a kind that Vibe can't use"):
        machine_proxy(API, {"ALL_PROXY": "socks5://127.0.0.1:1080"}, True)
