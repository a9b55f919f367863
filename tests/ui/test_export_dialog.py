"""The export dialog: what a person chooses is what comes out, and a push says what it did."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import made, texts
from vibe.bundle import export_bundle, import_bundle
from vibe.sandbox.lock import Lock, Pin
from vibe.ui.bridge import Bridge


def opened(app_id: str) -> AppTest:
    def screen(app_id: str) -> None:
        from vibe.ui import dialogs
        from vibe.ui.bridge import studio

        dialogs.export(studio().archive.load(app_id))

    page = AppTest.from_function(screen, kwargs={"app_id": app_id}, default_timeout=60).run()
    assert not page.exception
    return page


def downloads(page: AppTest) -> set[str]:
    return {button.proto.label for button in page.get("download_button")}


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_an_app_goes_into_a_folder_and_to_a_remote_as_chosen(
    vibe: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    there = tmp_path / "there.git"
    subprocess.run(["git", "init", "-q", "--bare", str(there)], check=True)
    page = opened(made(vibe, revisions=2).id)
    assert {"Zip", "One file"} <= downloads(page)
    page.selectbox(key="export_licence").select("MIT").run()
    page.checkbox(key="export_transcript").uncheck().run()

    page.text_input(key="export_folder").input(str(tmp_path / "folder")).run()
    page.button(key="export_git").click().run()
    assert "Written to" in texts(page)
    assert (tmp_path / "folder" / "LICENSE").is_file()
    assert not (tmp_path / "folder" / "TRANSCRIPT.md").exists()

    assert page.button(key="export_create").disabled
    page.text_input(key="export_remote").input(str(there)).run()
    page.button(key="export_push").click().run()
    assert "Pushed to the branch main." in texts(page)
    assert "LICENSE" in git(there, "ls-tree", "--name-only", "main")
    page.button(key="export_push").click().run()
    assert "has it all already" in texts(page)


def test_a_push_that_is_refused_says_why(vibe: Bridge) -> None:
    page = opened(made(vibe).id)
    page.text_input(key="export_remote").input("ext::sh -c evil").run()
    page.button(key="export_push").click().run()
    assert not page.exception
    assert "Addresses look like" in "".join(str(error.value) for error in page.error)


def test_a_server_app_is_offered_as_a_repository_only(vibe: Bridge) -> None:
    page = opened(made(vibe, kind="flask").id)
    assert "Zip" in downloads(page)
    assert "One file" not in downloads(page)


def test_packages_go_with_a_bundle_when_the_person_says_so(vibe: Bridge, tmp_path: Path) -> None:
    wheel = b"PK hat"
    pin = Pin("hat", "1.0", (hashlib.sha256(wheel).hexdigest(),))
    text = Lock("3.11", "x86_64", ("hat",), (pin,)).text.encode()
    archive, app = vibe.archive, made(vibe)
    assert "bundle_packages" not in {toggle.key for toggle in opened(app.id).toggle}
    commit = archive.commit(app.id, {"main.py": b"import hat\n", "requirements.lock": text}, "a")
    archive.save(replace(app, revisions=(replace(app.revisions[-1], commit=commit),)))

    page = opened(app.id)
    page.toggle(key="bundle_packages").set_value(True).run()
    assert "docker" in texts(page), "nobody can fetch them without an engine"

    # One that came with its packages has them to give.
    packed = {"hat-1.0-py3-none-any.whl": wheel}
    bundle = export_bundle(archive, app.id, tmp_path / "hat.vibe", packages=packed)
    came = import_bundle(archive, bundle)
    page = opened(came.id)
    page.toggle(key="bundle_packages").set_value(True).run()
    assert "1 package, 0.0 MB" in texts(page)
    assert "docker" not in texts(page)
