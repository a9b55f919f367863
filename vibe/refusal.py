"""Says what an endpoint's refusal, or a connection that fails, means for the person who waits."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from vibe.endpoints import Endpoint
from vibe.errors import UserError, VibeError
from vibe.redaction import MASK, redact

LONGEST_WAIT_S = 60.0
"""What an endpoint asks for beyond this is not waited for."""
SAID = 300
"""How many characters of an endpoint's own words are shown."""


class Passing(Exception):
    """Trouble that may pass: `error` is what to raise when it doesn't, `after` the seconds that
    the endpoint wants to be left alone."""

    def __init__(self, error: VibeError, after: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after

    def wait(self, tries: int) -> float:
        """Seconds until the next try: what was asked for, else a growing, random pause."""
        if self.after is not None:
            return min(self.after, LONGEST_WAIT_S)
        return 2.0 ** (tries - 1) * random.uniform(0.5, 1.0)  # noqa: S311 (it only spreads load)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an endpoint answered instead of a completion."""

    endpoint: Endpoint
    model: str
    status: int
    """HTTP status, or the number in an error that came inside a stream; 0 for none."""
    said: str
    """The endpoint's own words, without secrets."""
    code: str = ""
    after: float | None = None

    @property
    def passes(self) -> bool:
        """Whether it may go better the next time."""
        return self.status in (0, 408, 409, 429) or (self.status >= 500 and self.status != 501)

    @property
    def is_about_parameters(self) -> bool:
        return self.status in (400, 422)

    @property
    def is_about_the_model(self) -> bool:
        return self.status == 404 or self.code == "model_not_found"

    def trouble(self) -> UserError | Passing:
        """The error to raise: one to mend, or one that may pass."""
        where, status = self.endpoint.where, self.status
        words = f": {self.said.rstrip('.')}." if self.said else "."
        if status == 401 or status == 403:
            if not self.endpoint.has_key:
                return UserError(f"{where} wants a key.", "Set OPENAI_API_KEY.")
            return UserError(
                f"The key was refused by {where} ({status}).",
                f"Check OPENAI_API_KEY, and that it may use the model {self.model!r}.",
            )
        if self.code == "insufficient_quota" or status == 402:
            return UserError(
                f"The account at {where} has no credit left{words}",
                "Top it up, or connect another model.",
            )
        if status == 429:
            error = UserError(
                f"{where} is too busy for us (429){words}", "Try again later, or another model."
            )
            return Passing(error, self.after)
        if self.passes:
            shown = f" ({status})" if status else ""
            error = UserError(
                f"{where} has a problem of its own{shown}{words}",
                "Try again later; a local server's log says more.",
            )
            return Passing(error, self.after)
        if status in (404, 405, 501):
            return UserError(
                f"There are no chat completions at {where} ({status}){words}",
                "Check OPENAI_BASE_URL: it usually ends in /v1.",
            )
        return UserError(
            f"{where} does not take the request ({status}){words}",
            "Try another model, or look into the server's log.",
        )


def refusal(
    endpoint: Endpoint, model: str, status: int, body: Any, headers: Mapping[str, str]
) -> Refusal:
    """Reads a refusal's body: the usual error object, a bare message, or whatever else it is."""
    error = body.get("error", body) if isinstance(body, dict) else body
    said, code = error, ""
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or ""
        code = str(error.get("code") or error.get("type") or "")
        if status == 0 and re.fullmatch("[1-9][0-9]{2}", code):
            status = int(code)
    return Refusal(
        endpoint,
        model,
        status,
        without_secrets(said if isinstance(said, str) else str(said), endpoint),
        code,
        seconds_to_wait(headers, datetime.now(UTC)),
    )


def no_such_model(refused: Refusal, there: tuple[str, ...]) -> UserError:
    """Names the models there are."""
    some = ", ".join(there[:12]) + (" …" if len(there) > 12 else "")
    return UserError(
        f"{refused.endpoint.where} has no model called {refused.model!r}.",
        f"It has {some}. Choose one with VIBE_MODEL or --model.",
    )


def unreachable(endpoint: Endpoint, error: BaseException) -> UserError:
    """For a connection that can't be made, or breaks."""
    cause = without_secrets(str(error.__cause__ or error), endpoint).rstrip(".")
    said = f": {cause}" if cause else ""
    if "CERTIFICATE" in cause.upper():
        fix = "Name your CA bundle in SSL_CERT_FILE."
    elif endpoint.source == "OPENAI_API_KEY":
        fix = "Check your network, or name another endpoint in OPENAI_BASE_URL."
    else:
        fix = "Is the model server running? Check its address (OPENAI_BASE_URL)."
    return UserError(f"{endpoint.where} can't be reached{said}.", fix)


def seconds_to_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """What Retry-After asks for, as seconds or as an HTTP date; None for nothing one can read."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def without_secrets(text: str, endpoint: Endpoint) -> str:
    """The text as one short line, the key masked however short it is."""
    if endpoint.has_key:
        text = text.replace(endpoint.api_key, MASK)
    text = " ".join(redact(text).split())
    return text if len(text) <= SAID else f"{text[:SAID]} …"
