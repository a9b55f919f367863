"""The UI and a preview in a real browser: what a generated page can and can't do."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from playwright.async_api import Error, async_playwright, expect
from preview_support import TOKEN, free_socket

HERE = Path(__file__).parent
UI = """
import os
import streamlit as st
st.title("The UI")
st.markdown(f"![leak]({os.environ['OUTSIDE']}/leak.png)")
if st.button("Count"):
    st.session_state.n = st.session_state.get("n", 0) + 1
st.text(f"counted {st.session_state.get('n', 0)}")
url = st.query_params.get("frame")
if url:
    st.iframe(url, height=700)
"""
APP = """
import streamlit as st
st.title("The app")
if st.button("Press"):
    st.session_state.n = st.session_state.get("n", 0) + 1
st.text(f"pressed {st.session_state.get('n', 0)}")
upload = st.file_uploader("A file")
if upload:
    st.text(f"got {len(upload.getvalue())} bytes")
st.download_button("Take it", b"taken" * 1000, "taken.txt")
"""
PAGE = """<!doctype html><title>Web app</title><h1>Web app</h1><pre id=out></pre>
<a id=away href="%(outside)s/away">leave</a>
<a id=home href="http://vibe.localhost:%(port)d/">home</a>
<link rel=prefetch href="%(outside)s/prefetch"><link rel=stylesheet href="%(outside)s/style">
<script>
const out = {};
const say = (name, value) => { out[name] = value; document.title = JSON.stringify(out); };
const attempt = async (name, doing) => {
  try { say(name, "did " + await doing()); } catch (error) { say(name, "blocked"); }
};
const socket = (url) => new Promise((good, bad) => {
  const s = new WebSocket(url); s.onopen = good; s.onerror = bad;
});
(async () => {
  await attempt("parent", () => parent.document.title);
  await attempt("own", () => fetch("/").then(r => r.status));
  await attempt("ui", () => fetch("http://vibe.localhost:%(port)d/_stcore/health").then(r => 1));
  await attempt("loopback", () => fetch("%(outside)s/", {mode: "no-cors"}));
  await attempt("ui socket", () => socket("ws://vibe.localhost:%(port)d/_stcore/stream"));
  await attempt("worker", () => navigator.serviceWorker.register("/sw.js").then(() => 1));
  await attempt("image", () => new Promise((good, bad) => {
    const i = new Image(); i.onload = good; i.onerror = bad;
    i.src = "%(outside)s/image.png";
  }));
  await attempt("popup", () => { if (!window.open("%(outside)s/popup")) throw 1; });
  await attempt("top", () => { top.location = "%(outside)s/top"; });
  say("done", true);
})();
</script>
"""


@contextlib.asynccontextmanager
async def process(*argv, **env):
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, argv),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent.parent}", **env},
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.terminate()
        await asyncio.wait_for(running.wait(), 15)


@contextlib.asynccontextmanager
async def streamlit_app(folder, source):
    """A real Streamlit app on a port of its own, started as Vibe's kind starts it."""
    script = folder / "app.py"
    script.write_text(source)
    with free_socket() as sock:
        port = sock.getsockname()[1]
    argv = ["-m", "streamlit", "run", script, f"--server.port={port}"]
    flags = [
        "--server.address=127.0.0.1",
        "--server.headless=true",
        "--server.fileWatcherType=none",
    ]
    async with process(*argv, *flags, "--browser.gatherUsageStats=false"):
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(150):
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/_stcore/health")).text == "ok":
                        break
                await asyncio.sleep(0.1)
        yield port


@pytest.fixture
async def outside():
    """Another server on this machine, which nobody should be able to reach; what it was asked."""
    asked = []

    async def take(reader, writer):
        asked.append(await reader.read(1000))
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        asked_at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield SimpleNamespace(url=asked_at, asked=asked)


@contextlib.asynccontextmanager
async def site(folder, app_port, outside):
    """The whole site as a process of its own, with a preview of the app at `app_port`."""
    script = folder / "ui.py"
    script.write_text(UI)
    argv = [HERE / "site_process.py", script, app_port, TOKEN]
    async with process(*argv, OUTSIDE=outside.url) as running:
        yield int(await asyncio.wait_for(running.stdout.readline(), 20))


