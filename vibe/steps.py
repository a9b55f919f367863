"""The steps of a check in a browser, read from however a model wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MAX_TEXT = 500
"""Characters of a label or of an expected text."""
MAX_WAIT_S = 10.0

_SYNONYMS = {
    "open": "open goto go_to visit navigate navigate_to go load",
    "see": "see expect assert should_see expect_text contains shows show sees text verify "
    "assert_text expect_see see_text check_text",
    "not_see": "not_see dont_see do_not_see should_not_see not_expect hidden not_visible "
    "expect_not cannot_see absent see_not not_shown",
    "click": "click tap press_button submit check uncheck toggle click_on click_button push",
    "fill": "fill type enter input set fill_in write type_text set_value enter_text",
    "select": "select choose pick select_option set_option",
    "press": "press key keypress press_key hit hit_key",
    "upload": "upload attach upload_file attach_file",
    "wait": "wait sleep pause wait_for delay",
    "download": "download save",
    "reload": "reload refresh",
    "drag": "drag drag_to drag_drop drag_and_drop move move_to",
}
ACTIONS = {word: action for action, words in _SYNONYMS.items() for word in words.split()}
"""Every word that is understood, and the action that it stands for."""

_FIELD = ("field", "label", "name", "target", "element", "into", "in", "placeholder", "selector")
_VALUE = ("with", "value", "option", "file", "text", "to", "as", "choice", "path", "by", "content")
_TARGET = (
    "text", "label", "name", "target", "path", "url", "key", "seconds", "button", "link", "value",
    "element", "selector", "contains", "on", "for",
)  # fmt: skip
_PAIRED = {
    "fill": ("field", "with"),
    "select": ("field", "option"),
    "upload": ("field", "file"),
    "drag": ("field", "to"),
}
_DRAGGED = ("from", "field", "item", "card", "source", "what", "element", "label", "name", "text")
_DROPPED = ("to", "onto", "into", "on", "target", "destination", "column", "drop", "in", "with")
_KEY = re.compile(
    r"(?:(?:ctrl|control|alt|shift|meta|cmd|controlormeta)\s*[+-]\s*)*"
    r"(?:\S|enter|return|tab|esc|escape|space|spacebar|backspace|del|delete|insert|home|end"
    r"|page_?(?:up|down)|(?:arrow_?)?(?:up|down|left|right)|f\d{1,2}|(?:key|digit)\w)",
    re.IGNORECASE,
)


class UnknownStep(ValueError):
    """A step (or a check) that can't be understood; says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a person does or sees.

    `target` is the path of open, the text of see and not_see, the label of click, download, fill,
    select and upload, what drag takes, the key of press, the seconds of wait, and empty for reload.
    `value` is what fill writes, the option that select chooses, the name of the file that upload
    attaches, and where drag drops.
    """

    action: str
    target: str = ""
    value: str = ""


def line(value: Any, limit: int) -> str:
    """A value as one line of text without control characters."""
    return _without_curly_quotes(" ".join(text(value, limit * 4).split())[:limit].strip())


def text(value: Any, limit: int) -> str:
    """A value as text; line ends and tabs are the only control characters that stay."""
    if isinstance(value, list | tuple):
        value = " ".join(text(item, limit) for item in value[:50])
    elif isinstance(value, dict):
        value = ", ".join(f"{key}: {text(item, limit)}" for key, item in list(value.items())[:50])
    elif value is None:
        value = ""
    kept = str(value)[:limit].encode("utf-8", "replace").decode("utf-8")
    return _without_curly_quotes(re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", " ", kept))


def _without_curly_quotes(said: str) -> str:
    """YAML doesn't know the curly ones, so it leaves them around a value."""
    while len(said) > 1 and said[0] == "“" and said[-1] == "”":
        said = said[1:-1].strip()
    return said


def several(value: Any) -> list[Any]:
    """A value as a list: a single one is a list of one, an empty one of none."""
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None or value == "" else [value]


