"""Masks secrets: values Vibe knows, and anything that has the shape of a key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MASK = "[secret]"

SHORTEST = 8
"""Known secrets shorter than this are left alone: a local endpoint's key is often `ollama` or
`none`, and masking such a word would spoil every text that has it."""

SHAPES = re.compile(
    r"""
      -----BEGIN\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----
          (?: [A-Za-z0-9+/=\s:,.\\-]*? -----END\ [A-Z0-9 ]{0,40}PRIVATE\ KEY-----
            | [A-Za-z0-9+/=\s:,.\\-]* )
    | (?<![A-Za-z0-9_-]) (?:
        sk-            (?=[A-Za-z_-]*\d) [A-Za-z0-9_-]{20,}
      | (?:sk|rk)_(?:live|test)_         [A-Za-z0-9]{16,}
      | gh[opsur]_                       [A-Za-z0-9]{30,}
      | github_pat_                      [A-Za-z0-9_]{30,}
      | glpat-                           [A-Za-z0-9_-]{20,}
      | npm_                             [A-Za-z0-9]{36}
      | pypi-AgE                         [A-Za-z0-9_-]{50,}
      | SG\.                             [A-Za-z0-9_-]{16,} \. [A-Za-z0-9_-]{16,}
      | ya29\.                           [A-Za-z0-9_-]{30,}
      | dop_v1_                          [a-f0-9]{60,}
      | hf_                              [A-Za-z0-9]{30,}
      | xox[abeoprs]-                    [A-Za-z0-9-]{20,}
      | AIza                             [A-Za-z0-9_-]{35}
      | (?:AKIA|ASIA)                    [A-Z0-9]{16} (?![A-Z0-9])
      | eyJ[A-Za-z0-9_-]{10,} \. eyJ[A-Za-z0-9_-]{10,} \. [A-Za-z0-9_-]{10,}
      )
    | (?i: (?<=bearer\ ) (?=[a-z._~+/=-]*\d) [a-z0-9._~+/=-]{16,} )
    | (?<=://) [^\s:/@]{1,80} : [^\s/@]{3,200} (?=@)
    """,
    re.VERBOSE | re.DOTALL,
)
"""Documented key formats of well-known services, PEM private keys (as far as
they go when the end line is missing), bearer tokens, and the name and password of a URL."""


_SECRET_NAME = re.compile(
    r"(?:^|_)(?:\w*KEY|TOKEN|PAT|SECRETS?|PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|CREDENTIALS?|AUTH|DSN)"
    r"(?:_\d+)?$",
    re.IGNORECASE,
)


def environment_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values in an environment that look like secrets: by the variable's name (`…_TOKEN`,
    `…_PASSWORD`, `…_KEY` …), unless the value is a path or a plain word or number; and the
    passwords in addresses. The longest first. Values with the shape of a known key need not be
    known."""
    found = {
        value.strip()
        for name, value in environ.items()
        if _SECRET_NAME.search(name) and _looks_secret(value.strip())
    }
    found |= {
        password[1]
        for value in environ.values()
        for password in re.finditer(r"://[^\s:/@]*:([^\s/@]+)@", value)
        if _looks_secret(password[1])
    }
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _looks_secret(value: str) -> bool:
    if len(value) < SHORTEST or value.startswith(("/", "~", "./")) or value.isdecimal():
        return False
    return len(value) >= 16 or not value.isalpha()


def redact(text: str, secrets: Sequence[str] = ()) -> str:
    """The text with known secret values and key shapes replaced by MASK."""
    return redact_pieces([text], secrets)[0]


def secret_lines(text: str, secrets: Sequence[str] = ()) -> list[int]:
    """The lines of the text, from 1, in which a known secret or the shape of a key begins."""
    spans = _spans(text, secrets)
    return sorted({text.count("\n", 0, first) + 1 for first, _ in spans})


def redact_pieces(
    pieces: Sequence[str], secrets: Sequence[str] = (), before: str = ""
) -> list[str]:
    """The pieces of one streamed text, redacted though a secret may span several of them.

    `before` is the end of the text that went ahead; what a secret has there is out already, but
    its rest is masked. There are as many pieces as were given; some may become empty.
    """
    text = before + "".join(pieces)
    spans = _spans(text, secrets)
    if not spans:
        return list(pieces)
    redacted: list[str] = []
    start = len(before)
    for piece in pieces:
        end = start + len(piece)
        parts, place = [], start
        for first, last in spans:
            if last <= start or first >= end:
                continue
            parts.append(text[place : max(first, place)])
            if first >= start or start == len(before):
                parts.append(MASK)
            place = min(last, end)
        redacted.append("".join(parts) + text[place:end])
        start = end
    return redacted


def redact_data(value: Any, secrets: Sequence[str] = ()) -> Any:
    """The same data (dicts, lists, tuples, scalars) with every string redacted, keys too."""
    match value:
        case str():
            return redact(value, secrets)
        case dict():
            return {redact_data(k, secrets): redact_data(v, secrets) for k, v in value.items()}
        case list():
            return [redact_data(item, secrets) for item in value]
        case tuple():
            return tuple(redact_data(item, secrets) for item in value)
    return value


def redact_code(content: bytes, secrets: Sequence[str] = ()) -> bytes:
    """A file's content with known secret values replaced by MASK. Shapes stay: code that looks for
    keys holds patterns and samples of them."""
    for secret in secrets:
        if len(secret) >= SHORTEST:
            content = content.replace(secret.encode(), MASK.encode())
    return content


def _spans(text: str, secrets: Iterable[str]) -> list[tuple[int, int]]:
    """Where the text is secret: sorted, merged where they touch or overlap."""
    found = [match.span() for match in SHAPES.finditer(text)]
    for secret in secrets:
        if len(secret) >= SHORTEST:
            found += [match.span() for match in re.finditer(re.escape(secret), text)]
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
