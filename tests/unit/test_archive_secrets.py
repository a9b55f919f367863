"""Secrets don't get into the archive: known values, key shapes, and those that stream in pieces."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.archive import Archive
from vibe.events import Output, PlanMade, PromptSent, ReplyText, Requested
from vibe.redaction import MASK, redact, redact_data, redact_pieces

# Put together here, so that no scanner takes this file for a leak.
KEYS = [
    "sk-" + "proj-abcDEF0123456789_-xyzXYZ",
    "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_" + "0123456789abcdefghij_ABCDEFGHIJ012345",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyA0123456789abcdefghijklmnopqrstuv",
    "hf_" + "abcdefghijABCDEFGHIJ0123456789abcd",
    "xoxb-" + "123456789012-abcdefghijkl",
    "sk_live_" + "0123456789abcdefABCDEF",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dBjftJeZ4CVP-mB92K27uhbU",
    "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEow\nIBAAKC+/==\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:8])
def test_a_key_of_a_known_shape_is_masked_wherever_it_stands(key: str) -> None:
    for before, after in (("", ""), ("my key is ", ", keep it"), ('KEY="', '"\n'), ("(", ").")):
        assert redact(before + key + after) == before + MASK + after


def test_a_bearer_token_and_a_password_in_a_url_are_masked() -> None:
    assert redact("Authorization: Bearer abc123def456ghi789.x") == f"Authorization: Bearer {MASK}"
    assert redact("git clone https://me:hunter22@example.org/x") == (
        f"git clone https://{MASK}@example.org/x"
    )


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of this letter", "a task-list-with-many-words-in-it", "sk-folding-cube-spinner",
        "sk-short1", "risk-assessment-2024-with-details-1", "https://example.org:8080/a@b",
        "AKIA is a prefix", "BEGIN PRIVATE KEY", "eyJust a word", "def sk(a): return a",
        "data:image/png;base64,iVBORw0KGgo=", "5d41402abc4b2a76b9719d911017c592",
    ],
)  # fmt: skip
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_a_known_value_is_masked_but_not_a_word_that_stands_in_for_a_key() -> None:
    assert redact("key: correct-horse-battery", ["correct-horse-battery"]) == f"key: {MASK}"
    assert redact("use ollama for it", ["ollama", ""]) == "use ollama for it"


def test_a_private_key_without_an_end_takes_no_more_than_its_body() -> None:
    text = "-----BEGIN PRIVATE " + 'KEY-----\nMIIE0123\n"; print("on")'
    assert redact(text) == f'{MASK}"; print("on")'


def test_data_is_masked_at_every_depth() -> None:
    data = {"a": [{"b": ("x " + KEYS[0], 1, None)}], KEYS[1]: True}
    assert redact_data(data) == {"a": [{"b": (f"x {MASK}", 1, None)}], MASK: True}


@given(
    st.sampled_from(KEYS), st.text("xyz \n", max_size=9), st.lists(st.integers(0, 80), max_size=6)
)
def test_a_secret_is_masked_however_the_stream_is_cut(key: str, rest: str, cuts: list[int]) -> None:
    text = f"before {key} {rest}"
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    redacted = redact_pieces(pieces)
    assert len(redacted) == len(pieces)
    assert "".join(redacted) == redact(text)


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=20))
def test_a_stream_without_secrets_passes_unchanged(pieces: list[str], before: str) -> None:
    assert redact_pieces(pieces, ["a secret value"], before) == pieces


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_file_of_the_gallery_holds_a_secret_that_was_typed_or_said(tmp_path: Path) -> None:
    known = "the-gallery-owners-own-key"
    archive = Archive(tmp_path, secrets=[known])
    app = archive.create(f"Use {known} and {KEYS[0]}", kind="web", model="m")
    archive.append(
        app.id,
        [
            Requested(revision=1, text=KEYS[0], kind="web", model="m", autonomy="fix"),
            PromptSent(role="plan", model="m", messages=[{"role": "user", "content": known}]),
            PlanMade(plan={"checks": [{"steps": [{"fill": {"with": KEYS[1]}}]}]}),
            ReplyText(text=f"I took {known[:9]}"),
            ReplyText(text=known[9:15]),
            ReplyText(text=f"{known[15:]} as you said"),
            Output(stream="stdout", text=KEYS[2]),
        ],
        sync=True,
    )
    archive.commit(app.id, {"index.html": b"<p>"}, f"Use {KEYS[0]}")
    archive.search("anything")
    content = all_bytes(tmp_path)
    for secret in (known, *KEYS[:3]):
        assert secret.encode() not in content
    said = [event.text for event in archive.events(app.id) if isinstance(event, ReplyText)]
    assert said == [f"I took {MASK}", "", " as you said"]
    assert known not in str(archive.log(app.id))


def test_a_secret_split_between_two_writes_is_masked_from_where_it_is_known(tmp_path: Path) -> None:
    archive = Archive(tmp_path, secrets=["a-long-known-secret"])
    app = archive.create("Split", kind="web", model="m")
    archive.append(app.id, [ReplyText(text="it is a-long-")], sync=False)
    archive.append(app.id, [ReplyText(text="known-secret, yes")], sync=False)
    said = [event.text for event in archive.events(app.id) if isinstance(event, ReplyText)]
    assert said == ["it is a-long-", f"{MASK}, yes"]