def steps(data: Any) -> Iterator[Step]:
    """The steps in a list (or a mapping, or a string). Raises UnknownStep."""
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, list):
            yield from _from_list(item)
        elif isinstance(item, dict):
            yield from _from_mapping(item)
        elif str(item).strip():
            yield from _from_words(str(item).strip())


def _from_list(item: list[Any]) -> Iterator[Step]:
    """A step as a list: [click, Calculate] or [fill, Bill, 120]."""
    if item and isinstance(item[0], str) and _action(item[0]):
        rest = item[1:]
        yield from _made(_action(item[0]), rest[0] if len(rest) == 1 else rest, {})
    elif all(isinstance(part, dict) for part in item):
        for part in item:
            yield from _from_mapping(part)
    else:
        raise UnknownStep(f"it has a step that can't be understood, {line(item, 60)!r}")


def step_to_data(step: Step) -> dict[str, Any]:
    """The step as a model would write it."""
    if step.action in _PAIRED:
        field, value = _PAIRED[step.action]
        return {step.action: {field: step.target, value: step.value}}
    return {step.action: True if step.action == "reload" else step.target}


def _action(word: str) -> str:
    word = re.sub(r"[\s-]+", "_", word.strip().lower().replace("'", "").replace("\u2019", ""))
    return ACTIONS.get(word, "")


def _from_mapping(item: Mapping[str, Any]) -> Iterator[Step]:
    for word in ("action", "step", "do", "type"):
        if isinstance(said := item.get(word), str) and _action(said):
            rest = {key.strip().lower(): value for key, value in item.items() if key != word}
            yield from _made(_action(said), rest, {})
            return
    known = [key for key in item if _action(key)]
    main = [key for key in known if key.strip().lower() not in (*_FIELD, *_VALUE)] or known[:1]
    if not main:
        raise UnknownStep(f"it has the unknown step {line(next(iter(item), ''), 40)!r}")
    params = {key.strip().lower(): value for key, value in item.items() if key not in main}
    for key in main:
        yield from _made(_action(key), item[key], params if len(main) == 1 else {})


def _from_words(said: str) -> Iterator[Step]:
    head, colon, rest = said.partition(":")
    if colon and _action(head):
        yield from _made(_action(head), _bare(rest), {})
        return
    words = said.split()
    for count in (3, 2, 1):
        if action := _action("_".join(words[:count])):
            yield from _made(action, _bare(" ".join(words[count:])), {})
            return
    raise UnknownStep(f"it has the unknown step {line(said, 40)!r}")


def _bare(said: str) -> str:
    said = said.strip()
    quoted = len(said) > 1 and said[0] in "\"'`" and said.find(said[0], 1) == len(said) - 1
    return said[1:-1] if quoted else said


def _made(action: str, value: Any, params: Mapping[str, Any]) -> Iterator[Step]:
    """The steps of one action with its value and the parameters beside it."""
    if action == "reload":
        yield Step("reload")
    elif action == "drag":
        yield _dragged(value, params)
    elif action in _PAIRED:
        yield from _paired(action, value, params)
    elif isinstance(value, list) and not isinstance(value, str):
        for item in value:
            yield from _made(action, item, params)
    else:
        if isinstance(value, dict):
            value = next((value[key] for key in _TARGET if key in value), line(value, MAX_TEXT))
        yield _plain(action, line(value, MAX_TEXT))


def _plain(action: str, target: str) -> Step:
    if action == "open":
        return Step("open", _path(target))
    if action == "wait":
        return Step("wait", _seconds(target))
    if not target:
        raise UnknownStep(f"it does not say what to {action.replace('_', ' ')}")
    if action == "press" and not _KEY.fullmatch(target):
        return Step("click", target)
    return Step(action, target)


def _path(target: str) -> str:
    try:
        parts = urlsplit(target)
    except ValueError:
        raise UnknownStep(f"it opens {target[:60]!r}, which is no path") from None
    if parts.scheme or parts.netloc:
        if parts.hostname not in ("localhost", "127.0.0.1", "0.0.0.0"):  # noqa: S104 compared only
            raise UnknownStep(f"it opens another site, {target[:60]!r}")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
    return "/" + target.lstrip("/")


