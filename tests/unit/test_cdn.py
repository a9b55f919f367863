"""Which addresses on other hosts are led to `vendor/`, and which are only told of."""

from __future__ import annotations

import pytest

from vibe import cdn, fixes
from vibe.kinds import kind
from vibe.libraries import all_libraries

HOST = "https://cdn.example"
LONG = f"<script src='{HOST}/a{'.1' * 5_000}!.js'></script>"


def led(page: str, path: str = "index.html") -> str:
    changed, _ = cdn.to_vendor({path: page}, all_libraries())
    return changed.get(path, page)


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("/npm/chart.js", "chart.js/chart.umd.min.js"),
        ("/npm/chart.js@4.4.0/dist/chart.umd.min.js", "chart.js/chart.umd.min.js"),
        ("/ajax/libs/Chart.js/3.9.1/chart.min.js", "chart.js/chart.umd.min.js"),
        ("/npm/d3@7", "d3/d3.min.js"),
        ("/d3.v7.min.js", "d3/d3.min.js"),
        ("/ajax/libs/d3/7.8.5/d3.js", "d3/d3.min.js"),
        ("/ajax/libs/three.js/r128/three.min.js", "three/three.min.js"),
        ("/three@0.150.1/build/three.min.js", "three/three.min.js"),
        ("/npm/p5@1.9.0/lib/p5.js", "p5/p5.min.js"),
        ("/plotly-2.35.2.min.js", "plotly.js-basic-dist-min/plotly-basic.min.js"),
        ("/plotly-latest.min.js", "plotly.js-basic-dist-min/plotly-basic.min.js"),
        ("/npm/plotly.js-dist@2/plotly.min.js", "plotly.js-basic-dist-min/plotly-basic.min.js"),
        ("/leaflet@1.9.4/dist/leaflet.js", "leaflet/leaflet.js"),
        ("/react@18/umd/react.development.js", "react/react.production.min.js"),
        ("/react-dom@18/umd/react-dom.production.min.js", "react-dom/react-dom.production.min.js"),
        ("/npm/alpinejs@3.x.x/dist/cdn.min.js", "alpinejs/cdn.min.js"),
        ("/npm/katex@0.16.9/dist/contrib/auto-render.min.js", "katex/contrib/auto-render.min.js"),
        ("/npm/marked/marked.min.js", "marked/marked.umd.js"),
        ("/htm", "htm/htm.umd.js"),
    ],
)  # fmt: skip
def test_a_script_of_a_library_that_is_there_is_loaded_from_vendor(
    address: str, there: str
) -> None:
    page = f'<script src="{HOST}{address}" integrity="sha384-x" crossorigin="anonymous"></script>'
    assert led(page) == f'<script src="./vendor/{there}"></script>'


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("/leaflet@1.9.4/dist/leaflet.css", "leaflet/leaflet.css"),
        ("/npm/katex@0.16.9/dist/katex.min.css", "katex/katex.min.css"),
        ("/npm/@picocss/pico@2/css/pico.min.css", "pico/pico.min.css"),
        ("/npm/@picocss/pico@1/css/pico.classless.min.css", "pico/pico.classless.min.css"),
    ],
)
def test_a_style_sheet_is_loaded_from_vendor(address: str, there: str) -> None:
    page = f"<link rel='stylesheet' crossorigin href='{HOST}{address}'>"
    assert led(page) == f"<link rel='stylesheet' href='./vendor/{there}'>"


@pytest.mark.parametrize(
    "tag",
    [
        f'<script src="{HOST}/npm/chartjs-adapter-date-fns@3/dist/adapter.min.js"></script>',
        f'<script src="{HOST}/npm/katex@0.16/dist/contrib/mhchem.min.js"></script>',
        f'<script src="{HOST}/npm/bootstrap@5/dist/js/bootstrap.min.js"></script>',
        f'<script type="module">import * as d3 from "{HOST}/npm/d3@7/+esm";</script>',
        f'<link rel="stylesheet" href="{HOST}/css2?family=Inter">',
    ],
)
def test_what_is_not_there_stays_and_is_told(tag: str) -> None:
    assert led(tag) == tag
    assert len(cdn.remote({"index.html": tag})) == 1


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://cdn.example/npm/d3@7">d3</a>',
        '<script src="d3.min.js"></script>',
        f'<link rel="preconnect" href="{HOST}">',
        f"<p>Load {HOST}/npm/d3@7 yourself</p>",
        '<script src="//[broken/d3.js"></script>',
    ],
)
def test_links_and_files_of_its_own_are_left_alone(page: str) -> None:
    assert led(page) == page


def test_modules_and_import_maps_get_what_can_be_imported() -> None:
    page = f"""<script type="importmap">{{"imports": {{
  "three": "{HOST}/npm/three@0.160.0/build/three.module.js",
  "three/addons/": "{HOST}/npm/three@0.160.0/examples/jsm/"}}}}</script>
<script type="module">import {{ marked }} from "{HOST}/npm/marked/lib/marked.esm.js";
import * as THREE from "{HOST}/three@0.160";</script>"""
    new = led(page)
    assert HOST not in new
    assert '"three": "./vendor/three/three.module.min.js"' in new
    assert '"three/addons/": "./vendor/three/jsm/"' in new
    assert 'from "./vendor/marked/marked.esm.js"' in new


def test_a_page_in_a_folder_finds_vendor_above_it() -> None:
    script = f'import htm from "{HOST}/npm/htm@3/dist/htm.module.js";'
    assert led(script, "js/main.js") == 'import htm from "../vendor/htm/htm.module.js";'


def test_only_kinds_with_pages_of_their_own_are_led() -> None:
    page = f'<script src="{HOST}/npm/d3@7"></script>'
    assert fixes.ahead(kind("flask"), {"templates/index.html": page}) is None


def test_a_hostile_page_is_read_in_a_moment() -> None:
    for text in ("<script " * 20_000, "from '" * 30_000, '<script type="importmap">' * 5_000, LONG):
        assert led(text) == text
