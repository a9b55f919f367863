"""Pushes an exported app to a git remote that a person named."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vibe.archive import Archive
from vibe.errors import UserError
from vibe.export import LAST_MESSAGE, Choices, export_git, newest_code
from vibe.passages import readable
from vibe.redaction import redact, secret_lines
from vibe.repository import Repository

PUSH_S = 180.0
"""How long one git command may take, a slow line's upload included."""
TOKENS = ("VIBE_GIT_TOKEN",)
"""Environment variables that may hold the token for any https remote."""
GITHUB_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
"""Those that hold one for GitHub; `token_for` gives it to no other host."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_SCP = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^\s:-]\S*)")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9a-f:]+", re.IGNORECASE)
_BRANCH = re.compile(r"(?!.*(?:\.\.|//|\.lock(?:/|$)|@\{|/\.|\.$|/$))[A-Za-z0-9][\w./-]{0,100}")

_RUN_BY_SERVERS = re.compile(
    r"\.(?:github|gitea|forgejo)/(?:workflows|actions)/.*|\.circleci/.*|\.woodpecker.*|\.buildkite/.*"
    r"|\.gitlab-ci\.ya?ml|\.travis\.yml|\.drone\.yml|azure-pipelines\.ya?ml"
    r"|bitbucket-pipelines\.yml|Jenkinsfile",
    re.IGNORECASE,
)
"""Files in which git servers look for programs to run on every push."""
_KEPT = ("GIT_SSH", "GIT_SSL", "GIT_PROXY_SSL", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM",
         "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH")  # fmt: skip
"""How the names of git's own variables begin that are passed on."""
_FIXES = {
    "workflow` scope": "The token must be allowed to write workflows, or leave the workflow out.",
    "host key verification": "Connect once by hand with ssh, to look at the host's key.",
    "permission denied (publickey": "Add your key to ssh-agent, and to your account there.",
    "could not read username": "Set VIBE_GIT_TOKEN, or let git's credential helper know it.",
    "authentication failed": "The token or password was refused: look at VIBE_GIT_TOKEN.",
    "terminal prompts disabled": "Set VIBE_GIT_TOKEN, or let git's credential helper know it.",
    "not found": "Make the repository first, or look at its address and your rights.",
    "does not appear to be a git repository": "Make the repository first (git init --bare).",
    "not allowed": "The remote or git's own settings allow no such push.",
    "could not resolve host": "Look at the address, and whether there is a network.",
    "certificate": "Git trusts what http.sslCAInfo or GIT_SSL_CAINFO names.",
    "fetch first": "Somebody pushed meanwhile: try it again.",
}
"""Words of git's and ssh's messages, and what a person can do."""

# A credential helper that says the token from its environment; nothing secret is in its text.
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" '
    '"$VIBE_PUSH_USER" "$VIBE_PUSH_TOKEN"; }; f'
)


