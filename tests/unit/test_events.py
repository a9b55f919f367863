"""The transcript's lines: what is written is read back, and nothing that is read raises."""

import dataclasses
import json
import types
import typing
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vibe.events import TYPES, Event, Notice, Unknown, from_json, to_json

json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return json_data
    if origin is Literal:
        return st.sampled_from(parts)
    if origin is types.UnionType:
        return st.one_of(*(values(part) for part in parts))
    if origin is list:
        return st.lists(values(parts[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(values(parts[0]), values(parts[1]), max_size=3)
    if hint is float:
        return st.floats(allow_nan=False)
    return {str: st.text(), int: st.integers(), bool: st.booleans(), type(None): st.none()}[hint]


def events(cls: type[Event]) -> st.SearchStrategy[Event]:
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{f.name: values(hints[f.name]) for f in dataclasses.fields(cls)})


@pytest.mark.parametrize("name", TYPES)
@given(draw=st.data())
def test_every_event_reads_back_as_it_was_written(name: str, draw: st.DataObject) -> None:
    event = draw.draw(events(TYPES[name]))
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


@given(st.text(st.characters(categories=["Cs", "Ll"])))
@example("\ud800\udc00")
def test_half_characters_can_be_written_and_come_back(text: str) -> None:
    line = to_json(Notice(text=text))
    # Two halves that happen to fit together come back as the one character they spell.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert from_json(line.encode().decode()) == Notice(text=whole, at=json.loads(line)["at"])


@given(st.text())
def test_any_text_is_an_event_or_an_unknown_line_that_is_kept(line: str) -> None:
    event = from_json(line)
    assert isinstance(event, Unknown)
    assert to_json(event) == line


@given(st.sampled_from(list(TYPES)), json_data, st.dictionaries(st.text(), json_data))
def test_any_json_never_raises(name: str, version: Any, fields: dict[str, Any]) -> None:
    from_json(json.dumps({"type": name, "v": version, **fields}))
    from_json(json.dumps({"type": fields, "v": 1}))
    from_json(json.dumps([fields]))


@given(st.sampled_from(list(TYPES)), st.data())
def test_a_line_that_was_cut_anywhere_never_raises(name: str, draw: st.DataObject) -> None:
    line = to_json(draw.draw(events(TYPES[name])))
    from_json(line[: draw.draw(st.integers(0, len(line)))])


def test_lines_nested_without_end_are_unknown() -> None:
    assert isinstance(from_json("[" * 100_000), Unknown)
    assert isinstance(from_json('{"type":' * 100_000), Unknown)


def test_an_event_of_a_newer_vibe_is_kept_word_for_word() -> None:
    for line in (
        '{"v":1,"type":"Teleported","to":"Mars"}',
        '{"v":2,"type":"Notice","text":"hi","at":"2030-01-01T00:00:00.000Z"}',
    ):
        assert to_json(from_json(line)) == line


def test_a_field_that_this_version_does_not_know_is_passed_over() -> None:
    line = '{"v":1,"type":"Notice","text":"hi","at":"then","mood":"good"}'
    assert from_json(line) == Notice(text="hi", at="then")


@pytest.mark.parametrize("text", ['"text":7', '"text":null', '"text":["hi"]', '"x":1'])
def test_a_field_of_the_wrong_type_makes_the_line_unknown(text: str) -> None:
    assert isinstance(from_json(f'{{"v":1,"type":"Notice","at":"then",{text}}}'), Unknown)


def test_a_plan_with_a_date_can_be_written() -> None:
    import datetime

    event = TYPES["PlanMade"](plan={"title": "x", "due": datetime.date(2025, 1, 2)})  # type: ignore[call-arg]
    assert json.loads(to_json(event))["plan"]["due"] == "2025-01-02"
