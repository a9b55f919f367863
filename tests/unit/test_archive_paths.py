"""Which file names are taken from a model or a person."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe.errors import ModelFault
from vibe.paths import MAX_FILES, safe_files, safe_path

UNSAFE = [
    "", ".", "..", "./", "/", "../x", "a/../x", "a/..", "./../x", "/etc/passwd", "//x", "~/x",
    "~root", "a//b", "a/", "a/./b", "C:\\x", "c:/x", "C:x", "..\\x", "a\\b", "\\\\host\\share",
    "a\x00b", "a\nb", "a\rb", "a\x1bb", "a\x7fb", "a\u202eb", "a\u2028b", "\ud800", "a\u200db",
    ".git", ".git/hooks/pre-commit", "a/.git/config", ".GIT/x", ".Git/config", "git~1/x",
    ".git\u200c/x", ".git /x", ".git./x", ".\uff47it/x", ".gitmodules", "a:b", "a.txt::$DATA",
    "aux", "nul.txt", "a/COM1.py", "x ", " x", "x.", "a./b", "x" * 151, "é" * 76, "a/" * 10 + "b",
    "/".join(["a" * 100] * 5), "what?", "a*", 'a"b', "a<b", "a>b", "a|b",
]  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_an_unsafe_path_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(ModelFault, match=r"^The path .* can't be used: .*\.$") as caught:
        safe_path(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "name",
    ["app.py", "src/app.py", "pages/1_📊_Data.py", ".streamlit/config.toml", ".gitignore",
     "grün/日本.txt", "a b/c d.txt", "...x", "..x", "con-fig.py", "a" * 150, ".github/x", "x~1"],
)  # fmt: skip
def test_an_ordinary_path_is_taken_as_it_is(name: str) -> None:
    assert safe_path(name) == PurePosixPath(name)
    assert safe_path(f"./{name}") == PurePosixPath(name)


@given(st.text(alphabet=st.sampled_from("./\\:~ agit\n\x00é") | st.characters(), max_size=30))
def test_whatever_is_taken_stays_below_the_folder(name: str) -> None:
    try:
        path = safe_path(name)
    except ModelFault:
        return
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert str(path) == name.removeprefix("./")
    assert safe_path(str(path)) == path


def test_too_many_files_are_refused() -> None:
    files = {f"{number}.txt": b"" for number in range(MAX_FILES)}
    assert safe_files(files) == files
    with pytest.raises(ModelFault, match="201 files; 200 are the most"):
        safe_files({**files, "one-more.txt": b""})


@pytest.mark.parametrize(
    "names",
    [("app.py", "./app.py"), ("App.py", "app.py"), ("a", "a/b"), ("a/b", "A"), ("x/y/z", "x/y")],
)
def test_paths_that_cannot_both_exist_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(ModelFault):
        safe_files(dict.fromkeys(names, b""))
    with pytest.raises(ModelFault):
        safe_files(dict.fromkeys(reversed(names), b""))
