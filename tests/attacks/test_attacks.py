"""Every attack against every engine; and against a stock container, where it must get through."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.attacks import suite, table
from tests.attacks.suite import CASES, Verdict
from vibe.settings import ROOT

TRIED = suite.tried("box") + suite.tried("host")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("docker", "bubblewrap")
    ],
)
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Verdict]:
    """The suite, run once on an engine."""
    return asyncio.run(suite.verdicts(request.param, tmp_path_factory.mktemp("gallery")))


@pytest.fixture(scope="module")
def control() -> dict[str, Verdict]:
    """The cases of the negative control, run once in a stock container."""
    return suite.control()


@pytest.mark.parametrize("case", TRIED)
def test_an_attack_is_held(verdicts: dict[str, Verdict], case: str) -> None:
    assert verdicts[case].held, f"{case} ({CASES[case]['attack']}): {verdicts[case].saw}"


@pytest.mark.docker
@pytest.mark.parametrize("case", suite.controls())
def test_the_same_attack_gets_through_in_a_stock_container(
    control: dict[str, Verdict], case: str
) -> None:
    assert not control[case].held, f"{case} proves nothing: {control[case].saw}"


@pytest.mark.docker
async def test_under_gvisor_all_is_held_or_vibe_says_why_it_is_not_used(tmp_path: Path) -> None:
    """Where the daemon has gVisor, the whole suite; where it hasn't, or it fails its self-test,
    insisting on it is refused with the reason."""
    engine = await suite.ENGINES["docker + gVisor"](tmp_path)
    try:
        posture = await engine.probe()
        if posture.usable:
            found = await suite.attack(engine)
            assert {case: tried.saw for case, tried in found.items() if not tried.held} == {}
        else:
            assert posture.sentence.startswith("gVisor can't be used: ")
    finally:
        await engine.close()


def test_the_cases_that_the_research_asks_for_have_a_control() -> None:
    asked = {"N1", "N2", "N3", "K1", "K5", "R1", "R2", "R3", "R4", "O1"}
    assert asked <= set(suite.controls())


def test_every_case_is_tried_or_says_where_or_why_not() -> None:
    for name, case in CASES.items():
        assert case["how"] in ("box", "host", "elsewhere", "later")
        assert bool(case.get("where")) == (case["how"] in ("elsewhere", "later")), name
        assert (suite.PROGRAMS / f"{name}.py").exists() or case["how"] != "box", name


def test_what_is_tried_elsewhere_is_there() -> None:
    for case in CASES.values():
        if case["how"] == "elsewhere":
            file, _, test = case["where"].partition("::")
            assert f"def {test}" in (ROOT / file).read_text("utf-8")


def test_the_table_in_the_documentation_is_that_of_the_cases() -> None:
    assert table.section() in table.PAGE.read_text("utf-8"), "run `python -m tests.attacks.table`"
    measured = table.results()
    assert set(measured["docker"]["verdicts"]) == set(TRIED)
    assert all(held for held, _ in measured["docker"]["verdicts"].values())
    assert set(measured["stock container"]["verdicts"]) == set(suite.controls())


def test_every_escape_scenario_is_answered() -> None:
    assert len(table.ESCAPES) == 18
    assert all(scenario and answer for scenario, answer in table.ESCAPES)
