"""What setting up decides: which recipe an image has, what mends a missing engine, what a build
is told, and what a person reads when a program fails."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from vibe import setup
from vibe.errors import EngineFault
from vibe.sandbox import builder, daemon, programs
from vibe.sandbox.daemon import Machine
from vibe.sandbox.images import IMAGES, base_tag, recipe
from vibe.settings import SANDBOXES

FRESH = Machine(linux=True, root=True, debian=True, systemd=False, dockerd=None, remote=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the recipes that a test may change."""
    return Path(shutil.copytree(SANDBOXES, tmp_path / "sandboxes"))


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_keeps_its_name_while_nothing_in_its_recipe_changes(image, folder: Path) -> None:
    assert recipe(image, folder).tag == recipe(image).tag
    (folder / "policy.yaml").write_text("the policy is no part of an image")
    assert recipe(image, folder).tag == recipe(image).tag


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_gets_another_name_when_anything_in_its_recipe_changes(
    image, folder: Path
) -> None:
    before = recipe(image, folder)
    for path in (before.dockerfile, *before.files, folder / "debian-base.sh"):
        content = path.read_bytes()
        path.write_bytes(content + b"\n# changed\n")
        assert recipe(image, folder).tag != before.tag, path.name
        path.write_bytes(content)


@pytest.mark.parametrize("image", IMAGES)
def test_every_file_that_a_dockerfile_copies_is_in_its_recipe(image) -> None:
    wanted = recipe(image)
    copies = [
        line.split()[1:-1]
        for line in wanted.dockerfile.read_text().splitlines()
        if line.startswith("COPY") and "--from" not in line
    ]
    copied = {name for names in copies for name in names} - {"ca.pem"}
    assert copied == {path.name for path in wanted.files}


def test_a_changed_base_script_makes_another_base(folder: Path) -> None:
    assert base_tag(folder) == base_tag()
    with (folder / "debian-base.sh").open("a") as script:
        script.write("# changed\n")
    assert base_tag(folder) != base_tag()


def test_root_on_a_fresh_debian_gets_docker_installed_and_started() -> None:
    assert daemon.remedy_for(FRESH, "no such file or directory").steps == ("install", "start")


def test_root_with_docker_installed_gets_it_started() -> None:
    machine = replace(FRESH, dockerd="/usr/sbin/dockerd")
    assert daemon.remedy_for(machine, "connection refused").steps == ("start",)


@pytest.mark.parametrize(
    ("machine", "why_not", "told"),
    [
        (replace(FRESH, root=False), "connection refused", "apt-get install -y"),
        (replace(FRESH, root=False), "permission denied", "usermod -aG docker"),
        (replace(FRESH, root=False, dockerd="/usr/sbin/dockerd"), "refused", "sudo dockerd"),
        (
            replace(FRESH, root=False, dockerd="/usr/sbin/dockerd", systemd=True),
            "refused",
            "sudo systemctl start docker",
        ),
        (replace(FRESH, debian=False), "no such file or directory", "Install Docker Engine"),
        (replace(FRESH, linux=False, debian=False), "refused", "Docker Desktop"),
        (replace(FRESH, remote=True), "refused", "DOCKER_HOST"),
    ],
)
def test_where_vibe_may_not_mend_it_the_person_is_told_what_to_type(
    machine: Machine, why_not: str, told: str
) -> None:
    remedy = daemon.remedy_for(machine, why_not)
    assert remedy.steps == ()
    assert told in remedy.fix


def test_an_engine_that_is_not_there_is_refused_with_a_fix_and_nothing_is_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    steps: list[setup.Step] = []
    with pytest.raises(EngineFault) as caught:
        setup.setup(steps.append)
    assert "connection refused" in caught.value.message
    assert "DOCKER_HOST" in caught.value.fix
    ended = [(step.name, step.state) for step in steps if step.state != "running"]
    assert ended == [("libraries", "done"), ("engine", "failed")]


def test_a_build_is_told_the_index_and_the_proxies_of_the_environment_and_nothing_else() -> None:
    told = builder.build_arguments(
        {
            "PIP_INDEX_URL": "https://index.example/simple",
            "UV_INDEX_URL": "",
            "https_proxy": "http://proxy.example:3128",
            "NO_PROXY": ".example",
            "OPENAI_API_KEY": "not for a build",
        }
    )
    assert told == {
        "PIP_INDEX_URL": "https://index.example/simple",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": ".example",
        "no_proxy": ".example",
    }


def test_a_build_trusts_the_bundle_that_the_environment_names(tmp_path: Path) -> None:
    bundle = tmp_path / "company.pem"
    bundle.write_bytes(b"a certificate")
    assert builder.ca_bundle({"SSL_CERT_FILE": str(bundle)}) == b"a certificate"
    missing = {"SSL_CERT_FILE": str(tmp_path / "nowhere"), "PIP_CERT": str(bundle)}
    assert builder.ca_bundle(missing) == b"a certificate"


def test_a_failed_program_is_told_with_its_last_lines_and_how_to_run_it() -> None:
    script = "for i in $(seq 100); do echo line $i; done; echo broken >&2; exit 7"
    with pytest.raises(EngineFault) as caught:
        programs.run(["sh", "-c", script], "Trying it")
    assert caught.value.message.startswith("Trying it failed at 'exit 7':")
    assert "line 100\n    broken" in caught.value.message
    assert "line 50\n" not in caught.value.message
    assert caught.value.fix.startswith("Run `sh -c ")


def test_a_missing_program_is_told_in_one_sentence() -> None:
    with pytest.raises(EngineFault, match=r"Trying it failed: .*no-such-program"):
        programs.run(["no-such-program"], "Trying it")


def test_the_console_says_each_step_in_one_line_with_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    report = setup.console()
    report(setup.Step("engine", "running", "starting Docker", 0.0))
    report(setup.Step("engine", "done", "Docker 20.10", 12.34))
    programs.run(["echo", "for the log only"], "Echoing")
    for handler in programs.log.handlers:
        handler.close()
    programs.log.handlers.clear()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "✓ engine         12.3 s  Docker 20.10"
    assert "starting Docker" in lines[0]
    assert len(lines) == 2
    assert "for the log only" in (tmp_path / "vibe" / "setup.log").read_text()


def test_only_one_setup_works_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import threading

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    said: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with setup._alone(said.append):
            entered.set()

    with setup._alone(said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
        assert said == ["waiting for another setup to end"]
    thread.join(5)
    assert entered.is_set()


def test_system_folders_are_searched_even_if_a_user_has_not_got_them_in_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert programs.search_path().split(os.pathsep)[-2:] == ["/usr/sbin", "/sbin"]
