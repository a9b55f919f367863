"""Pushing to real git remotes: a bare repository, smart HTTP with a password, a GitHub stand-in."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vibe.app import App, Revision, Verdict
from vibe.archive import Archive
from vibe.cli import main
from vibe.errors import UserError
from vibe.github import create_repository
from vibe.remotes import LOOPBACK, Remote, push, remote, token_for

TOKEN = "a-token-that-nobody-may-see-4711"
KEY = "ghp_" + "a1B2" * 9
VERDICT = Verdict("works", "It works.")


@pytest.fixture(autouse=True)
def own_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings and tokens of whoever runs the tests."""
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n name = Ann Example\n email = ann@example.com\n")
    for name in ("VIBE_GIT_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "gallery")


def made(archive: Archive, *codes: dict[str, bytes], app: App | None = None) -> App:
    """An app with a revision for each code, after those it has."""
    app = app or archive.create("Say hello", kind="script", model="m")
    revisions = list(app.revisions)
    for code in codes:
        number = len(revisions) + 1
        commit = archive.commit(app.id, code, "attempt", tag=f"r{number}")
        created = f"2026-01-02T03:04:0{number}.000Z"
        revisions.append(Revision(number, f"Wish {number}", commit, 1, VERDICT, created))
    app = replace(app, title="Hello", revisions=tuple(revisions), verdict=VERDICT)
    archive.save(app)
    return app


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def bare(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "--bare")
    git(folder, "config", "http.receivepack", "true")
    return folder


def test_revisions_arrive_in_a_bare_repository_and_later_ones_follow(
    archive: Archive, tmp_path: Path
) -> None:
    there = bare(tmp_path / "there.git")
    app = made(archive, {"main.py": b"print(1)\n"})
    to = remote(str(there))
    first = push(archive, app.id, to)
    assert (first.branch, first.new, first.changed) == ("main", False, True)
    assert git(there, "show", "main:main.py") == "print(1)"
    assert git(there, "log", "-1", "--format=%an <%ae>", "main") == "Ann Example <ann@example.com>"
    assert push(archive, app.id, to).changed is False

    for number in (2, 3):
        app = made(archive, {"main.py": f"print({number})\n".encode()}, app=app)
        done = push(archive, app.id, to)
        assert (done.branch, done.new, done.changed) == ("main", False, True)
        assert git(there, "show", "main:main.py") == f"print({number})"
        assert push(archive, app.id, to).changed is False
    subjects = git(there, "log", "--format=%s", "main").splitlines()
    assert [subject for subject in subjects if "Wish" in subject] == ["Wish 3", "Wish 2", "Wish 1"]
    assert git(there, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert git(there, "fsck", "--strict") == ""


def test_anothers_history_is_left_alone_unless_told(archive: Archive, tmp_path: Path) -> None:
    there = bare(tmp_path / "there.git")
    app = made(archive, {"main.py": b"print(1)\n"})
    to = remote(there.as_uri())
    push(archive, app.id, to)
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", "-b", "main", str(there), str(work))
    (work / "main.py").write_text("mine")
    git(work, "commit", "-qam", "Add README, tests and what else it takes to run without Vibe")
    git(work, "push", "-q", "origin", "main")
    theirs = git(there, "rev-parse", "main")

    app = made(archive, {"main.py": b"print(2)\n"}, app=app)
    names = []
    for _ in range(2):
        done = push(archive, app.id, to)
        assert done.new
        assert "another history" in done.sentence
        names.append(done.branch)
        assert git(there, "show", f"{done.branch}:main.py") == "print(2)"
    assert names == [f"vibe/{app.id}", f"vibe/{app.id}-2"]
    assert git(there, "rev-parse", "main") == theirs
    forced = push(archive, app.id, to, force=True)
    assert (forced.branch, forced.new) == ("main", False)
    assert git(there, "show", "main:main.py") == "print(2)"
    assert push(archive, app.id, to, branch="other/one").branch == "other/one"


class Server(ThreadingHTTPServer):
    """git's own smart-HTTP program behind a password, and three calls of GitHub's API."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.lines: list[str] = []
        self.leaks: list[str] = []
        self.made: list[dict[str, object]] = []
        self.clone_url = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        self.server.lines.append(f"{self.command} {self.path}")
        said = self.headers.get("Authorization", "")
        if self.path.startswith("/api/"):
            self._api(said == f"Bearer {TOKEN}", body)
            return
        if said.startswith("Basic "):
            said = base64.b64decode(said.removeprefix("Basic ")).decode().partition(":")[2]
        if said != TOKEN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._look_for_leaks()
        path, _, query = self.path.partition("?")
        environ = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "REMOTE_USER": "someone",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environ, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _look_for_leaks(self) -> None:
        """Whether the token is in any program's arguments, or in a file of the push."""
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if TOKEN.encode() in line.read_bytes():
                    self.server.leaks.append(str(line))
            except OSError:
                continue
        for path in Path(tempfile.gettempdir()).glob("vibe-push-*/repository/.git/*"):
            if path.is_file() and TOKEN.encode() in path.read_bytes():
                self.server.leaks.append(str(path))

    def _api(self, known: bool, body: bytes) -> None:
        login, task = "ann", json.loads(body or b"{}")
        name = self.path.rpartition("/")[2]
        if not known:
            status, answer = 401, {"message": f"Bad credentials {self.headers['Authorization']}"}
        elif self.path == "/api/user":
            status, answer = 200, {"login": login}
        elif self.command == "GET":
            there = (self.server.root / login / f"{name}.git").is_dir()
            status, answer = (200, {"name": name}) if there else (404, {"message": "Not Found"})
        else:
            bare(self.server.root / login / f"{task['name']}.git")
            self.server.made.append(task)
            url = self.server.clone_url or f"{self.server.url}/{login}/{task['name']}.git"
            status, answer = 201, {"clone_url": url}
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "served")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_token_opens_an_http_remote_and_is_seen_nowhere(
    archive: Archive, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = bare(server.root / "hello.git")
    told = tmp_path / "told"
    (tmp_path / "gitconfig").write_text(
        f"[credential]\n helper = \"!f() {{ cat >> '{told}'; }}; f\"\n"
    )
    app = made(archive, {"main.py": b"print(1)\n"}, {"main.py": os.urandom(3 << 20).hex().encode()})
    to = remote(f"{server.url}/hello.git")
    monkeypatch.setenv("VIBE_GIT_TOKEN", TOKEN)
    monkeypatch.setenv("GIT_TRACE_CURL", str(tmp_path / "trace"))
    push(archive, app.id, to, token=token_for(to))
    assert git(there, "log", "--format=%s", "main").splitlines()[1:] == ["Wish 2", "Wish 1"]
    assert server.leaks == []
    assert not told.exists()
    assert not (tmp_path / "trace").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_without_a_token_the_credential_helper_is_asked(
    archive: Archive, server: Server, tmp_path: Path
) -> None:
    there = bare(server.root / "hello.git")
    with (tmp_path / "gitconfig").open("a") as config:
        config.write(
            f'[credential]\n helper = "!f() {{ echo username=a; echo password={TOKEN}; }}; f"\n'
        )
    app = made(archive, {"main.py": b"print(1)\n"})
    push(archive, app.id, remote(f"{server.url}/hello.git"))
    assert git(there, "show", "main:main.py") == "print(1)"


def test_refusals_are_sentences_without_the_token(archive: Archive, server: Server) -> None:
    app = made(archive, {"main.py": b"print(1)\n"})
    bare(server.root / "hello.git")
    wrong = f"{TOKEN}-wrong"
    cases = {
        f"{server.url}/hello.git": "VIBE_GIT_TOKEN",
        f"{server.url}/missing.git": "",
        "/nowhere/at/all.git": "Make the repository first",
        "http://localhost:9/x.git": "",
    }
    for url, words in cases.items():
        with pytest.raises(UserError) as refused:
            push(archive, app.id, remote(url), token=wrong)
        assert words in str(refused.value)
        assert TOKEN not in str(refused.value)
    with pytest.raises(UserError, match="VIBE_GIT_TOKEN"):
        push(archive, app.id, remote(f"{server.url}/hello.git"))


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "ext::sh -c date", "ext::date", "fd::17", "-oProxyCommand=date", "--upload-pack=x",
        "git://host/x.git", "ftp://host/x", "file://host/share", "https://u:p@host/x.git",
        "https://-host/x", "ssh://-oProxyCommand=x/y", "-u@host:x", "host", "name/repo", "x y",
        "https://host/\nx", "https:///x", "https://host:99999/x", f"https://{KEY}@host/x.git",
        "ssh://host/x?y", "user@host:-x", "https://ho\u202est/x",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        remote(url)


def test_a_token_goes_only_where_it_belongs() -> None:
    environ = {"GITHUB_TOKEN": "g"}
    assert token_for(remote("https://github.com/a/b.git"), environ) == "g"
    assert token_for(remote("https://elsewhere.example/a/b.git"), environ) == ""
    assert token_for(remote("https://github.com.evil.example/a"), environ) == ""
    both = {**environ, "VIBE_GIT_TOKEN": "v"}
    assert token_for(remote("https://elsewhere.example/a/b.git"), both) == "v"
    for url in ("http://elsewhere.example/a", "ssh://github.com/a", "git@github.com:a/b", "/a/b"):
        assert token_for(remote(url), both) == ""
    for host in LOOPBACK[:2]:
        assert token_for(remote(f"http://{host}:1/a"), both) == "v"


def test_a_secret_anywhere_stops_the_push_with_its_place(archive: Archive, tmp_path: Path) -> None:
    there = bare(tmp_path / "there.git")
    leaky = made(archive, {"main.py": f"a = 1\nkey = '{KEY}'\n".encode()}, {"main.py": b"a = 1\n"})
    with pytest.raises(UserError, match=r"main\.py, line 2 \(r1\)") as refused:
        push(archive, leaky.id, remote(str(there)))
    assert KEY not in str(refused.value)
    data = archive.create(
        "Read it", kind="script", model="m", data={"x.env": b"\nA=" + KEY.encode()}
    )
    made(archive, {"main.py": b""}, app=data)
    with pytest.raises(UserError, match=r"data/x\.env, line 2"):
        push(archive, data.id, remote(str(there)))
    known = made(archive, {"main.py": b"print('own-company-word')\n"})
    with pytest.raises(UserError, match=r"main\.py, line 1"):
        push(archive, known.id, remote(str(there)), secrets=["own-company-word"])
    assert git(there, "for-each-ref") == ""
    assert push(archive, known.id, remote(str(there))).changed


@pytest.mark.parametrize(
    "path", [".github/workflows/x.yml", ".GitHub/Workflows/x.yml", ".gitlab-ci.yml", "Jenkinsfile"]
)
def test_what_a_server_would_run_of_a_model_is_not_pushed(
    archive: Archive, tmp_path: Path, path: str
) -> None:
    there = bare(tmp_path / "there.git")
    app = made(archive, {"main.py": b"", path: b"on: push"})
    with pytest.raises(UserError, match="a git server would run"):
        push(archive, app.id, remote(str(there)))
    assert git(there, "for-each-ref") == ""
    app = made(archive, {"main.py": b"", "docs/Jenkinsfile.md": b""}, app=app)
    assert push(archive, app.id, remote(str(there))).changed


def test_a_new_repository_is_made_private_and_pushed_to(
    archive: Archive, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    app = made(archive, {"main.py": b"print(1)\n"})
    monkeypatch.setenv("VIBE_GALLERY", str(archive.root))
    monkeypatch.setenv("VIBE_SETTINGS", "/none")
    monkeypatch.setenv("VIBE_GITHUB_API", f"{server.url}/api")
    assert main(["export", app.id, "--github", "hello"]) != 0
    assert "GITHUB_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    assert main(["export", app.id, "--github", "hello", "--licence", "MIT"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{server.url}/ann/hello.git\n"
    assert server.made == [{"name": "hello", "private": True, "auto_init": False}]
    assert server.lines[:3] == ["GET /api/user", "GET /api/repos/ann/hello", "POST /api/user/repos"]
    assert git(server.root / "ann" / "hello.git", "show", "main:LICENSE").startswith("MIT")
    assert main(["export", app.id, "--github", "hello"]) != 0
    assert "already" in capsys.readouterr().err
    assert len(server.made) == 1
    assert server.leaks == []

    leaky = made(archive, {"main.py": f"x = '{KEY}'".encode()})
    assert main(["export", leaky.id, "--github", "leaky"]) != 0
    assert len(server.made) == 1, "nothing is made for what can't be pushed"
    assert main(["export", app.id, "--push", f"{tmp_path}/none.git"]) != 0
    assert TOKEN not in "".join(capsys.readouterr())


def test_what_the_api_says_is_not_trusted(server: Server) -> None:
    api = f"{server.url}/api"
    with pytest.raises(UserError, match="Bad credentials") as refused:
        create_repository("hello", f"{TOKEN}-wrong", api=api)
    assert TOKEN not in str(refused.value)
    for name in ("../x", "a/b", "", "x.git", "a b"):
        with pytest.raises(UserError, match="can't be called"):
            create_repository(name, TOKEN, api=api)
    for number, url in enumerate(["https://evil.example/x.git", "ext::date", "/etc"]):
        server.clone_url = url
        with pytest.raises(UserError):
            create_repository(f"hello{number}", TOKEN, api=api)
    for bad in ("http://elsewhere.example", "ftp://x", "http://127.0.0.1:9"):
        with pytest.raises(UserError):
            create_repository("hello", TOKEN, api=bad)
    server.clone_url = ""
    assert create_repository("open", TOKEN, api=api, private=False) == Remote(
        f"{server.url}/ann/open.git", "http", "127.0.0.1"
    )
    assert server.made[-1]["private"] is False
