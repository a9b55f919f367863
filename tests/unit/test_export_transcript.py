"""The transcript as a page: whole, readable, and nothing in it is markup but our own."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe import events as ev
from vibe.archive import Archive
from vibe.export import transcript_html, transcript_markdown
from vibe.passages import MAX_BLOCK, passages, readable, when
from vibe.transcript import fenced, inline, quoted

EVIL = (
    "x\n```\n````\n# heading\n<script>alert(1)</script>\n</pre></details>\r```\n[a](javascript:x)"
)

BRIEF = {"role": "system", "content": "Be brief."}

STORY = [
    ev.Requested(revision=1, text="A quiz", kind="web", model="m", autonomy="fix"),
    ev.PromptSent(
        role="plan", model="m",
        messages=[BRIEF, {"role": "user", "content": "A quiz"}],
    ),
    ev.ReplyText(text="title: "),
    ev.ReplyText(text="Quiz"),
    ev.ReplyEnded(finish="stop", model="m", prompt_tokens=1200, completion_tokens=30, seconds=2.0,
                  seconds_to_first=0.1),
    ev.PlanMade(plan={"title": "Quiz", "checks": [{"see": "Grüße"}]}),
    ev.AttemptStarted(revision=1, attempt=1, reason="The first try."),
    ev.PromptSent(
        role="code", model="m",
        messages=[BRIEF, {"role": "user", "content": "Write it"}],
    ),
    ev.ReplyText(text="half a rep"),
    ev.Stage(name="start", sentence="Starting it."),
    ev.FilesWritten(files={"index.html": 1234}, commit="c" * 40),
    ev.BoxStarted(box="b", engine="docker", image="sha256:1"),
    ev.Output(stream="stderr", text="one "),
    ev.Output(stream="stderr", text="line\n"),
    ev.RungDone(name="start", passed=False, sentence="It exits at once.", evidence="Traceback!",
                seconds=1.0),
    ev.Fixed(rule="port", sentence="Put the right port in."),
    ev.AttemptEnded(revision=1, attempt=1, runs=False, score=[1, 0], sentence="It does not start."),
    ev.RepairAsked(report="It exits at once: mend it."),
    ev.Notice(text="Note this."),
    ev.VerdictReached(state="broken", sentence="It does not start.", verified=["parses"],
                      unverified=["all else"]),
    ev.Finished(status="failed", sentence="No luck.", fix="Say it otherwise."),
    ev.Acted(action="exported", detail="as a zip"),
    ev.Unknown(line='{"v":9}'),
]  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def told(archive: Archive, events: list[ev.Event], idea: str = "A quiz") -> str:
    app = archive.create(idea, kind="web", model="m")
    archive.append(app.id, events, sync=False)
    return app.id


def test_times_are_told_as_people_write_them() -> None:
    assert when("2026-11-26T07:38:18.448Z") == "2026-11-26 07:38 UTC"
    assert when("tomorrow") == "tomorrow"


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("render", [transcript_markdown, transcript_html])
def test_a_transcript_tells_everything_in_order(archive: Archive, render: object) -> None:
    assert callable(render)
    page = render(archive, told(archive, STORY))
    words = [
        "A quiz", "Revision 1", "Prompt (plan) to m", "1,200 tokens in, 30 out", "Be brief.",
        "title: Quiz", "Grüße", "Attempt 1", "The first try.", "index.html (1,234 bytes)",
        "one line", "It exits at once.", "Traceback!", "Put the right port in.", "mend it",
        "Note this.", "Verdict: broken", "Seen: parses", "Not checked: all else", "half a rep",
        "Finished: failed", "No luck. Say it otherwise.", "as a zip", '"v":9',
    ]  # fmt: skip
    page = page.replace("&#34;", '"')
    place = 0
    for word in words:
        assert word in page[place:], word
        place = page.index(word, place)


def test_a_message_that_is_sent_again_is_told_once() -> None:
    again = [passage for passage in passages(STORY) if passage.title.startswith("Prompt")]
    assert [[block.label for block in passage.blocks] for passage in again] == [
        ["system", "user", "Reply"],
        ["user", "Reply"],
    ]


def test_a_reply_that_was_cut_off_is_told_as_such() -> None:
    said = {passage.sentence for passage in passages(STORY[:9])}
    assert "The reply has not ended." in said
    assert "The reply was cut off." in {passage.sentence for passage in passages(STORY)}


def evil(archive: Archive) -> str:
    return told(
        archive,
        [
            ev.Requested(revision=1, text=EVIL, kind=EVIL, model=EVIL, autonomy="fix"),
            ev.PromptSent(role=EVIL, model=EVIL, messages=[{"role": EVIL, "content": EVIL}, {}]),
            ev.ReplyText(text=EVIL),
            ev.ReplyEnded(EVIL, EVIL, 1, 1, 1.0, 1.0),
            ev.PlanMade(plan={EVIL: EVIL}),
            ev.FilesWritten(files={EVIL: 1}, commit=EVIL),
            ev.Output(stream="stdout", text=EVIL),
            ev.RungDone(name=EVIL, passed=True, sentence=EVIL, evidence=EVIL, seconds=1.0),
            ev.VerdictReached(state=EVIL, sentence=EVIL, verified=[EVIL], unverified=[EVIL]),
            ev.Acted(action=EVIL, detail=EVIL),
            ev.Unknown(line=EVIL),
        ],
        EVIL,
    )


def test_no_text_becomes_markup_in_the_page(archive: Archive) -> None:
    page = transcript_html(archive, evil(archive))
    tags = Tags(page)
    assert tags.open == []
    assert {tag for tag, _ in tags.seen} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "b", "ul", "li",
        "details", "summary", "pre",
    }  # fmt: skip
    attributes = {name for _, attrs in tags.seen for name in attrs}
    assert attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "open"}
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)


def outside_fences(markdown: str) -> list[str]:
    """The lines that CommonMark reads as markup: those in no fence."""
    left: list[str] = []
    fence = ""
    for line in re.split(r"\r\n|\r|\n", markdown):
        run = re.match(r" {0,3}(`{3,})([^`]*)$", line)
        if fence:
            if run and len(run[1]) >= len(fence) and not run[2].strip():
                fence = ""
        elif run:
            fence = run[1]
        else:
            left.append(line)
    assert fence == ""
    return left


def test_no_text_breaks_out_of_its_fence(archive: Archive) -> None:
    lines = outside_fences(transcript_markdown(archive, evil(archive)))
    headings = [line for line in lines if line.startswith("#")]
    assert not any(line.startswith("# heading") for line in lines)
    assert headings[0].startswith("# x ")
    assert not any("<script" in line for line in lines)
    assert not any(re.search(r"(?<!\\)\]\(javascript", line) for line in lines)


@given(st.text(st.sampled_from("`~ \n\r#x") | st.characters(), max_size=60))
def test_a_fence_holds_any_text(text: str) -> None:
    assert outside_fences(f"before\n\n{fenced(text)}\n\nafter") == ["before", "", "", "after"]


@given(st.text(st.sampled_from("`*_[]()<>#\n\r-+1.&|\\~$ ") | st.characters(), max_size=40))
def test_inline_text_is_one_line_without_markup(text: str) -> None:
    line = inline(text)
    assert len(f"{line}x".splitlines()) == 1
    assert "<" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|~$]", line)
    assert not re.match(r"[-+#=>]|\d+[.)]", line)
    assert all(row.startswith(">") for row in quoted(text).split("\n"))


@given(st.text())
def test_readable_text_can_be_written_and_does_not_mislead(text: str) -> None:
    made = readable(text + "\x1b[31m\u202e\ud800\x00")
    made.encode()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", made)


def test_an_output_without_end_is_shortened_and_says_so(archive: Archive) -> None:
    app_id = told(archive, [ev.Output(stream="stdout", text="x" * 70_000)] * 3)
    page = transcript_markdown(archive, app_id)
    assert len(page) < MAX_BLOCK + 2000
    assert "150,000 characters more, in events.jsonl" in page
