"""Names of packages: what is one, what is odd about one, and the lock that comes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibe.errors import EngineFault, UserError
from vibe.sandbox import images, lock, package_faults, package_names
from vibe.sandbox.index_environment import index_environment
from vibe.sandbox.lock import Lock, Pin
from vibe.sandbox.package_names import doubt, sort_out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://example.org/x.whl", "address"),
        ("evil @ https://example.org/x.whl", "address"),
        ("git+ssh://host/x", "address"),
        ("-r requirements.txt", "option"),
        ("--index-url=http://x", "option"),
        ("./local", "file"),
        ("../up", "file"),
        ("/etc/passwd", "file"),
        ("C:\\x", "file"),
        ("thing.whl", "file"),
        ("humanize; python_version > '3'", "nothing after it"),
        ("humanize>=2", "nothing after it"),
        ("uvicorn[standard]", "nothing after it"),
        ("humanize --pre", "can't be read"),
        ("humanize\nevil", "odd characters"),
        ("", "empty"),
        ("x" * 101, "too long"),
        ("hüman", "can't be read"),
    ],
)
def test_what_is_no_plain_name_is_refused_with_a_reason(text: str, said: str) -> None:
    found, refused = sort_out([text], [], 30)
    assert found == ()
    assert said in " ".join(refused.values())


def test_names_of_python_and_of_the_image_need_nothing_and_spellings_are_one() -> None:
    found, refused = sort_out(
        ["json", "importlib", "Pandas", "PyYAML", "Py_Figlet", "py-figlet"], images.packages(), 30
    )
    assert (found, refused) == (("py-figlet",), {})


def test_of_two_hundred_names_the_first_thirty_are_taken() -> None:
    found, refused = sort_out([f"package-{n}" for n in range(200)], [], 30)
    assert len(found) == 30
    assert len(refused) == 170


def test_a_denied_name_says_what_to_use_instead() -> None:
    assert "scikit-learn" in sort_out(["sklearn"], [], 30)[1]["sklearn"]


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("reqeusts", "requests"),
        ("request5", "requests"),
        ("python-humanize", "humanize"),
        ("nump", "numpy"),
        ("matplotllib", "matplotlib"),
        ("beautifulsoop4", "beautifulsoup4"),
        ("num-py", "numpy"),
    ],
)
def test_a_name_that_looks_like_a_known_one_is_doubted(name: str, like: str) -> None:
    assert f"looks like {like}" in doubt(name)


def test_known_and_approved_names_are_not_doubted_and_others_are() -> None:
    assert doubt("humanize") == ""
    assert doubt("acme-internal", {"acme-internal"}) == ""
    assert "doesn't know" in doubt("acme-internal")
    assert not any(doubt(name) for name in package_names.names().known)


PYLOCK = """
lock-version = "1.0"
[[packages]]
name = "humanize"
version = "4.17.0"
wheels = [{url = "https://me:hush@host/h.whl", size = 10, hashes = {sha256 = "HASH"}}]
[[packages]]
name = "numpy"
version = "2.4.6"
wheels = [{url = "https://host/n.whl", size = 99, hashes = {sha256 = "HASH"}}]
""".replace("HASH", "ab" * 32)


def read(text: str = PYLOCK) -> Lock:
    return lock.from_pylock(
        text, asked=["humanize"], python="3.11", machine="x86_64", present=["NumPy"]
    )


def test_a_lock_is_what_the_image_lacks_and_reads_back_the_same() -> None:
    found = read()
    assert found.versions == {"humanize": "4.17.0"}
    assert found.bytes == 10
    assert "hush" not in found.text
    again = lock.read(found.text)
    assert (again.key, again.versions, again.asked) == (found.key, found.versions, ("humanize",))


def test_a_lock_s_key_follows_what_is_installed_and_nothing_else() -> None:
    pin = Pin("a", "1", ("0" * 64,))
    one = Lock("3.11", "x86_64", ("a",), (pin,))
    assert one.key == Lock("3.11", "x86_64", ("a", "b"), (pin,), ("a",)).key
    assert one.key != Lock("3.12", "x86_64", ("a",), (pin,)).key
    assert one.key != Lock("3.11", "x86_64", ("a",), (Pin("a", "1", ("1" * 64,)),)).key


@pytest.mark.parametrize(
    "line",
    [
        "evil @ https://example.org/x.whl --hash=sha256:" + "0" * 64,
        "--index-url http://example.org",
        "humanize==1",
        "humanize==1 --hash=sha256:xyz",
        "-e .",
        "humanize==1 ; python_version<'4' --hash=sha256:" + "0" * 64,
    ],
)
def test_an_archived_lock_with_a_foreign_line_is_refused(line: str) -> None:
    with pytest.raises(UserError, match="not as Vibe wrote it"):
        lock.read(read().text + line + "\n")


@pytest.mark.parametrize(
    "text",
    [
        "no toml [",
        PYLOCK.replace("sha256", "md5"),
        PYLOCK.replace("4.17.0", "1 --index-url x"),
        PYLOCK.replace('"humanize"', '"-r x"'),
        '[[packages]]\nname = "x"\nversion = "1"\nsdist = {url = "x"}\n',
    ],
)
def test_an_index_s_odd_answer_is_a_fault_and_no_lock(text: str) -> None:
    with pytest.raises(EngineFault, match="can't be used"):
        read(text)


def test_uv_s_variables_count_before_pip_s_and_passwords_show_nowhere(tmp_path: Path) -> None:
    found = index_environment(
        {
            "PIP_INDEX_URL": "http://pip.example/simple",
            "UV_INDEX_URL": "https://me:hush@uv.example/simple",
            "PIP_EXTRA_INDEX_URL": "https://more.example/simple",
            "PIP_FIND_LINKS": str(tmp_path),
            "https_proxy": "http://proxy.example:3128",
        }
    )
    assert found.variables["UV_DEFAULT_INDEX"] == "https://me:hush@uv.example/simple"
    assert found.variables["UV_INDEX"] == "https://more.example/simple"
    assert found.variables["UV_FIND_LINKS"] == "/wheels"
    assert found.variables["HTTPS_PROXY"] == "http://proxy.example:3128"
    assert found.folder == str(tmp_path)
    assert (found.own, found.network) == (True, "bridge")
    assert "hush" not in found.mark
    here = index_environment({"PIP_INDEX_URL": "http://127.0.0.1:3141/simple"})
    assert here.network == "host"
    alone = index_environment({"UV_FIND_LINKS": str(tmp_path), "UV_NO_INDEX": "1"})
    assert alone.network == "none"
    unwanted = {"PIP_NO_INDEX": "1", "PIP_INDEX_URL": "http://127.0.0.1:3141/simple"}
    alone = index_environment({**unwanted, "HTTPS_PROXY": "http://127.0.0.1:3128"})
    assert (alone.network, "UV_DEFAULT_INDEX" in alone.variables) == ("none", False)
    assert not index_environment({}).own


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("cause: invalid peer certificate: UnknownIssuer", "certificate that this machine"),
        ("cause: No space left on device (os error 28)", "disk is full"),
        ("HTTP status client error (401 Unauthorized) for url (https://a:b@h/x)", "refuses access"),
        ("cause: failed to lookup address information: dns error", "can't be reached"),
        ("error: Hash mismatch for `humanize==1`", "its hash differs"),
        ("error: something new in https://me:hush@host/simple", "something new in the index"),
    ],
)
def test_uv_s_words_become_a_sentence_without_addresses(said: str, sentence: str) -> None:
    found = package_faults.fault(f"error: Failed\n{said}", ["humanize"])
    assert sentence in found.message
    assert "hush" not in found.message + found.evidence
