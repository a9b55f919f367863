"""An app's code: an ordinary git repository that git itself agrees with."""

import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from vibe.errors import ModelFault, UserError
from vibe.repository import MAX_DIFF_BYTES, NOBODY, Repository, identity

FILES = {"app.py": b"print(1)\n", "static/s p\xc3\xa4ce.css".encode("latin-1").decode(): b"a{}\n"}


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "code")


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person without a git configuration; returns where it would be."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "gitconfig").touch()
    return tmp_path / "gitconfig"


def git(folder: Path, *arguments: str) -> str:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-c", "core.quotepath=off", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_before_the_first_commit_there_are_no_files(code: Repository) -> None:
    assert code.files() == {}
    assert code.log() == []
    for ask in (lambda: code.files("r1"), lambda: code.diff(None), lambda: code.diff("r1", "r2")):
        with pytest.raises(UserError, match="no version"):
            ask()


def test_a_commit_is_the_whole_tree(code: Repository) -> None:
    first = code.commit(FILES, "first", tag="r1")
    second = code.commit({"app.py": b"print(2)\n"}, "second")
    third = code.commit({"app.py": b"print(2)\n"}, "the same again")
    assert code.files(first) == code.files("r1") == FILES
    assert code.files() == code.files(second) == code.files(third) == {"app.py": b"print(2)\n"}
    assert [commit.id for commit in code.log()] == [third, second, first]
    assert [commit.tags for commit in code.log()] == [(), (), ("r1",)]


def test_git_finds_nothing_to_complain_about(code: Repository, nobody: Path) -> None:
    code.commit(FILES, "Mäke it 🍕\n\nwith a second paragraph\0", tag="r1")
    code.commit({"app.py": b""}, "")
    assert git(code.folder, "status", "--porcelain") == ""
    assert git(code.folder, "fsck", "--strict", "--no-dangling") == ""
    assert git(code.folder, "log", "--format=%s|%an <%ae>|%D") == (
        "-|Vibe <vibe@localhost>|HEAD -> main\nMäke it 🍕|Vibe <vibe@localhost>|tag: r1\n"
    )
    assert (
        git(code.folder, "ls-tree", "-r", "--name-only", "r1").split("\n")[1] == "static/s päce.css"
    )


def test_the_author_is_the_person_git_knows(nobody: Path) -> None:
    assert identity() == NOBODY
    nobody.write_text("[user]\n\tname = Zoë <Q>\n\temail = zoe@example.org\n")
    assert identity() == "Zoë Q <zoe@example.org>".encode()
    for broken in ("[user]\n\tname = only\n", "[user\nname", "\x00\xff", "[user]\nname=\nemail=\n"):
        nobody.write_text(broken, "latin-1")
        assert identity() == NOBODY
    nobody.unlink()
    nobody.mkdir()
    assert identity() == NOBODY


def test_a_tag_can_move_and_needs_a_commit(code: Repository) -> None:
    first, second = code.commit({"a": b"1"}, "1", tag="r1"), code.commit({"a": b"2"}, "2")
    code.tag("r1", second)
    assert code.files("r1") == {"a": b"2"}
    for bad in ("0" * 40, "HEAD", "", "r9", first[:10]):
        with pytest.raises(UserError, match="no version"):
            code.tag("r2", bad)
    for name in ("../x", "a b", "-x", "", "a..b", "x.lock"):
        with pytest.raises(UserError):
            code.tag(name, first)


@pytest.mark.parametrize(
    "ref", ["", "HEAD~1", "refs/heads/main", "../x", "r99", "f" * 40, "é", "main\0"]
)
def test_an_unknown_version_is_told(code: Repository, ref: str) -> None:
    code.commit({"a": b"1"}, "1")
    with pytest.raises(UserError, match="no version"):
        code.files(ref)


def test_a_diff_is_what_git_would_apply(code: Repository, tmp_path: Path) -> None:
    old = code.commit({"a.py": b"1\n2\n3\n", "gone.txt": b"x\n"}, "old")
    new = code.commit({"a.py": b"1\n2b\n3\n", "new.txt": b"y"}, "new")
    diff = code.diff(old, new)
    assert "-2\n+2b\n" in diff
    git(code.folder, "checkout", "-q", old)
    (tmp_path / "x.patch").write_text(diff.rstrip("\n") + "\n")
    git(code.folder, "apply", str(tmp_path / "x.patch"))
    assert (code.folder / "a.py").read_text() == "1\n2b\n3\n"
    assert code.diff(old, old) == ""
    assert code.diff(None, old).count("new file mode") == 2


