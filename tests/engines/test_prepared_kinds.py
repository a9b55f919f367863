"""What isn't Python is compiled or checked in its box first, in an image built on first use."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe.checks import examine
from vibe.events import Event
from vibe.kinds import kind
from vibe.plan import Plan
from vibe.sandbox.docker import DockerEngine
from vibe.settings import Limits

pytestmark = pytest.mark.docker


@pytest.mark.parametrize(
    ("name", "code", "place"),
    [
        ("node", "const a = 1;\nlet b = ;\n", "main.js:2"),
        ("rust", 'fn main() {\n    let x: i32 = "text";\n}\n', "main.rs:2"),
    ],
)
async def test_code_that_its_compiler_refuses_is_told_with_its_place(
    name: str, code: str, place: str, tmp_path: Path
) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    told: list[Event] = []
    try:
        found = await examine(
            kind(name),
            {kind(name).entry: code},
            Plan("T", name),
            engine=engine,
            app_id="t",
            data={},
            limits=Limits(),
            eyes=None,
            emit=told.append,
        )
    finally:
        await engine.close()
    assert not found.runs
    assert found.failed is not None
    assert found.failed.name == "prepare"
    assert place in found.failed.evidence
