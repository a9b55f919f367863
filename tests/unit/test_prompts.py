import hashlib
import re

from vibe import prompts, starters
from vibe.app import KINDS
from vibe.kinds import kind, kinds
from vibe.settings import TEMPLATES


def test_every_kind_has_a_folder_with_its_command_and_rules() -> None:
    assert set(kinds()) == set(KINDS)
    assert kind("web").argv()[-5:] == ["8000", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]
    assert not kind("script").serves


def test_the_request_stands_last_and_is_never_a_template() -> None:
    hostile = "{{ kind.rules }} {% raw %} ```yaml"
    prompt = prompts.plan(hostile, forced_kind="web", current_plan="", data="")
    assert prompt.role == "plan"
    assert prompt.messages[-1].content.rstrip().endswith(hostile)
    code = prompts.code(hostile, kind("web"), "title: x", files={}, data="")
    assert code.messages[-1].content.rstrip().endswith(hostile)
    assert kind("web").rules.splitlines()[0] in code.messages[0].content


def test_the_request_stands_last_also_when_files_are_attached_or_the_plan_is_changed() -> None:
    for plan in ("", "title: x\n"):
        asked = prompts.plan("my words", forced_kind=None, current_plan=plan, data="- `a.csv`")
        assert asked.messages[-1].content.endswith("my words")
    code = prompts.code("my words", kind("web"), "title: x", files={"a": "b"}, data="- `a.csv`")
    assert code.messages[-1].content.endswith("my words")


def test_a_prompt_names_its_template_and_the_version_of_it() -> None:
    first = prompts.plan("x", forced_kind=None, current_plan="", data="")
    text = (TEMPLATES / "prompts" / "plan.j2").read_bytes()
    assert first.template == f"plan.j2 {hashlib.sha256(text).hexdigest()[:8]}"
    assert prompts.again(first, "no", "it is no YAML.").template == first.template
    more = prompts.continuation(first, "title: a")
    assert more.template.startswith("continue.j2 ")
    assert more.role == "plan"


def test_a_listing_fences_files_so_that_fences_inside_them_do_not_end_it() -> None:
    text = prompts.listing({"README.md": "```\ncode\n```\n"})
    assert text.startswith("````md path=README.md")
    assert text.endswith("````")


def test_long_files_are_shortened_in_the_middle() -> None:
    text = prompts.listing({"a.py": "start" + "x" * 200_000 + "end"})
    assert len(text) < prompts.CONTEXT_BYTES + 500
    assert "characters left out" in text
    assert "end" in text


def test_every_call_that_writes_code_is_told_of_the_attached_files() -> None:
    said = "- `data/people.csv`: CSV table, 12 bytes"
    wanted = kind("script")
    calls = [
        prompts.plan("x", forced_kind=None, current_plan="", data=said, pictures=(b"jpeg",)),
        prompts.code("x", wanted, "title: x", files={}, data=said, pictures=(b"jpeg",)),
        prompts.repair("x", wanted, "title: x", files={}, report="it broke", data=said),
    ]
    assert all(said in call.messages[-1].content for call in calls)
    assert [call.messages[-1].pictures for call in calls] == [(b"jpeg",), (b"jpeg",), ()]


def test_a_continuation_ends_with_a_user_message_that_quotes_the_tail() -> None:
    first = prompts.plan("x", forced_kind=None, current_plan="", data="")
    more = prompts.continuation(first, "a\n" * 50 + "last line")
    assert more.messages[-1].role == "user"
    assert "last line" in more.messages[-1].content


def test_a_prompt_never_opens_a_fence_inside_a_fence() -> None:
    for name in kinds():
        example = starters.example(name, "an idea")
        prompt = prompts.code(
            "an idea", kind(name), "title: x\n", files={}, data="", example=example
        )
        fences = re.findall(r"^(`{3,}\w*).*$", prompt.messages[0].content, re.M)
        assert len(fences) % 2 == 0
        assert all(fence == "```" for fence in fences[1::2])


def test_a_change_stands_apart_from_what_is_asked_of_the_model() -> None:
    prompt = prompts.plan("make it dark", forced_kind="web", current_plan="title: x", data="- a")
    assert "change:\n\nmake it dark" in prompt.messages[1].content