def test_a_diff_of_huge_or_binary_files_only_names_them(code: Repository) -> None:
    old = code.commit({"big": b"a b\n" * MAX_DIFF_BYTES, "bin": b"\0\1"}, "old")
    new = code.commit({"big": b"b a\n" * MAX_DIFF_BYTES, "bin": b"\0\2"}, "new")
    began = time.monotonic()
    diff = code.diff(old, new)
    assert "Large files differ: big" in diff
    assert "inary files" in diff
    assert len(diff) < 500
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", ".git/hooks/post-commit", "a\\b", ".GIT/config"]
)
def test_a_path_out_of_the_tree_is_the_model_s_fault_and_commits_nothing(
    code: Repository, path: str
) -> None:
    with pytest.raises(ModelFault):
        code.commit({"ok": b"", path: b""}, "bad")
    assert code.log() == []


def test_the_work_tree_is_for_looking_and_follows_no_link(code: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("keep")
    code.commit(FILES, "first")
    shutil.rmtree(code.folder / "static")
    (code.folder / "static").symlink_to(outside)
    (code.folder / "app.py").unlink()
    (code.folder / "app.py").symlink_to(outside / "keep")
    assert code.files() == FILES
    code.commit(FILES, "again")
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("keep", "keep")]
    assert (code.folder / "app.py").read_bytes() == b"print(1)\n"
    assert not (code.folder / "static").is_symlink()


def test_links_that_someone_committed_are_left_out(code: Repository) -> None:
    code.commit({"a": b"1"}, "first")
    (code.folder / "link").symlink_to("/etc/passwd")
    git(code.folder, "add", "link")
    git(code.folder, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "link")
    assert code.files() == {"a": b"1"}
    assert len(code.log()) == 2


def test_settings_of_the_person_s_git_do_not_change_files(code: Repository, nobody: Path) -> None:
    nobody.write_text(
        '[core]\n\tautocrlf = true\n[filter "x"]\n\tsmudge = touch ran\n\tclean = touch ran\n'
        "\trequired = true\n"
    )
    files = {".gitattributes": b"* filter=x\n", "a.txt": b"1\n2\r\n"}
    code.commit(files, "first")
    assert code.files() == files
    assert (code.folder / "a.txt").read_bytes() == b"1\n2\r\n"
    assert not list(code.folder.rglob("ran"))
    assert not Path("ran").exists()


def test_locks_that_a_killed_git_left_behind_do_not_last(code: Repository) -> None:
    code.commit({"a": b"1"}, "first", tag="r1")
    for lock in ("refs/heads/main.lock", "index.lock", "refs/tags/r1.lock"):
        path = code.folder / ".git" / lock
        path.touch()
    began = time.monotonic()
    code.commit({"a": b"2"}, "second", tag="r1")
    assert time.monotonic() - began < 10
    assert code.files("r1") == {"a": b"2"}
    assert git(code.folder, "status", "--porcelain") == ""


def test_a_damaged_repository_is_told(code: Repository) -> None:
    commit = code.commit({"a": b"1"}, "first")
    path = code.folder / ".git" / "objects" / commit[:2] / commit[2:]
    path.chmod(0o644)
    path.write_bytes(b"rubbish")
    for ask in (code.files, code.log, lambda: code.diff(None)):
        with pytest.raises(UserError, match="damaged"):
            ask()
    (code.folder / ".git" / "HEAD").unlink()
    with pytest.raises(UserError, match=r"damaged|no version"):
        code.files()


def test_many_threads_can_commit_at_once(code: Repository) -> None:
    def commit(number: int) -> None:
        for turn in range(3):
            code.commit({"a": f"{number} {turn}".encode()}, f"{number} {turn}", tag=f"r{number}")

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(commit.message for commit in code.log()) == [
        f"{n} {t}" for n in range(6) for t in range(3)
    ]
    assert git(code.folder, "fsck", "--strict", "--no-dangling") == ""
    assert git(code.folder, "status", "--porcelain") == ""
