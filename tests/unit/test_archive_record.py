"""app.yaml: readable for people, and read back as it was."""

import dataclasses

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vibe.app import App, Revision, Spent, Verdict
from vibe.record import BrokenRecord, from_data, from_yaml, to_data, to_yaml

VERDICT = Verdict("works", "It shows 34.50.", ("starts",), ("colours",), "docker")
APP = App(
    id="tip-calculator-3f9a1c",
    title="Tip calculator",
    idea="Split a bill\nbetween friends 🍕",
    kind="web",
    status="ready",
    model="m",
    created="2025-01-01T00:00:00.000Z",
    used="2025-01-02T00:00:00.000Z",
    verdict=VERDICT,
    revisions=(Revision(1, "Split a bill", "c" * 40, 2, VERDICT, "2025-01-01T00:00:00.000Z"),),
    spent=Spent(3, 100, 200, 4.5, 0.01),
    plan={"title": "Tip calculator", "checks": [{"steps": [{"see": "34.50"}]}]},
    pins={"packages": {"numpy": "2.1"}},
)


def test_a_record_reads_back_as_it_was_written() -> None:
    assert from_yaml(to_yaml(APP)) == APP
    assert from_data(to_data(APP)) == APP


def test_a_record_is_for_people_too() -> None:
    text = to_yaml(APP)
    assert text.startswith(
        "id: tip-calculator-3f9a1c\ntitle: Tip calculator\n"
        "idea: |-\n  Split a bill\n  between friends 🍕\nkind: web\n"
    )
    names = [f.name for f in dataclasses.fields(App)]
    assert list(yaml.safe_load(text)) == names


@given(st.text(), st.text(" \n\t-:#'\"|>é\x85\u2028\r\x00\ufeff😀", max_size=12))
def test_any_text_survives(idea: str, title: str) -> None:
    app = from_yaml(to_yaml(dataclasses.replace(APP, idea=idea, title=title)))
    assert app.idea == idea.encode("utf-8", "replace").decode()
    assert app.title == title


def test_an_idea_of_16_kilobytes_survives() -> None:
    idea = "Zähle die Wörter: 数え上げる 🧮\n" * 400
    assert from_yaml(to_yaml(dataclasses.replace(APP, idea=idea))).idea == idea


@pytest.mark.parametrize(
    "text",
    [
        "", "42", "[]", "id: [", "\x00", "!!python/object/apply:os.system ['true']",
        to_yaml(APP).replace("status: ready", "status: dancing"),
        to_yaml(APP).replace("title: Tip calculator", "title: [a]"),
        to_yaml(APP).replace("idea:", "ideas:", 1),
        to_yaml(APP).replace("version: 1", "version: 2"),
        to_yaml(APP)[:200], "{" * 5000, "[" * 200_000, "- " * 100_000, "?\t" * 100_000,
    ],
)  # fmt: skip
def test_a_text_that_is_no_record_says_so(text: str) -> None:
    with pytest.raises(BrokenRecord):
        from_yaml(text)


def test_a_record_edited_by_hand_may_leave_out_quotes_and_defaults() -> None:
    text = (
        "id: a-123456\ntitle: 2048\nidea: no\nkind: web\nstatus: ready\nmodel: m\n"
        "created: 2025-01-01\nused: x\nmood: good\n"
    )
    app = from_yaml(text)
    assert (app.title, app.created, app.idea) == ("2048", "2025-01-01", "False")
    assert app.revisions == ()
