"""Exports are ordinary repositories that run without Vibe, whole or not at all."""

import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from vibe.app import App, Revision, Verdict
from vibe.archive import Archive
from vibe.errors import NoSuchApp, UserError
from vibe.events import Finished, Requested, from_json, now
from vibe.export import Choices, export_git, export_zip, exported_files
from vibe.requirements import lock, requirements
from vibe.sandbox.images import packages

PROGRAM = b"""\
import argparse
import csv
from pathlib import Path

from counting import total

parser = argparse.ArgumentParser()
parser.add_argument("file", nargs="?", default="data/numbers.csv")
arguments = parser.parse_args()
rows = list(csv.reader(Path(arguments.file).open()))
Path("results").mkdir(exist_ok=True)
Path("results/sum.txt").write_text(str(total(rows)))
print("sum:", total(rows))
"""
CODE = {
    "main.py": PROGRAM,
    "counting.py": b"def total(rows):\n    return sum(int(r[0]) for r in rows)\n",
}
VERDICT = Verdict("works", "It ran and exited 0.", ("exits 0",), ("speed",), "docker")
IDEA = "Sum numbers\n```\n# of a file"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "gallery")


@pytest.fixture
def app(archive: Archive) -> App:
    return built(archive, "script", CODE)


def built(archive: Archive, kind: str, code: dict[str, bytes], **pins: str) -> App:
    """An app of two revisions, the second with the code."""
    app = archive.create(IDEA, kind=kind, model="m", data={"numbers.csv": b"1\n2\n39\n"})
    asked = Requested(revision=1, text=IDEA, kind=kind, model="m", autonomy="fix")
    first = archive.commit(app.id, {"old.txt": b"old"}, "attempt", tag="r1")
    archive.commit(app.id, {"failed.txt": b""}, "a worse attempt")
    second = archive.commit(app.id, code, "attempt", tag="r2")
    archive.append(app.id, [asked, Finished(status="ready", sentence="Done.")], sync=True)
    app = replace(
        app,
        title="Sum *numbers*",
        status="ready",
        verdict=VERDICT,
        revisions=(
            Revision(1, IDEA, first, 2, VERDICT, "2025-01-02T03:04:05.678Z"),
            Revision(2, "Also write the sum down", second, 1, VERDICT, now()),
        ),
        plan={"summary": "Adds up a column."},
        pins={"packages": pins},
    )
    archive.save(app)
    return app


def git(folder: Path, *arguments: str) -> str:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout + done.stderr


