"""Which hosts are whose, and which headers pass a preview's gateway."""

import pytest

from vibe import headers, hosts
from vibe.errors import UserError
from vibe.settings import Settings

OWN = "http://abc.vibe.localhost:8501"


def test_the_default_hosts_are_the_ui_and_one_name_a_preview():
    known = hosts.of(Settings(port=9000))
    assert known.is_ui("vibe.localhost:9000")
    assert known.is_ui("LOCALHOST.")
    assert known.is_ui("127.0.0.1:9000")
    assert known.is_ui("[::1]:9000")
    assert known.token("00ff.vibe.localhost:9000") == "00ff"
    assert known.token("vibe.localhost:9000") is None
    assert known.preview_origins == "http://*.vibe.localhost:9000"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "vibe.localhost.evil.example",
        "a.b.vibe.localhost",
        "abc.vibe.localhost@evil.example",
        "vibe.localhost:port",
        "vibe.localhost evil",
        "xvibe.localhost",
    ],
)
def test_any_other_host_is_nobody_s(host):
    known = hosts.of(Settings())
    assert not known.is_ui(host)
    assert known.token(host) is None


def test_a_remote_server_has_the_hosts_its_settings_name():
    known = hosts.of(
        Settings(url="https://vibe.example.com", preview_url="https://p-{token}.apps.example.com")
    )
    assert known.is_ui("vibe.example.com")
    assert known.token("p-00ff.apps.example.com") == "00ff"
    assert known.token("00ff.apps.example.com") is None
    assert known.preview_origins == "https://*.apps.example.com"
    assert known.ui_origins[0] == "https://vibe.example.com"


@pytest.mark.parametrize(
    "address", ["https://apps.example.com", "https://apps.example.com/{token}", "{token}", "x"]
)
def test_a_preview_address_without_a_token_in_its_host_is_refused_with_the_fix(address):
    with pytest.raises(UserError, match=r"needs \{token\}"):
        hosts.of(Settings(preview_url=address))


@pytest.mark.parametrize(
    ("host", "origin", "same"),
    [
        ("a.vibe.localhost:8501", "http://a.vibe.localhost:8501", True),
        ("vibe.example.com", "https://vibe.example.com", True),
        ("vibe.example.com:443", "https://vibe.example.com", True),
        ("A.vibe.localhost:8501", "http://a.vibe.localhost:8501", True),
        ("vibe.localhost:8501", "http://a.vibe.localhost:8501", False),
        ("vibe.localhost:8501", "http://vibe.localhost:8502", False),
        ("vibe.localhost:8501", "http://127.0.0.1:8501", False),
        ("vibe.localhost:8501", "null", False),
        ("vibe.localhost:8501", None, False),
        ("vibe.localhost:8501", "file://vibe.localhost:8501", False),
        ("vibe.localhost:8501", "http://vibe.localhost:8501/x", False),
        ("vibe.localhost:8501", "http://[", False),
    ],
)
def test_an_origin_is_the_same_only_when_it_is_the_host_itself(host, origin, same):
    sent = [(b"host", host.encode())]
    if origin is not None:
        sent.append((b"origin", origin.encode()))
    assert hosts.same_origin(sent) is same


def test_two_origins_are_no_origin():
    twice = [(b"host", b"vibe.localhost"), *[(b"origin", b"http://vibe.localhost")] * 2]
    assert not hosts.same_origin(twice)


def test_the_app_is_asked_as_if_the_browser_had_come_to_localhost():
    passed = dict(
        headers.request_headers(
            [
                (b"host", b"abc.vibe.localhost:8501"),
                (b"origin", OWN.encode()),
                (b"referer", OWN.encode() + b"/page?x=1"),
                (b"accept", b"*/*"),
            ],
            OWN,
            5000,
        )
    )
    assert passed == {
        b"host": b"localhost:5000",
        b"origin": b"http://localhost:5000",
        b"referer": b"http://localhost:5000/page?x=1",
        b"accept": b"*/*",
    }


def test_hop_by_hop_and_forwarding_headers_do_not_reach_the_app():
    passed = headers.request_headers(
        [
            (b"host", b"abc.vibe.localhost:8501"),
            (b"connection", b"keep-alive, X-Secret"),
            (b"x-secret", b"1"),
            (b"te", b"trailers"),
            (b"transfer-encoding", b"chunked"),
            (b"x-forwarded-for", b"10.0.0.1"),
            (b"referer", b"http://vibe.localhost:8501/?app=private"),
            (b"origin", b"http://abc.vibe.localhost:8501.evil.example"),
        ],
        OWN,
        5000,
    )
    assert passed == [(b"host", b"localhost:5000")]


def test_cookies_of_vibe_s_own_ui_are_stripped_and_the_app_s_own_pass():
    passed = headers.request_headers(
        [
            (b"cookie", b"_streamlit_user=me; a=1; _streamlit_session=s; _streamlit_xsrf=x"),
            (b"cookie", b"_streamlit_user_tokens=t; _streamlit_user_1=u"),
        ],
        OWN,
        5000,
    )
    assert passed[1:] == [(b"cookie", b"a=1; _streamlit_xsrf=x")]


def test_the_app_s_own_policies_do_not_reach_the_browser():
    passed = headers.response_headers(
        [
            (b"content-type", b"text/html"),
            (b"content-security-policy", b"default-src *"),
            (b"x-frame-options", b"DENY"),
            (b"strict-transport-security", b"max-age=99999999; includeSubDomains"),
            (b"access-control-allow-origin", b"*"),
            (b"clear-site-data", b'"cookies"'),
            (b"link", b"<http://evil.example>; rel=preconnect"),
            (b"refresh", b"0; url=http://evil.example"),
            (b"service-worker-allowed", b"/"),
        ],
        OWN,
        5000,
    )
    assert passed == [(b"content-type", b"text/html")]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (b"a=1; Domain=vibe.localhost; Path=/", b"a=1; Path=/"),
        (b"a=1; path=/;DOMAIN=.vibe.localhost", b"a=1; path=/"),
        (b"a=1; domain; Secure", b"a=1; Secure"),
        (b"a=1; HttpOnly", b"a=1; HttpOnly"),
    ],
)
def test_a_cookie_stays_on_the_preview_s_host(given, passed):
    assert headers.response_headers([(b"set-cookie", given)], OWN, 5000) == [
        (b"set-cookie", passed)
    ]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("/next?x=1#y", f"{OWN}/next?x=1#y"),
        ("next", "next"),
        ("?page=2", "?page=2"),
        ("http://localhost:5000/next", f"{OWN}/next"),
        ("http://127.0.0.1:5000", f"{OWN}/"),
        ("http://[::1]:5000/x", f"{OWN}/x"),
        (f"{OWN}/next", f"{OWN}/next"),
        ("//localhost:5000//evil.example", f"{OWN}//evil.example"),
    ],
)
def test_a_redirect_within_the_app_stays_in_the_preview(given, passed):
    assert headers.redirect(given, OWN, 5000) == passed


@pytest.mark.parametrize(
    "given",
    [
        "http://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\thttp://evil.example",
        "ht\ntp://evil.example",
        "http:\\\\evil.example",
        "http://localhost:5000@evil.example/",
        "http://localhost:22/",
        "http://vibe.localhost:8501/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://[",
    ],
)
def test_a_redirect_out_of_the_app_is_refused(given):
    with pytest.raises(headers.Foreign):
        headers.redirect(given, OWN, 5000)
