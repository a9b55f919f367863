"""A preview's page in Chromium: the host that its app may reach hears it, and nobody else does."""

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
from urllib.parse import quote

import pytest
from playwright.async_api import async_playwright
from preview_support import Running, gateway_to, raw_server
from test_ways_out import Outside, app, outside, try_all

from vibe.headers import preview_policy
from vibe.reach import Host

# Each way of a page to a host, with the answer that it may read.
PAGE = """<!doctype html><title>Calls</title><h1>Calls</h1><script>
const add = (tag, more) => document.body.append(Object.assign(document.createElement(tag), more));
const work = (code) => new Worker(URL.createObjectURL(new Blob([code])));
async function call(host, plain) {
  const to = (way) => `https://${host}/${way}`;
  add("img", { src: to("image") });
  add("script", { src: to("script") });
  add("script", { type: "module", src: to("module") });
  add("link", { rel: "stylesheet", href: to("stylesheet") });
  add("audio", { src: to("sound"), preload: "auto" });
  new FontFace("F", `url("${to("font")}")`).load().catch(() => 0);
  work(`fetch("${to("worker")}")`);
  new WebSocket(`wss://${host}/socket`);
  add("iframe", { src: to("frame") });
  add("iframe", { name: "form" });
  const form = document.createElement("form");
  Object.assign(form, { action: to("form"), target: "form" });
  document.body.append(form);
  form.submit();
  if (plain) fetch(`http://${plain}/plain`, { mode: "no-cors" }).catch(() => 0);
  try {
    return await (await fetch(to("fetch"))).text();
  } catch (error) {
    return String(error);
  }
}
</script>"""
LOADED = {"fetch", "image", "script", "module", "stylesheet", "sound", "font", "worker", "socket"}
"""Ways that an allowed host may hear; frames, forms and addresses without TLS are none."""


@contextlib.asynccontextmanager
async def tls_server(tmp_path):
    """An HTTPS server on this machine that hears ways, and lets every page read its answers."""
    if not (tmp_path / "cert.pem").exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=example.com", "-keyout", "key.pem",
             "-out", "cert.pem"],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    it = Outside("unused.example.com")

    async def asked(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            it.hear(head.split(b" ")[1].decode().strip("/").rstrip("?"))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 5\r\n"
                b"Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n'hi'\n"
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(asked, "127.0.0.1", 0, ssl=context)
    it.ports["https"] = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


@contextlib.asynccontextmanager
async def browsing(chromium, tmp_path, *arguments):
    """A Chromium for which every name of example.com is this machine."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium,
            ignore_https_errors=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--ignore-certificate-errors",
                "--allow-loopback-in-peer-connection",
                "--host-resolver-rules=MAP *.example.com 127.0.0.1",
                *arguments,
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def page_app(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    body = PAGE.encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    await writer.drain()


@pytest.mark.browser
async def test_an_allowed_host_hears_the_page_and_others_do_not(tmp_path, chromium):
    async with (
        raw_server(page_app) as port,
        tls_server(tmp_path) as allowed,
        tls_server(tmp_path) as other,
        outside("x.example.com") as plain,
        browsing(chromium, tmp_path) as browser,
    ):
        heard, deaf = allowed.ports["https"], other.ports["https"]
        live = Running(port, hosts=(Host("api.example.com", heard),))
        async with gateway_to(port, live=live) as preview:
            page = await browser.new_page()
            await page.goto(preview.origin)
            for host in (
                f"other.example.com:{heard}",
                f"api.example.com:{deaf}",
                f"sub.api.example.com:{deaf}",
                f"other.example.com:{deaf}",
                f"127.0.0.1:{deaf}",
            ):
                said = await page.evaluate(
                    "([host, plain]) => call(host, plain)",
                    [host, f"api.example.com:{plain.ports['http']}"],
                )
                assert "TypeError" in said, (host, said)
            assert allowed.heard == set()
            said = await page.evaluate("host => call(host)", f"api.example.com:{heard}")
            assert said == "'hi'\n"
            await allowed.wait_for(LOADED)
            assert allowed.heard == LOADED
        assert other.heard == set()
        assert plain.heard == set()

        # Without Vibe between, the same page is heard by the other, in each of these ways.
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{port}")
        await page.evaluate(
            "([host, plain]) => call(host, plain)",
            [f"other.example.com:{deaf}", f"api.example.com:{plain.ports['http']}"],
        )
        await other.wait_for(LOADED | {"frame", "form"})
        await plain.wait_for({"plain"})


@pytest.mark.browser
async def test_an_allowed_host_opens_no_way_to_any_other(tmp_path, chromium):
    log = tmp_path / "net.json"
    async with (
        raw_server(app) as port,
        tls_server(tmp_path) as allowed,
        outside("preview.leak.test") as silent,
    ):
        live = Running(port, hosts=(Host("api.example.com", allowed.ports["https"]),))
        async with (
            gateway_to(port, live=live) as preview,
            browsing(chromium, tmp_path, f"--log-net-log={log}") as browser,
        ):
            assert len(await try_all(browser, preview.origin, silent.ports)) == 54
            page = await browser.new_page()
            await page.goto(f"{preview.origin}/?{quote(json.dumps(silent.ports))}")
            call = f"https://api.example.com:{allowed.ports['https']}/last"
            await page.evaluate("to => fetch(to).then(() => 0)", call)
            # what was sent before this would have been heard by now
            await allowed.wait_for({"last"})
        assert silent.heard == set()
    looked_up = set(re.findall(r'"host":"(?:\w+://)?([\w.]+)', log.read_text()))
    assert "api.example.com" in looked_up
    assert silent.ports["name"] not in looked_up


def test_without_a_host_the_policy_is_what_it_was():
    none = dict(preview_policy("t.vibe.localhost", "ws", ("http://vibe.localhost",)))
    policy = none[b"content-security-policy"].decode()
    assert "https:" not in policy
    assert "frame-src" not in policy
    assert none[b"connection-allowlist"] == b"(response-origin);redirects=allow;webrtc=block"
    hosts = (Host("api.example.com"), Host("b.example.com", 8443), Host("c.example.com", 80))
    some = dict(preview_policy("t.vibe.localhost", "ws", ("http://vibe.localhost",), hosts))
    policy = some[b"content-security-policy"].decode()
    assert (
        "connect-src 'self' ws://t.vibe.localhost data: blob: https://api.example.com:443 "
        "wss://api.example.com:443 https://b.example.com:8443 wss://b.example.com:8443;"
    ) in policy
    assert "c.example.com" not in str(some)
    assert some[b"connection-allowlist"] == (
        b'(response-origin "https://api.example.com:443" "https://b.example.com:8443")'
        b";redirects=allow;webrtc=block"
    )
