"""Makes a new repository on GitHub, or on a server with the same REST API."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from vibe.errors import UserError
from vibe.redaction import redact
from vibe.remotes import GITHUB_TOKENS, LOOPBACK, Remote, remote

ANSWER_S = 30
ANSWER_BYTES = 1 << 20
_NAME = re.compile(r"(?!.*\.git$)[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)


def token(environ: Mapping[str, str] = os.environ) -> str:
    """The token for GitHub in the environment; empty when there is none."""
    return next((environ[name] for name in GITHUB_TOKENS if environ.get(name)), "")


def create_repository(name: str, token: str, *, api: str, private: bool = True) -> Remote:
    """Makes an empty repository in the token's own account; where to push to it.

    Three calls: whose token it is, whether there is a repository of that name, and making it.
    Raises UserError when the name is taken, the token doesn't do, or nothing answers.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"A repository can't be called {name[:60]!r}.", "Use letters, digits, - _ and dots."
        )
    if not token:
        raise UserError(
            "Making a repository needs a token.", "Set GITHUB_TOKEN to one that may make them."
        )
    api = api.rstrip("/")
    base = remote(api)
    if base.scheme != "https" and not (base.scheme == "http" and base.host in LOOPBACK):
        raise UserError("The address of the API must begin with https://.", "See VIBE_GITHUB_API.")
    with requests.Session() as session:
        session.auth = _Bearer(token)
        session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "vibe",
            }
        )
        status, user = _call(session, "GET", f"{api}/user", token)
        login = str(user.get("login", ""))
        if status != 200 or not _NAME.fullmatch(login):
            raise _refused(status, user, token)
        status, found = _call(session, "GET", f"{api}/repos/{login}/{name}", token)
        if status == 200:
            raise UserError(
                f"There is a repository {login}/{name} already.",
                "Choose another name, or push to its address.",
            )
        if status != 404:
            raise _refused(status, found, token)
        task = {"name": name, "private": private, "auto_init": False}
        status, made = _call(session, "POST", f"{api}/user/repos", token, task)
        if status != 201:
            raise _refused(status, made, token)
    return _checked(str(made.get("clone_url", "")), base)


def _checked(address: str, api: Remote) -> Remote:
    """The remote that the server names, if it is on the server that was asked: the token is sent
    there."""
    to = remote(address)
    hosts = {api.host, api.host.removeprefix("api.")}
    if to.scheme != api.scheme or to.host not in hosts:
        raise UserError(f"The API names a repository on another host, {to.host[:80]!r}.")
    return to


class _Bearer(requests.auth.AuthBase):
    """Signs requests; set as `auth`, so that no .netrc takes its place."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _call(
    session: requests.Session, method: str, url: str, token: str, task: object = None
) -> tuple[int, dict[str, Any]]:
    """Status and body of one call; a body that is no JSON object is an empty one."""
    try:
        with session.request(
            method, url, json=task, timeout=ANSWER_S, allow_redirects=False, stream=True
        ) as answer:
            body = answer.raw.read(ANSWER_BYTES, decode_content=True)
            status = answer.status_code
    except (requests.RequestException, OSError, ValueError) as error:
        raise UserError(
            f"{urlsplit(url).hostname} can't be reached: {redact(str(error), [token])[:300]}",
            "Look at the network, and at VIBE_GITHUB_API.",
        ) from None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = {}
    return status, data if isinstance(data, dict) else {}


def _refused(status: int, answer: dict[str, Any], token: str) -> UserError:
    said = redact(str(answer.get("message", "")), [token])[:200]
    fix = {
        401: "The token is wrong or has expired: look at GITHUB_TOKEN.",
        403: "The token must be allowed to make repositories.",
        404: "The token must be allowed to make repositories.",
    }.get(status, "Try it again later, or make the repository by hand and push to its address.")
    return UserError(f"The server answers {status}: {said or 'nothing more'}.", fix)
