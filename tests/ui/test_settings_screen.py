"""The Settings page over a real studio: what it shows, what it saves, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from tests.ui.conftest import texts
from vibe.settings import load
from vibe.ui.bridge import Bridge

Screen = Callable[..., AppTest]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of this test; nothing else is set in the environment."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "VIBE_MODEL", "VIBE_AUTONOMY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "settings.yaml"
    path.write_text("# mine\nlocal_models: false\n")
    monkeypatch.setenv("VIBE_SETTINGS", str(path))
    return path


def labelled(elements, label: str):
    """The one widget of that label."""
    (found,) = [element for element in elements if element.label == label]
    return found


def part(screen: Screen, name: str) -> AppTest:
    page = screen("settings")
    page.segmented_control(key="part").set_value(name).run()
    assert not page.exception
    return page


def press(page: AppTest, label: str) -> AppTest:
    labelled(page.button, label).click().run()
    assert not page.exception
    return page


def test_every_finding_has_its_state_in_words(vibe: Bridge, file: Path, screen: Screen) -> None:
    shown = texts(screen("settings"))
    for name in ("Python", "Engine", "Model", "Names", "Port", "Gallery", "Disk"):
        assert f"**{name}**" in shown
    assert "Fine" in shown


def test_limits_that_are_saved_hold_for_the_next_build(
    vibe: Bridge, file: Path, screen: Screen
) -> None:
    page = part(screen, "limits")
    labelled(page.number_input, "Attempts").set_value(2)
    labelled(page.number_input, "Money").set_value(0.5)
    press(page, "Save limits")
    assert "Saved" in page.success[0].value
    assert vibe.settings.limits.attempts == 2
    assert vibe.settings.limits.money == 0.5
    assert load().limits == vibe.settings.limits
    assert file.read_text().startswith("# mine\n")
    press(page, "Usual limits again")
    assert "limits" not in yaml.safe_load(file.read_text())
    assert vibe.settings.limits.attempts == 5


def test_habits_that_are_saved_are_in_the_file(vibe: Bridge, file: Path, screen: Screen) -> None:
    page = part(screen, "limits")
    labelled(page.number_input, "Days until an unused app goes to the trash").set_value(3)
    labelled(page.number_input, "Boxes that stand ready").set_value(0)
    press(page, "Save habits")
    saved = {"local_models": False, "expiry_days": 3, "warm_boxes": 0}
    assert yaml.safe_load(file.read_text()) == saved


def test_models_and_prices_are_saved_and_a_key_is_never_shown(
    vibe: Bridge, file: Path, screen: Screen
) -> None:
    page = part(screen, "models")
    assert "not set" in texts(page)
    labelled(page.text_input, "Endpoint's address").set_value("http://127.0.0.1:9/v1")
    press(page, "Save models")
    assert vibe.settings.base_url == "http://127.0.0.1:9/v1"
    vibe.change_settings({"model": "tiny *one*", "roles": {"stronger": "big"}})
    page.run()
    labelled(page.number_input, r"big: asked").set_value(0.25)
    press(page, "Save prices")
    assert load().prices == {"big": {"prompt": 0.25, "completion": 0.0}}
    press(page, "Test stronger")
    assert page.error


def test_what_the_environment_gives_is_shown_as_such_and_not_editable(
    vibe: Bridge, file: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIBE_AUTONOMY", "ask")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    page = part(screen, "limits")
    field = labelled(page.selectbox, "When something breaks")
    assert field.disabled
    assert "VIBE_AUTONOMY" in field.help
    press(page, "Save habits")
    assert "autonomy" not in file.read_text()
    page = part(screen, "sources")
    rows = page.table[0].value.to_dict("records")
    origins = {row["Setting"].replace("\\", ""): row["From"] for row in rows}
    assert "VIBE" in origins["autonomy"]
    assert "settings file" in origins["local_models"]
    assert "sk-secret" not in str(rows)


def test_a_file_that_can_not_be_written_is_told_and_nothing_changes(
    vibe: Bridge, file: Path, screen: Screen
) -> None:
    page = part(screen, "limits")
    file.write_text("colour: mauve\n")
    labelled(page.number_input, "Attempts").set_value(2)
    press(page, "Save limits")
    assert page.error
    assert vibe.settings.limits.attempts == 5
    assert file.read_text() == "colour: mauve\n"


def test_a_clean_up_says_what_would_go_before_anything_does(
    vibe: Bridge, file: Path, screen: Screen
) -> None:
    app = vibe.create("take your time, then say hello")
    vibe.stop(app.id)
    page = part(screen, "disk")
    press(page, "Clean up apps")
    assert any(app.title in code.value for code in page.code)
    assert labelled(page.button, "Move to the trash")
    assert vibe.archive.load(app.id), "nothing has gone yet"