@dataclass(frozen=True, slots=True)
class Remote:
    """Where to push, examined."""

    url: str
    scheme: str
    """https, http, ssh or file."""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did."""

    url: str
    branch: str
    new: bool
    """Whether the branch is new because the one that was meant has another history."""
    changed: bool
    """False when the remote had it all."""

    @property
    def sentence(self) -> str:
        """What a person is told."""
        if not self.changed:
            return f"The branch {self.branch} has it all already."
        if self.new:
            return f"Pushed to the new branch {self.branch}: the one you meant has another history."
        return f"Pushed to the branch {self.branch}."


def remote(url: str) -> Remote:
    """The remote that a person named. Raises UserError for anything but https, ssh, and a folder
    that is named with its path; and for a password in the address."""
    url = url.strip()
    if not url or any(c.isspace() or not c.isprintable() for c in url) or url.startswith("-"):
        raise _refused("That is not the address of a git repository.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
        return _with_scheme(url)
    if "::" in url:
        raise _refused("Vibe pushes to no address with a helper (`name::`) in it.")
    if url.startswith(("/", "./", "../", "~/")):
        return Remote(str(Path(url).expanduser().absolute()), "file")
    if found := _SCP.fullmatch(url):
        return Remote(url, "ssh", found[2].lower())
    raise _refused("That is not the address of a git repository.")


def _with_scheme(url: str) -> Remote:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port != 0
    except ValueError:
        raise _refused("That is not the address of a git repository.") from None
    host = (parts.hostname or "").lower()
    if parts.password is not None:
        raise _refused("The address has a password in it.", "Put it into VIBE_GIT_TOKEN instead.")
    if parts.scheme == "file" and not host and parts.path.startswith("/"):
        return Remote(url, "file")
    if parts.scheme not in ("https", "http", "ssh"):
        raise _refused(f"Vibe does not push over {parts.scheme}.")
    user = parts.username or ""
    if not _HOST.fullmatch(host) or not port_is_fine or not re.fullmatch(r"[\w.%+-]*", user):
        raise _refused("That is not the address of a git repository.")
    if user.startswith("-") or parts.query or parts.fragment:
        raise _refused("That is not the address of a git repository.")
    if redact(url) != url:
        raise _refused("The address has a token in it.", "Put it into VIBE_GIT_TOKEN instead.")
    return Remote(url, parts.scheme, host)


def token_for(remote: Remote, environ: Mapping[str, str] = os.environ) -> str:
    """The token for that host from the environment; empty when there is none, and for http, where
    everybody on the way could read it."""
    if remote.scheme != "https" and not (remote.scheme == "http" and remote.host in LOOPBACK):
        return ""
    names = (*TOKENS, *(GITHUB_TOKENS if remote.host == "github.com" else ()))
    return next((environ[name] for name in names if environ.get(name)), "")


def push(
    archive: Archive,
    app_id: str,
    to: Remote,
    choices: Choices | None = None,
    *,
    branch: str = "main",
    force: bool = False,
    token: str = "",
    secrets: Sequence[str] = (),
) -> Pushed:
    """Exports the app as a repository and pushes it. Where the remote's branch has another history
    a new branch is made, named after the app; only `force` overwrites.

    `token` goes to this remote alone and is written nowhere. Raises UserError when the remote
    refuses or doesn't answer, and, before anything is sent, for a secret in what would be pushed.
    """
    if not _BRANCH.fullmatch(branch):
        raise _refused(f"{branch[:60]!r} can't be the name of a branch.")
    with tempfile.TemporaryDirectory(prefix="vibe-push-") as place:
        folder = _examined(archive, app_id, Path(place, "repository"), choices, [token, *secrets])
        git = Git(folder, to, token)
        heads = git.heads()
        old, new = heads.get(branch), False
        if old and not force and not git.leads_to_main(old) and not git.follow(old):
            branch, new = _unused(f"vibe/{app_id}", heads), True
        if heads.get(branch) == git.run("rev-parse", "main"):
            return Pushed(to.url, branch, new=False, changed=False)
        sign = "+" if force else ""
        git.run("push", "--quiet", "--", to.url, f"{sign}main:refs/heads/{branch}")
        return Pushed(to.url, branch, new=new, changed=True)


def examine(
    archive: Archive, app_id: str, choices: Choices | None = None, secrets: Sequence[str] = ()
) -> None:
    """Raises UserError, with the place, when a push of the app would give a secret away, or make
    the server run what a model wrote."""
    with tempfile.TemporaryDirectory(prefix="vibe-push-") as place:
        _examined(archive, app_id, Path(place, "repository"), choices, secrets)


def _examined(
    archive: Archive, app_id: str, folder: Path, choices: Choices | None, secrets: Sequence[str]
) -> Path:
    """The exported repository, when it may be pushed."""
    for path in newest_code(archive, archive.load(app_id)):
        if _RUN_BY_SERVERS.fullmatch(path):
            raise UserError(
                f"The app has the file {path}, which a git server would run. Nothing was pushed.",
                "Have it taken out, or look at it, export a git folder and push that.",
            )
    export_git(archive, app_id, folder, choices)
    refuse_secrets(Repository(folder), secrets)
    return folder


def refuse_secrets(repository: Repository, secrets: Sequence[str] = ()) -> None:
    """Raises UserError, with the place, when a file or message of any commit has what looks like a
    key or password, or one of `secrets`."""
    places: dict[str, None] = {}
    seen: set[tuple[str, int]] = set()
    for commit in repository.log():
        name = commit.tags[0] if commit.tags else commit.id[:10]
        if secret_lines(commit.message, secrets):
            places[f"the message of {name}"] = None
        for path, content in repository.files(commit.id).items():
            if (path, hash(content)) in seen:
                continue
            seen.add((path, hash(content)))
            for line in secret_lines(content.decode("utf-8", "replace"), secrets):
                places[f"{path}, line {line} ({name})"] = None
    if places:
        some = "; ".join(list(places)[:3])
        more = f" and {len(places) - 3} more" if len(places) > 3 else ""
        raise UserError(
            f"There is what looks like a secret in {some}{more}. Nothing was pushed.",
            "Take it out and use another key. If it is none, export a git folder and push that.",
        )


class Git:
    """Runs git in one folder, for one remote, without prompts, hooks or time without end."""

    def __init__(self, folder: Path, to: Remote, token: str) -> None:
        self._folder, self._to, self._token = folder, to, token
        self._git = shutil.which("git")
        if not self._git:
            raise UserError("Pushing needs git, and there is none.", "Install git.")
        self._environ = _environ(to, token)

    def run(self, *arguments: str, **more: str) -> str:
        """What a git command prints. Raises UserError in words when it fails."""
        code, output, errors = self._run(arguments, more)
        if code:
            raise self._failed(errors)
        return output.strip()

    def heads(self) -> dict[str, str]:
        """The remote's branches, each with its newest commit."""
        lines = self.run("ls-remote", "--heads", "--", self._to.url).splitlines()
        found = (line.split("\t") for line in lines if re.fullmatch(r"[0-9a-f]{40,64}\t\S+", line))
        return {name.removeprefix("refs/heads/"): commit for commit, name in found}

    def leads_to_main(self, commit: str) -> bool:
        """Whether the remote's commit is one that main has already; it is fetched for that."""
        self.run("fetch", "--quiet", "--no-tags", "--", self._to.url, commit)
        return self._is_before_main(commit)

    def follow(self, commit: str) -> bool:
        """Where the remote's newest commit is the last one of an earlier push of this app, with
        nobody's work on it, puts main after it. Whether it was."""
        about = self.run("log", "-1", "--format=%s%n%at%n%ct%n%P", commit).splitlines()
        if len(about) != 4 or about[0] != LAST_MESSAGE or about[1] != about[2]:
            return False
        base = about[3].split()[0]
        if self.run("log", "-1", "--format=%at", base) != about[1]:
            return False
        if not self._is_before_main(base):
            return False
        main = self.run("log", "-1", "--format=%T%n%P%n%an%n%ae%n%at", "main").splitlines()
        if self.run("rev-parse", f"{commit}^{{tree}}") == main[0]:
            self.run("update-ref", "refs/heads/main", commit)
            return True
        tree, parent, name, email, seconds = main
        joined = self.run(
            "commit-tree", tree, "-p", parent, "-p", commit, "-m", LAST_MESSAGE,
            GIT_AUTHOR_NAME=name, GIT_AUTHOR_EMAIL=email, GIT_AUTHOR_DATE=f"{seconds} +0000",
            GIT_COMMITTER_NAME=name, GIT_COMMITTER_EMAIL=email,
            GIT_COMMITTER_DATE=f"{seconds} +0000",
        )  # fmt: skip
        self.run("update-ref", "refs/heads/main", joined)
        return True

    def _is_before_main(self, commit: str) -> bool:
        return self._run(["merge-base", "--is-ancestor", commit, "main"], {})[0] == 0

    def _run(self, arguments: Sequence[str], more: Mapping[str, str]) -> tuple[int, str, str]:
        process = subprocess.Popen(  # noqa: S603 arguments are a list, the remote is examined
            [str(self._git), *arguments],
            cwd=self._folder,
            env={**self._environ, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=PUSH_S)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"The remote did not answer within {PUSH_S:.0f} seconds.", "Try it again later."
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return (
            process.returncode,
            output.decode("utf-8", "replace"),
            errors.decode("utf-8", "replace"),
        )

    def _failed(self, errors: str) -> UserError:
        said = redact(readable(errors), [self._token])
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        fix = next((fix for words, fix in _FIXES.items() if words in said.lower()), "")
        return UserError(f"git says: {' '.join(lines)[-600:]}", fix or "Look at the address.")


def _environ(to: Remote, token: str) -> dict[str, str]:
    """What git needs of this environment; nothing that traces it, asks on a terminal or changes
    which repository is meant."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    environ |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": ":".join(dict.fromkeys(("https", "ssh", to.scheme))),
    }
    config = {
        "core.hooksPath": os.devnull,
        "credential.interactive": "false",
        "gc.auto": "0",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "60",
        "push.recurseSubmodules": "no",
        "transfer.fsckObjects": "true",
    }
    pairs = list(config.items())
    if token:
        parts = urlsplit(to.url)
        site = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        # The empty one takes the person's own helpers out, so that none is told to keep the token.
        pairs += [("credential.helper", ""), (f"credential.{site}.helper", "")]
        pairs += [(f"credential.{site}.helper", _HELPER)]
        user = parts.username or ("x-access-token" if to.host == "github.com" else "token")
        environ |= {"VIBE_PUSH_USER": user, "VIBE_PUSH_TOKEN": token}
    environ["GIT_CONFIG_COUNT"] = str(len(pairs))
    for number, (key, value) in enumerate(pairs):
        environ |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environ


def _unused(name: str, heads: Mapping[str, str]) -> str:
    numbered = (f"{name}-{number}" for number in range(2, 1000))
    return next(each for each in (name, *numbered) if each not in heads)


def _refused(message: str, fix: str = "") -> UserError:
    known = "Addresses look like https://host/name/app.git or git@host:name/app.git."
    return UserError(message, fix or known)