def ran(folder: Path) -> str:
    """Output of the exported script, run by a bare Python as its README says."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys, runpy; sys.path.insert(0, '.');"
         "sys.argv = ['main.py']; runpy.run_path('main.py', run_name='__main__')"],
        cwd=folder, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.stdout


def test_a_script_runs_from_its_zip(archive: Archive, app: App, tmp_path: Path) -> None:
    path = export_zip(archive, app.id, tmp_path / "sum.zip")
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        bundle.extractall(tmp_path / "out")
    assert ran(tmp_path / "out") == "sum: 42\n"
    assert (tmp_path / "out" / "results" / "sum.txt").read_text() == "42"


def test_a_script_runs_from_its_git_folder(archive: Archive, app: App, tmp_path: Path) -> None:
    folder = export_git(archive, app.id, tmp_path / "sum")
    git(tmp_path, "clone", "-q", str(folder), "clone")
    assert ran(tmp_path / "clone") == "sum: 42\n"
    git(tmp_path / "clone", "add", "-A")
    ignored_results = git(tmp_path / "clone", "status", "--porcelain")
    assert ignored_results == ""


def test_an_export_has_all_that_tells_about_the_app(archive: Archive, app: App) -> None:
    files = exported_files(archive, app.id)
    assert sorted(files) == [
        ".dockerignore", ".github/workflows/tests.yml", ".gitignore", "Dockerfile", "README.md",
        "TRANSCRIPT.md", "counting.py", "data/numbers.csv", "events.jsonl", "main.py",
        "tests/checks.json", "tests/match.py", "tests/requirements.txt", "tests/test_script.py",
    ]  # fmt: skip
    readme = files["README.md"].decode()
    for words in (
        r"# Sum \*numbers\*", "Adds up a column.", "> Sum numbers", "Also write the sum down",
        "python3 main.py", "**works** (20", "): It ran and exited 0.", "- exits 0", "Not checked:",
        "docker run", "pytest tests",
        "- speed", "docker", "Made with Vibe", "`results/`", "`data/`",
    ):  # fmt: skip
        assert words in readme
    assert "requirements.lock" not in readme
    events = [from_json(line) for line in files["events.jsonl"].decode().splitlines()]
    assert events == archive.events(app.id)
    assert files["TRANSCRIPT.md"].decode().count("Done.") == 1


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("web", {"index.html": b"<p>"}, "Open `index.html` in a browser"),
        ("streamlit", {"app.py": b"import streamlit"}, "streamlit run app.py"),
        ("flask", {"app.py": b"import flask"}, "flask --app app.py run"),
        ("script", {"main.py": b"import numpy"}, "uv pip sync requirements.lock"),
        ("auto", {"x": b""}, "There is no program"),
        ("laser", {"x": b""}, "There is no program"),
    ],
)
def test_the_readme_says_how_each_kind_runs(
    archive: Archive, kind: str, code: dict[str, bytes], words: str
) -> None:
    app = built(archive, kind, code, **packages())
    files = exported_files(archive, app.id)
    assert words in files["README.md"].decode()
    installs = kind in ("streamlit", "flask", "script")
    assert ("requirements.txt" in files) == ("requirements.lock" in files) == installs
    if installs:
        assert files["requirements.lock"].count(b"--hash=sha256:") > 5


def test_requirements_are_what_the_code_imports_at_the_pinned_versions() -> None:
    code = {
        "main.py": b"import os, numpy.linalg as l\nfrom PIL import Image\nimport own, pkg.x\n",
        "own.py": b"def f():\n    import yaml\n",
        "pkg/x.py": b"from . import y\nimport pandas\npandas.read_excel\n",
        "broken.py": b"import (",
        "notes.txt": b"import flask",
        "nul.py": b"\0",
    }
    pins = {"numpy": "2.1.0", "Pillow": "11.0", "PyYAML": "6.0.2", "flask": "3", "pandas": "1; x"}
    assert requirements("script", code, pins) == (
        "numpy==2.1.0\nopenpyxl\npandas\npillow==11.0\npyyaml==6.0.2\n"
    )
    assert (
        requirements("streamlit", {"app.py": b""}, {"streamlit": "1.67.0"}) == "streamlit==1.67.0\n"
    )
    assert requirements("web", {"index.html": b"import numpy"}, pins) == ""
    fastapi = requirements("fastapi", {"app.py": b"import pydantic"}, {})
    assert fastapi == "fastapi\njinja2\npydantic\npython-multipart\nuvicorn\n"
    drawn = b"import pandas, plotly.express as px\npandas.Series().plot(); df.style"
    assert requirements("notebook", {"report.py": drawn}, {}) == (
        "jinja2\nmatplotlib\nnumpy\npandas\nplotly\n"
    )


def test_a_package_that_vibe_never_saw_is_not_installed_by_the_way() -> None:
    text = requirements("script", {"main.py": b"import reqeusts_ultra"}, {})
    assert text.startswith("# reqeusts-ultra: ")
    assert (
        requirements("script", {"main.py": b"import qrcode"}, {"qrcode": "8.0"}) == "qrcode==8.0\n"
    )


def test_a_lock_has_what_packages_need_in_turn_with_hashes_while_the_pins_are_todays() -> None:
    code = {"main.py": b"import pandas"}
    today = lock("script", code, packages())
    names = {line.split("==")[0] for line in today.splitlines() if "==" in line}
    assert names == {"numpy", "pandas", "python-dateutil", "tzdata"}
    assert today.count("--hash=sha256:") > 20
    old = lock("script", code, {**packages(), "pandas": "2.0.1"})
    assert "pandas==2.0.1\n" in old
    assert "tzdata==" in old
    assert "hash" not in old
    assert lock("script", {"main.py": b"import os, qrcode"}, packages()) == ""
    assert lock("web", {"index.html": b"<p>"}, packages()) == ""


def test_an_apps_own_lock_goes_before_the_images_and_takes_all_of_it_along(
    archive: Archive,
) -> None:
    own = "# by Vibe\nqrcode==8.0 \\\n    --hash=sha256:1\npyyaml==5.0 --hash=sha256:2\n"
    code = {"main.py": b"import qrcode, yaml", "requirements.lock": own.encode()}
    app = built(archive, "script", code, **packages())
    files = exported_files(archive, app.id)
    assert files["requirements.txt"] == b"pyyaml==5.0\nqrcode==8.0\n"
    locked = files["requirements.lock"].decode()
    assert "qrcode==8.0 \\\n    --hash=sha256:1\n" in locked
    assert "pyyaml==5.0 --hash=sha256:2\n" in locked
    assert "pillow==" in locked
    assert "pyyaml==6" not in locked
    assert "hash" not in lock("script", code, packages(), own="qrcode==8.0\n")


def test_the_licence_and_the_transcript_are_the_persons_choice(
    archive: Archive, app: App, tmp_path: Path
) -> None:
    files = exported_files(archive, app.id, Choices("MIT", transcript=False))
    assert files["LICENSE"].startswith(b"MIT License")
    assert "TRANSCRIPT.md" not in files
    assert "events.jsonl" not in files
    readme = files["README.md"].decode()
    assert "Licence: MIT" in readme
    assert "TRANSCRIPT" not in readme
    for licence in ("Apache-2.0", "BSD-3-Clause"):
        assert len(exported_files(archive, app.id, Choices(licence))["LICENSE"]) > 1000
    with pytest.raises(UserError, match="no licence"):
        Choices("GPL")


def test_the_picture_is_in_the_readme(archive: Archive, app: App) -> None:
    archive.save_thumb(app.id, b"RIFF....WEBP")
    files = exported_files(archive, app.id)
    assert files["screenshot.webp"] == b"RIFF....WEBP"
    assert "![What it looks like](screenshot.webp)" in files["README.md"].decode()


def test_no_text_of_a_person_or_model_is_in_a_file_that_something_runs(archive: Archive) -> None:
    evil = 'x"; RUN curl evil\n- run: evil\n```\n# evil <script>evil()</script> ${{ evil }}'
    app = built(archive, "web", {"index.html": b"<p>", "a $(evil).txt": b""}, **packages())
    checks = [{"name": evil, "steps": [{"see": evil}]}]
    verdict = Verdict("works", evil, (evil,), (evil,), evil)
    archive.save(
        replace(
            app, title=evil, idea=evil, model=evil, verdict=verdict,
            plan={"title": evil, "kind": "web", "summary": evil, "checks": checks},
            revisions=tuple(replace(r, verdict=verdict, request=evil) for r in app.revisions),
        )
    )  # fmt: skip
    files = exported_files(archive, app.id, Choices("MIT"))
    told = {"README.md", "TRANSCRIPT.md", "events.jsonl", "tests/checks.json", "a $(evil).txt"}
    for name in files.keys() - told:
        assert b"evil" not in files[name], name
    assert json.loads(files["tests/checks.json"])["checks"][0]["name"].startswith('x"; RUN')
    workflow = yaml.safe_load(files[".github/workflows/tests.yml"])
    assert len(workflow["jobs"]["tests"]["steps"]) == 5
    readme = files["README.md"].decode()
    assert "<script" not in readme
    assert "\n# evil" not in readme


def test_files_of_the_code_keep_their_names(archive: Archive) -> None:
    own = {"README.md": b"mine", "requirements.txt": b"numpy\n", "events.jsonl/x": b"",
           "main.py": b"", ".gitignore": b"*.x\n", "data": b"a file", "Dockerfile": b"FROM mine",
           "tests/test_mine.py": b""}  # fmt: skip
    app = built(archive, "script", own)
    files = exported_files(archive, app.id)
    assert {name: files[name] for name in own} == own
    assert sorted(files.keys() - own.keys()) == [
        ".github/workflows/tests.yml", "TRANSCRIPT.md", "vibe-README.md", "vibe-events.jsonl",
        "vibe-tests/checks.json", "vibe-tests/match.py", "vibe-tests/requirements.txt",
        "vibe-tests/test_script.py",
    ]  # fmt: skip
    readme = files["vibe-README.md"].decode()
    assert "vibe-events.jsonl" in readme
    assert "pytest vibe-tests" in readme
    assert "docker run" not in readme


def test_a_zip_is_the_same_bytes_each_time_and_safe_to_unpack(
    archive: Archive, app: App, tmp_path: Path
) -> None:
    one = export_zip(archive, app.id, tmp_path / "1.zip").read_bytes()
    two = export_zip(Archive(archive.root), app.id, tmp_path / "2.zip").read_bytes()
    assert one == two
    with zipfile.ZipFile(tmp_path / "1.zip") as bundle:
        for entry in bundle.infolist():
            assert not entry.filename.startswith(("/", "."), 0, 1) or entry.filename in (
                ".gitignore", ".dockerignore", ".github/workflows/tests.yml",
            )  # fmt: skip
            assert ".." not in entry.filename.split("/")
            assert entry.external_attr >> 16 == stat.S_IFREG | 0o644


def test_the_history_is_a_commit_a_revision(archive: Archive, app: App, tmp_path: Path) -> None:
    folder = export_git(archive, app.id, tmp_path / "sum")
    log = git(folder, "log", "--reverse", "--format=%s|%D").splitlines()
    assert log == [
        "Sum numbers ``` # of a file|tag: r1",
        "Also write the sum down|tag: r2",
        "Add README, tests and what else it takes to run without Vibe|HEAD -> main",
    ]
    assert git(folder, "log", "-1", "--format=%at", "r1") == "1735787045\n"
    again = export_git(Archive(archive.root), app.id, tmp_path / "again")
    assert git(again, "rev-parse", "main") == git(folder, "rev-parse", "main")
    shutil.rmtree(again)
    assert git(folder, "status", "--porcelain") == git(folder, "fsck", "--strict") == ""
    assert git(folder, "show", "--name-only", "--format=", "r1") == "old.txt\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gallery", "sum"]


def test_an_app_without_a_revision_is_exported_as_far_as_it_got(
    archive: Archive, tmp_path: Path
) -> None:
    bare = archive.create("Nothing came of it", kind="auto", model="m")
    assert sorted(exported_files(archive, bare.id)) == [
        ".gitignore", "README.md", "TRANSCRIPT.md", "events.jsonl",
    ]  # fmt: skip
    assert "Nothing: no build" in exported_files(archive, bare.id)["README.md"].decode()
    tried = archive.create("Something was tried", kind="web", model="m")
    archive.commit(tried.id, {"index.html": b"<p>"}, "attempt")
    folder = export_git(archive, tried.id, tmp_path / "tried")
    assert (folder / "index.html").read_bytes() == b"<p>"
    assert len(git(folder, "log", "--oneline").splitlines()) == 2


def test_what_is_there_already_is_not_overwritten(
    archive: Archive, app: App, tmp_path: Path
) -> None:
    path = tmp_path / "x.zip"
    path.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        export_zip(archive, app.id, path)
    assert path.read_text() == "mine"
    assert zipfile.is_zipfile(export_zip(archive, app.id, path, overwrite=True))
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UserError, match="exists already"):
        export_zip(archive, app.id, folder, overwrite=True)
    export_git(archive, app.id, folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(UserError, match="not empty"):
        export_git(archive, app.id, folder)
    assert sorted(folder.rglob("*")) == before
    for other in (path, tmp_path / "link"):
        if not other.exists():
            other.symlink_to(tmp_path / "nowhere")
        with pytest.raises(UserError, match="not a folder"):
            export_git(archive, app.id, other)


def test_an_export_that_fails_leaves_nothing(archive: Archive, app: App, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x", tmp_path / "missing" / "x"):
        with pytest.raises(UserError, match="choose another place"):
            export_zip(archive, app.id, place)
        with pytest.raises(UserError, match="choose another place"):
            export_git(archive, app.id, place)
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom vibe.archive import Archive\n"
        "from vibe.errors import UserError\nfrom vibe.export import export_git, export_zip\n"
        "archive, out = Archive(Path(sys.argv[1])), Path(sys.argv[2])\n"
        "archive.list()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"
        "for export in export_git, export_zip:\n"
        "    try: export(archive, sys.argv[3], out / 'x')\n"
        "    except UserError as error: print('disk is full' in str(error))\n"
    )
    out = tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(archive.root), str(out), app.id],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "True\nTrue\n"
    assert list(out.iterdir()) == []


def test_an_unknown_app_cannot_be_exported(archive: Archive, tmp_path: Path) -> None:
    for export in (export_git, export_zip):
        with pytest.raises(NoSuchApp):
            export(archive, "nope-123456", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_events_with_half_characters_can_be_exported(archive: Archive, tmp_path: Path) -> None:
    app = archive.create("Half \ud800", kind="web", model="m")
    archive.append(app.id, [Finished(status="failed", sentence="\udfff")], sync=True)
    files = exported_files(archive, app.id)
    assert json.loads(files["events.jsonl"])["sentence"] == "\udfff"
    export_zip(archive, app.id, tmp_path / "x.zip")