def _seconds(target: str) -> str:
    found = re.match(r"(\d{1,6}(?:\.\d{1,3})?)\s*(ms|milli)?", target)
    seconds = float(found[1]) / (1000 if found[2] else 1) if found else 1.0
    return f"{min(seconds, MAX_WAIT_S):g}"


def _paired(action: str, value: Any, params: Mapping[str, Any]) -> Iterator[Step]:
    """fill, select and upload: a field and what goes into it."""
    if isinstance(value, list):
        if len(value) == 2 and not any(isinstance(item, dict | list) for item in value):
            yield _pair(action, value[0], value[1])
            return
        for item in value:
            yield from _paired(action, item, params)
        return
    given = dict(params)
    if isinstance(value, dict):
        given |= {key.strip().lower(): item for key, item in value.items()}
        field = next((given[key] for key in _FIELD if key in given), None)
        content = next((given[key] for key in _VALUE if key in given), None)
        one_label = len(given) == 1 and content is None and "field" not in given
        if one_label or not set(given) & {*_FIELD, *_VALUE}:
            for key, item in value.items():
                yield _pair(action, key, item)
            return
    else:
        content = next((given[key] for key in _VALUE if key in given), None)
        field, other = (value, None) if content is not None else _split(action, str(value))
        content = other if content is None else content
        if content is None and (inside := next((given[k] for k in _FIELD if k in given), None)):
            field, content = inside, value
    if content is None and action == "select" and field is not None:
        yield _plain("click", line(field, MAX_TEXT))
        return
    if field is None or content is None:
        raise UnknownStep(f"a {action} step lacks its {'field' if field is None else 'value'}")
    yield _pair(action, field, content)


def _dragged(value: Any, params: Mapping[str, Any]) -> Step:
    """drag: what is taken, and what it is dropped on."""
    given = dict(params)
    if isinstance(value, dict):
        given |= {str(key).strip().lower(): item for key, item in value.items()}
        if len(given) == 1:
            given = {"from": next(iter(value)), "to": next(iter(value.values()))}
    elif isinstance(value, list) and len(value) == 2:
        given |= {"from": value[0], "to": value[1]}
    elif found := re.fullmatch(r"(.+?) (?:to|onto|into|->|→) (.+)", line(value, MAX_TEXT)):
        given |= {"from": _bare(found[1]), "to": _bare(found[2])}
    else:
        given["from"] = value
    taken = next((given[key] for key in _DRAGGED if key in given), None)
    goal = next((given[key] for key in _DROPPED if key in given), None)
    if taken is None or not line(goal, MAX_TEXT):
        raise UnknownStep(
            f"a drag step does not say {'what' if taken is None else 'where'} to drag"
        )
    return _pair("drag", taken, goal)


def _pair(action: str, field: Any, content: Any) -> Step:
    target = line(field, MAX_TEXT)
    if not target:
        raise UnknownStep(f"a {action} step does not say which field")
    value = text(content, MAX_TEXT) if action == "fill" else line(content, MAX_TEXT)
    return Step(action, target, value)


def _split(action: str, said: str) -> tuple[str, str | None]:
    """Field and content of one string: `Bill with 120`, `Bill = 120`, `120 into Bill`."""
    said = " ".join(said.split())[:MAX_TEXT]
    if found := re.fullmatch(r"(.+?) (?:with|to|=|->|→) (.*)", said):
        return _bare(found[1]), _bare(found[2])
    if found := re.fullmatch(r"(.+?) (?:into|in|from) (?:the )?(.+)", said):
        return _bare(found[2]), _bare(found[1])
    if action != "select" and (found := re.fullmatch(r"([^:=]+)\s?[:=]\s?(.*)", said)):
        return _bare(found[1]), _bare(found[2])
    return _bare(said), None
