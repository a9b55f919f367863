"""The command line as a person uses it, with real boxes and the starters."""

import json
import os
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest

from vibe.archive import Archive

pytestmark = pytest.mark.docker


@pytest.fixture
def vibe(tmp_path):
    """Runs a command of `vibe` to its end, without any model."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env |= {
        "VIBE_GALLERY": str(tmp_path / "gallery"),
        "VIBE_SETTINGS": str(tmp_path / "settings.yaml"),
    }

    def run(*argv, start=False, **options):
        command = [sys.executable, "-m", "vibe", *argv]
        if start:
            return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, **options)
        return subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=180, **options
        )

    return run


def test_an_idea_becomes_a_script_that_runs_with_arguments_and_input(vibe, tmp_path):
    built = vibe("new", "inspect a log file for errors", "--kind", "script", "--json")
    lines = [json.loads(line) for line in built.stdout.splitlines()]
    assert built.returncode == 0, built.stderr
    assert lines[0]["type"] == lines[-1]["type"] == "App"
    assert lines[-2]["type"] == "Finished"
    assert lines[-1]["app"]["status"] == "ready"
    app_id = lines[0]["app"]["id"]

    helped = vibe("run", app_id, "--", "--help")
    assert helped.returncode == 0
    assert "usage" in helped.stdout.lower()
    wrong = vibe("run", app_id, "--", "--no-such-option", input="")
    assert wrong.returncode == 2
    assert wrong.stderr


def test_an_app_with_a_page_is_served_until_it_is_stopped(vibe, tmp_path):
    built = vibe("new", "a tip calculator", "--kind", "web")
    assert built.returncode == 0, built.stderr
    (app,) = Archive(tmp_path / "gallery").list()
    assert f"vibe run {app.id}" in built.stdout

    served = vibe("run", app.id, start=True)
    url = urlsplit(served.stdout.readline().strip())
    answer = httpx.get(
        f"http://127.0.0.1:{url.port}/", headers={"host": url.netloc}, trust_env=False
    )
    assert answer.status_code == 200
    assert "<html" in answer.text
    served.send_signal(signal.SIGINT)
    assert served.wait(30) == 0
    served.stdout.close()


def test_a_build_that_is_interrupted_can_be_resumed(vibe, tmp_path):
    building = vibe("new", "a tip calculator", start=True)
    app_id = building.stdout.readline().strip()
    building.send_signal(signal.SIGTERM)
    assert building.wait(20) == 128 + signal.SIGTERM
    building.stdout.close()
    assert Archive(tmp_path / "gallery").load(app_id).status in ("stopped", "interrupted")
    resumed = vibe("resume", app_id)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


def test_an_idea_that_no_starter_fits_fails_and_says_how_to_connect_a_model(vibe):
    built = vibe("new", "translate whale songs into sonnets")
    assert built.returncode == 1
    assert "OPENAI_API_KEY" in built.stdout
