"""The settings, and the file that they are written to."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vibe import settings_file
from vibe.errors import UserError
from vibe.settings import Limits, load

FILE = """\
# models of mine
model: small   # the fast one

limits:
  attempts: 3

# looked for nowhere else
local_models: false
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "settings.yaml").write_text(FILE)
    return {"VIBE_SETTINGS": str(tmp_path / "settings.yaml")}


def test_what_is_changed_is_loaded_the_next_time(environ):
    settings_file.change(
        {"model": "big", "limits": {"calls": 9}, "prices": {"big": {"prompt": 1, "completion": 2}}},
        environ,
    )
    settings = load(environ)
    assert settings.model == "big"
    assert settings.limits == Limits(calls=9)
    assert settings.prices == {"big": {"prompt": 1, "completion": 2}}
    assert settings.local_models is False


def test_comments_and_order_of_what_is_not_changed_stay(environ, tmp_path):
    settings_file.change({"limits": {"attempts": 4}, "trash_days": 3}, environ)
    text = (tmp_path / "settings.yaml").read_text()
    assert text == FILE.replace("attempts: 3", "attempts: 4") + "trash_days: 3\n"


def test_none_takes_a_value_out_so_that_its_default_holds(environ, tmp_path):
    settings_file.change({"model": None, "local_models": None}, environ)
    assert yaml.safe_load((tmp_path / "settings.yaml").read_text()) == {"limits": {"attempts": 3}}
    assert load(environ).local_models is True


@pytest.mark.parametrize(
    "text", ["", "{model: small, port: 1}\n", "model: small", "---\nport: 1\n"]
)
def test_any_form_of_file_is_changed_to_the_same_effect(environ, tmp_path, text):
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    before = yaml.safe_load(text) or {}
    settings_file.change({"model": "other: one"}, environ)
    assert yaml.safe_load(file.read_text()) == {**before, "model": "other: one"}


def test_a_file_and_its_folder_are_made_when_there_are_none(tmp_path):
    environ = {"VIBE_SETTINGS": str(tmp_path / "new" / "settings.yaml")}
    settings_file.change({"expiry_days": 10}, environ)
    assert load(environ).expiry_days == 10
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["settings.yaml"]


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": {"attempts": 0}},
        {"limits": {"attempts": 2.5}},
        {"limits": {"seconds": "long"}},
        {"limits": {"patience": 1}},
        {"prices": {"m": {"prompt": -1, "completion": 0}}},
        {"prices": {"m": {"prompt": 1}}},
        {"roles": {"poet": "m"}},
        {"autonomy": "always"},
        {"expiry_days": -1},
        {"no_such_setting": 1},
        {"api_key": "sk-secret"},
    ],
)
def test_what_can_not_be_used_is_refused_and_changes_nothing(environ, tmp_path, changes):
    with pytest.raises(UserError):
        settings_file.change({"model": "big", **changes}, environ)
    assert (tmp_path / "settings.yaml").read_text() == FILE


def test_what_the_environment_gives_is_not_written(environ, tmp_path):
    environ["VIBE_MODEL"] = "from outside"
    with pytest.raises(UserError, match="VIBE_MODEL"):
        settings_file.change({"model": "big"}, environ)
    assert (tmp_path / "settings.yaml").read_text() == FILE
    assert load(environ).model == "from outside"


def test_each_value_says_where_it_comes_from(environ):
    environ["OPENAI_API_KEY"] = "sk-secret"
    origins = settings_file.origins(environ)
    assert origins["model"] == "the settings file"
    assert origins["api_key"] == "the environment (OPENAI_API_KEY)"
    assert origins["port"] == "default"


def test_a_disk_that_refuses_is_told_in_a_sentence(environ, tmp_path):
    (tmp_path / "not-a-folder").write_text("")
    environ["VIBE_SETTINGS"] = str(tmp_path / "not-a-folder" / "settings.yaml")
    with pytest.raises(UserError):
        settings_file.change({"model": "big"}, environ)


def test_an_engine_that_nobody_knows_is_refused(environ):
    assert load(environ | {"VIBE_ENGINE": "bubblewrap"}).engine == "bubblewrap"
    with pytest.raises(UserError, match="podman") as caught:
        load(environ | {"VIBE_ENGINE": "podman"})
    assert "auto, docker, bubblewrap" in caught.value.fix
