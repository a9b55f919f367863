"""From an idea to the first sign, the first code, a live preview and the verdict, stage by stage.

A model server here answers at a fixed pace (100 tokens a second by default, after half a second),
so what is left of each figure is Vibe's own: that is what `we add` counts. The build is a real one,
with the openai client, real boxes and a real browser. Every second build may take a box that stood
ready. Run: `python bench/idea.py [--rounds 5] [--quick] [--json]`. Needs Docker and `vibe setup`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.scripted import code, plan
from tests.wire.server import ModelServer
from vibe.events import (
    AttemptStarted,
    BoxStarted,
    Finished,
    PlanMade,
    ReplyEnded,
    ReplyText,
    RungDone,
    Stage,
    VerdictReached,
)
from vibe.opening import open_studio
from vibe.settings import Settings

TOKENS_S = 100
FIRST_S = 0.5
TOKEN = 4
"""Characters, as a rule of thumb for English and code."""
PAGE = """import pandas as pd
import streamlit as st

st.title("Bill")
bill = st.number_input("Bill", value=120)
people = st.number_input("People", value=4, min_value=1)
st.dataframe(pd.DataFrame({"Each pays": [bill / people]}))
st.write(f"Each of you pays {bill / people:.2f}")
""" + "".join(f"# line {number} of what a model says besides\n" for number in range(60))
PLAN = plan("streamlit", "Bill", ['{name: Splits, steps: [{see: "Each of you pays 30.00"}]}'])


def paced(text: str):
    """An answer of so many tokens a second."""

    async def answer(exchange) -> None:
        await exchange.head()
        begin = time.monotonic() + FIRST_S
        for number, start in enumerate(range(0, len(text), TOKEN)):
            await asyncio.sleep(max(0.0, begin + number / TOKENS_S - time.monotonic()))
            await exchange.text(text[start : start + TOKEN])
        await exchange.delta("stop")
        await exchange.raw(b"data: [DONE]\n\n")

    return answer


async def build(folder: Path, warm: bool) -> dict[str, float]:
    """Seconds of each stage of one build."""
    found: dict[str, float] = {}
    async with ModelServer(paced(PLAN), paced(code(app_py=PAGE)), models=("paced",)) as server:
        settings = Settings(
            gallery=folder, base_url=server.url, api_key="none", autonomy="fix",
            warm_boxes=1 if warm else 0,
        )  # fmt: skip
        settings = replace(settings, limits=replace(settings.limits, seconds=300))
        async with open_studio(settings, warm=warm) as studio:
            since = time.monotonic()
            made = await studio.create("split a bill between people", kind="streamlit")
            model, replies, rungs, last = 0.0, 0, "", since

            def mark(name: str) -> None:
                found.setdefault(name, time.monotonic() - since)

            async def preview() -> None:
                while studio.live(made.id) is None:
                    await asyncio.sleep(0.01)
                mark("live preview")

            watching = asyncio.create_task(preview())
            async with contextlib.aclosing(studio.follow(made.id)) as events:
                async for event in events:
                    if isinstance(event, Stage):
                        mark("first sign")
                        rungs = f"{rungs} {event.name}"
                    if isinstance(event, ReplyText):
                        mark("first words of the plan")
                        if replies:
                            mark("first code")
                    if isinstance(event, PlanMade):
                        mark("plan made")
                    if isinstance(event, AttemptStarted):
                        mark("attempt started")
                    if isinstance(event, ReplyEnded):
                        model += event.seconds
                        replies += 1
                        if replies == 2:
                            mark("code there")
                            last = time.monotonic()
                    if isinstance(event, BoxStarted):
                        mark("box there")
                    if isinstance(event, RungDone) and replies == 2:
                        stage = time.monotonic() - last
                        found[f"  of that: {event.name}"] = (
                            found.get(f"  of that: {event.name}", 0.0) + stage
                        )
                        last = time.monotonic()
                    if isinstance(event, VerdictReached):
                        mark("verdict")
                    if isinstance(event, Finished):
                        assert event.status == "ready", event
                        mark("all archived")
            await watching
    found["the model's own time"] = model
    found["we add, to the live preview"] = found["live preview"] - model
    found["we add, to the verdict"] = found["verdict"] - model
    return found


async def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    ways: dict[str, dict[str, list[float]]] = {"fresh box": {}, "box stood ready": {}}
    with tempfile.TemporaryDirectory() as folder:
        await build(Path(folder), False)  # not counted: the first loads what later ones have
    for _ in range(rounds):
        for way, found in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds = await build(Path(folder), way != "fresh box")
            for stage, value in seconds.items():
                found.setdefault(stage, []).append(value)
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ways = asyncio.run(measure(1 if arguments.quick else arguments.rounds))
    table = {
        way: {stage: round(statistics.median(values), 2) for stage, values in found.items()}
        for way, found in ways.items()
    }
    for way, found in table.items():
        print(f"{way} (seconds from Enter, n = {len(ways[way]['verdict'])})")
        for stage, seconds in found.items():
            print(f"  {stage}: {seconds}")
    print("load average:", *Path("/proc/loadavg").read_text().split()[:3])
    if arguments.json:
        print(json.dumps({"bench": "idea", "medians": table}))


if __name__ == "__main__":
    main()
