"""What a person may allow an app: names of hosts, names of variables, values of secrets."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe import reach
from vibe.errors import UserError
from vibe.reach import Host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("api.example.com", Host("api.example.com", 443)),
        (" API.Example.COM. \r\n", Host("api.example.com", 443)),
        ("api.example.com:8443", Host("api.example.com", 8443)),
        ("api.example.com:80", Host("api.example.com", 80)),
        ("xn--bcher-kva.example", Host("xn--bcher-kva.example", 443)),
        ("a.b-c.co.uk:443", Host("a.b-c.co.uk", 443)),
    ],
)
def test_a_name_with_or_without_a_port_can_be_allowed(text: str, host: Host) -> None:
    assert reach.host(text) == host
    assert reach.host(str(host)) == host


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "example", "*", "*.example.com", "https://api.example.com", "api.example.com/x",
        "127.0.0.1", "127.0.0.1:443", "1.1.1.1", "0x7f.1", "2130706433", "[::1]", "[::1]:443",
        "::ffff:127.0.0.1", "localhost", "app.localhost", "printer.local", "db.internal",
        "metadata.google.internal", "nas.lan", "router.home.arpa", "x.onion", "user@example.com",
        "user:pw@example.com", "a..com", "-a.example.com", "a-.example.com", "a_b.example.com",
        "api.example.com:0", "api.example.com:22", "api.example.com:25", "api.example.com:65536",
        "api.example.com:", "api.example.com: 443", "api.example.com:+443",
        "api.example.com:\uff14\uff14\uff13",
        "bücher.example", "api.example.com\nother.example.com", "a b.example.com",
        "api.example.com,other.example.com", f"{'a' * 64}.example.com", f"{'a.' * 127}com",
        "api.example.123", "api.example.com%00",
    ],
)  # fmt: skip
def test_what_is_no_name_of_a_host_of_the_internet_is_refused(text: str) -> None:
    with pytest.raises(UserError) as refusal:
        reach.host(text)
    assert refusal.value.fix


@given(st.text(alphabet=string.printable + "é\uff10\uff0e。", max_size=80))
def test_whatever_is_allowed_is_a_plain_name_and_reads_back_as_itself(text: str) -> None:
    try:
        found = reach.host(text)
    except UserError:
        return
    assert set(found.name) <= set(string.ascii_lowercase + string.digits + ".-")
    assert found.name.count(".") >= 1
    assert not found.name.rpartition(".")[2].isdigit()
    assert found.port in (80, 443) or found.port >= 1024
    assert reach.host(str(found)) == found


def test_hosts_are_kept_once_and_in_order_and_not_too_many() -> None:
    assert reach.hosts(["b.example.com", "a.example.com:80", "B.example.com:443"]) == (
        Host("a.example.com", 80),
        Host("b.example.com", 443),
    )
    with pytest.raises(UserError, match="too many"):
        reach.hosts(f"h{number}.example.com" for number in range(21))


def test_a_record_that_anyone_may_have_written_gives_only_what_could_be_allowed() -> None:
    texts = ["127.0.0.1", "*", "localhost", "api.example.com", "", "api.example.com:22"]
    assert reach.recorded(texts) == (Host("api.example.com"),)
    assert reach.recorded(["*.com"]) == ()
    assert reach.variables(["PATH", "WEATHER_KEY", "lower", "LD_PRELOAD"]) == ("WEATHER_KEY",)


@pytest.mark.parametrize("name", ["WEATHER_KEY", "OPENAI_API_KEY", "A", "_X9", "GITHUB_TOKEN"])
def test_a_variable_of_the_person_s_own_may_hold_a_secret(name: str) -> None:
    assert reach.variable(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "key", "My_KEY", "1KEY", "A-B", "A B", "A=B", "A\0B", "KÉY", "A" * 65, "PATH", "HOME",
        "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "HTTP_PROXY", "NO_PROXY",
        "ALL_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_OPTIONS",
        "NODE_EXTRA_CA_CERTS", "BASH_ENV", "ENV", "IFS", "LC_ALL", "GIT_SSH_COMMAND", "VIBE_WORK",
        "STREAMLIT_SERVER_PORT", "OPENSSL_CONF",
    ],
)  # fmt: skip
def test_a_variable_that_steers_programs_may_not(name: str) -> None:
    with pytest.raises(UserError):
        reach.variable(name)


def test_a_secret_is_one_line_that_can_be_masked_and_no_refusal_repeats_it() -> None:
    assert reach.secret("  abcd-1234 \n") == "abcd-1234"
    for value in ("s3cret", "with\nnewline-1234", "null\0byte-1234", "x" * 3000):
        with pytest.raises(UserError) as refusal:
            reach.secret(value)
        assert value not in str(refusal.value)


def test_hosts_are_told_in_words() -> None:
    assert reach.in_words([]) == "No network"
    assert reach.in_words([Host("a.example.com")]) == "May reach a.example.com"
    three = [Host("a.example.com"), Host("b.example.com", 80), Host("c.example.com")]
    assert reach.in_words(three) == "May reach a.example.com, b.example.com:80 and c.example.com"


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.example.com/x?y", Host("api.example.com")),
        ("wss://api.example.com:8443/", Host("api.example.com", 8443)),
        ("https://user@API.example.com./", Host("api.example.com")),
        ("http://api.example.com/", None),
        ("https://[::1", None),
        ("https://a.example.com:99999/", None),
        ("data:text/plain,https://api.example.com", None),
    ],
)
def test_the_host_of_an_address_is_read_from_it(address: str, host: Host | None) -> None:
    assert reach.of_address(address) == host
