"""Streamlit's own files come from Vibe's installation, and nobody's from another's box."""

import re
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from preview_support import TOKEN, Running, gateway_to, raw_server

from vibe.assets import Assets, of_streamlit

NAME = "/static/js/index.C1pLU68S.js"


@pytest.fixture
def assets(tmp_path):
    for name, content in {
        NAME: "ours;" * 100,
        "/static/js/plain.js": "no hash",
        "/index.html": "no hash either",
        "/static/media/a.BQhdFMY1.woff2": "a font",
    }.items():
        path = tmp_path / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Assets(tmp_path)


async def asked(assets, path, method="GET", token=TOKEN, **headers):
    """What a browser gets, and the first lines of what the app was asked."""
    lines = []

    async def app(reader, writer):
        lines.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbox!")

    async with (
        raw_server(app) as port,
        gateway_to(port, live=Running(port), assets=assets) as preview,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        host = preview.host.replace(TOKEN, token)
        answer = await client.request(
            method, preview.address + path, headers={"host": host, **headers}
        )
    return answer, lines


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_file_of_streamlits_is_answered_without_the_app(assets, encoding):
    answer, lines = await asked(assets, f"{NAME}?v=1", **{"accept-encoding": encoding})
    assert (answer.text, lines) == ("ours;" * 100, [])
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/static/js/index.DIFFEREN.js", "GET", {}),
        ("/static/js/plain.js", "GET", {}),
        ("/index.html", "GET", {}),
        ("/", "GET", {}),
        (f"/static/js/..{NAME}", "GET", {}),
        (f"/{NAME}", "GET", {}),
        (NAME, "POST", {}),
        (NAME, "GET", {"range": "bytes=0-3"}),
    ],
)
async def test_everything_else_is_the_apps(assets, path, method, headers):
    answer, lines = await asked(assets, path, method, **headers)
    assert answer.text == "box!"
    assert len(lines) == 1


async def test_a_preview_that_has_ended_has_no_files_either(assets):
    answer, _ = await asked(assets, NAME, token=TOKEN[::-1])
    assert answer.status_code == 410


async def test_another_origin_gets_none(assets):
    answer, lines = await asked(assets, NAME, origin="http://vibe.localhost:8501")
    assert (answer.status_code, lines) == (403, [])


async def test_all_that_streamlits_page_asks_for_is_here():
    page = Path(find_spec("streamlit").origin).with_name("static") / "index.html"
    wanted = re.findall(r'(?:src|href)="\./(static/[^"]+)"', page.read_text("utf-8"))
    assert wanted
    streamlit = of_streamlit()
    assert [name for name in wanted if not await streamlit.get(f"/{name}", packed=False)] == []