@contextlib.asynccontextmanager
async def browser_page(chromium):
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page()
        page.set_default_timeout(15_000)
        page.said = []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        try:
            yield page
        finally:
            await browser.close()


@pytest.mark.browser
async def test_a_streamlit_app_in_the_preview_is_fully_usable(tmp_path, chromium, outside):
    async with (
        streamlit_app(tmp_path, APP) as app_port,
        site(tmp_path, app_port, outside) as port,
        browser_page(chromium) as page,
    ):
        preview = f"http://{TOKEN}.vibe.localhost:{port}/"
        await page.goto(f"http://vibe.localhost:{port}/?frame={preview}")
        await page.get_by_role("button", name="Count").click()
        await expect(page.get_by_text("counted 1")).to_be_visible()

        app = page.frame_locator("iframe")
        await expect(app.get_by_role("heading", name="The app")).to_be_visible(timeout=20_000)
        await app.get_by_role("button", name="Press").click()
        await app.get_by_role("button", name="Press").click()
        await expect(app.get_by_text("pressed 2")).to_be_visible()
        await app.locator("input[type=file]").set_input_files(
            {"name": "data.bin", "mimeType": "application/octet-stream", "buffer": b"x" * 3_000_000}
        )
        await expect(app.get_by_text("got 3000000 bytes")).to_be_visible()
        async with page.expect_download() as download:
            await app.get_by_role("button", name="Take it").click()
        taken = await (await download.value).path()
        assert taken.read_bytes() == b"taken" * 1000
        refused = [said for said in page.said if "leak.png" in said]
        assert refused, "the model's Markdown can't call out from the UI"
        against_policy = [said for said in page.said if "olicy" in said and said not in refused]
        assert against_policy == []
        assert not any(outside.asked)


@pytest.mark.browser
async def test_a_generated_page_reaches_nothing_but_its_own_host(tmp_path, chromium, outside):
    async def serve_page(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            body = (PAGE % {"port": serve_page.site, "outside": outside.url}).encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_page, "127.0.0.1", 0)
    app_port = server.sockets[0].getsockname()[1]
    async with (
        server,
        site(tmp_path, app_port, outside) as port,
        browser_page(chromium) as page,
    ):
        serve_page.site = port
        preview = f"http://{TOKEN}.vibe.localhost:{port}/"
        await page.goto(f"http://vibe.localhost:{port}/?frame={preview}")
        app = page.frame_locator("iframe")
        await expect(app.get_by_role("heading", name="Web app")).to_be_visible()
        frame = next(frame for frame in page.frames if frame.url == preview)
        await frame.wait_for_function("document.title.includes('done')")
        tried = await frame.evaluate("JSON.parse(document.title)")
        assert tried.pop("own") == "did 200"
        assert tried.pop("done") is True
        assert {name for name, end in tried.items() if end != "blocked"} == set()
        assert not any(outside.asked)
        # Leaving its frame, for anywhere, ends at the UI's own policy.
        for link in ("#away", "#home"):
            await page.goto(f"http://vibe.localhost:{port}/?frame={preview}")
            await app.locator(link).click()
            await page.wait_for_timeout(500)
            for inner in page.frames[1:]:
                assert "The UI" not in await inner.content()
            await expect(page.get_by_role("heading", name="The UI")).to_be_visible()
        # Chromium ends a page that uses WebRTC from an empty frame of its own; the UI goes on.
        await page.goto(f"http://vibe.localhost:{port}/?frame={preview}")
        frame = await (await page.wait_for_selector("iframe")).content_frame()
        await frame.wait_for_function("document.title.includes('done')")
        ui = await page.context.new_cdp_session(page)  # a Playwright page counts as crashed
        with contextlib.suppress(Error):
            await frame.evaluate(
                "new (document.body.appendChild(document.createElement('iframe'))"
                ".contentWindow.RTCPeerConnection)().createDataChannel('x')"
            )
        said = await ui.send("Runtime.evaluate", {"expression": "document.body.innerText"})
        assert "The UI" in said["result"]["value"]
        assert not any(outside.asked)
