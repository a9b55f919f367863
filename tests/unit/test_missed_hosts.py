"""What a look at an app says of hosts that the app may reach and the checks' browser can't."""

from __future__ import annotations

from vibe.browser import Seen, _seen
from vibe.looking import without_missed
from vibe.reach import Host

API = (Host("api.example.com"), Host("b.example.com", 8443))


def seen(**found: list[str]) -> Seen:
    return _seen(dict(found), ())


def test_a_request_to_an_allowed_host_is_no_fault_of_the_page() -> None:
    before = seen(
        failed=[
            "no network in the box: https://api.example.com/a?b=c",
            "no network in the box: https://cdn.example.com/x.js",
            "404 /missing.js",
        ],
        console=[
            "WebSocket connection to 'wss://b.example.com:8443/feed' failed: net::ERR_FAILED",
            "TypeError: x is not a function",
        ],
        errors=["TypeError: Failed to fetch", "ReferenceError: y is not defined"],
    )
    after, missed = without_missed(before, API)
    assert missed == ["api.example.com", "b.example.com:8443"]
    assert after.failed == (
        "no network in the box: https://cdn.example.com/x.js",
        "404 /missing.js",
    )
    assert after.console == ("TypeError: x is not a function",)
    assert after.errors == ("ReferenceError: y is not defined",)


def test_another_host_port_or_scheme_counts_as_before() -> None:
    before = seen(
        failed=[
            "no network in the box: https://api.example.com:8443/",
            "no network in the box: http://api.example.com/",
            "no network in the box: https://api.example.com.evil.example/",
            "no network in the box: https://evil.example/?https://api.example.com/",
        ],
        errors=["TypeError: Failed to fetch"],
    )
    assert without_missed(before, API) == (before, [])
    assert without_missed(before, ()) == (before, [])
