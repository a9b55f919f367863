"""The command line without an engine: what it prints, how it exits, that docs/cli.md knows it."""

import argparse
import dataclasses
import io
import json
import re
import subprocess
import sys

import pytest

from vibe import events as ev
from vibe.app import App, Revision, Verdict
from vibe.archive import Archive
from vibe.changing import read_code
from vibe.cli import main, parser
from vibe.commands import read_data, secrets_for
from vibe.errors import UserError
from vibe.settings import ROOT
from vibe.telling import Passing, Teller

VERDICT = Verdict("works", "It runs.", ("it starts",), ("nobody checked the sums",))


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("VIBE_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.setenv("VIBE_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    return Archive(tmp_path / "gallery")


def made(archive, idea="a tip calculator", kind="script", files=None):
    """An app that was built once."""
    app = archive.create(idea, kind=kind, model="test")
    files = files or {"main.py": b"print('hello')\n"}
    commit = archive.commit(app.id, files, "r1")
    revision = Revision(1, idea, commit, 1, VERDICT, ev.now())
    archive.tag(app.id, 1, commit)
    archive.append(app.id, [ev.Requested(1, idea, kind, "test", "fix")], sync=True)
    app = App(
        **{
            name: getattr(app, name) for name in ("id", "title", "idea", "model", "created", "used")
        },
        kind=kind,
        status="ready",
        verdict=VERDICT,
        revisions=(revision,),
    )
    archive.save(app)
    return app


def vibe(*argv):
    """A command as a process of its own: what opens an engine and reads standard input."""
    return subprocess.run(
        [sys.executable, "-m", "vibe", *argv], capture_output=True, text=True, input=""
    )


def commands():
    """Each command's parser by name."""
    action = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return action.choices


def test_the_page_about_the_commands_names_them_all_and_their_options():
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    documented = set(re.findall(r"^### `vibe (\w+)", page, re.MULTILINE))
    assert documented == set(commands())
    for name, command in commands().items():
        section = re.split(r"^### ", page, flags=re.MULTILINE)
        text = next(part for part in section if part.startswith(f"`vibe {name}"))
        for action in command._actions:
            for option in action.option_strings[-1:]:
                assert option == "--help" or option in text, f"{name} {option}"


@pytest.mark.parametrize("argv", [[], ["bake"], ["export", "x"], ["new"], ["list", "--odd"]])
def test_a_command_that_makes_no_sense_exits_2(argv, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2


@pytest.mark.parametrize(
    "name", ["show", "run", "discard", "restore", "purge", "resume", "keep", "duplicate"]
)
def test_an_unknown_id_is_two_lines_and_exit_2(archive, capsys, name):
    assert main([name, "nothing"]) == 2
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "There is no app called 'nothing'.",
        "`vibe list` shows the gallery.",
    ]
    assert said.out == ""


@pytest.mark.parametrize(("idea", "words"), [(" ", "is empty"), ("x" * 20_000, "bytes long")])
def test_an_idea_that_is_none_is_refused_and_leaves_nothing(archive, idea, words):
    refused = vibe("new", idea)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert archive.list() == []


def test_an_unknown_kind_is_refused_with_the_kinds_there_are(archive):
    refused = vibe("new", "x", "--kind", "spreadsheet")
    assert refused.returncode == 2
    assert "streamlit" in refused.stderr


def test_running_without_an_engine_says_so_and_exits_3(archive):
    refused = vibe("run", made(archive).id)
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 2


def test_an_app_with_a_page_takes_no_arguments(archive, capsys):
    app = made(archive, kind="web", files={"index.html": b"<h1>x</h1>"})
    assert main(["run", app.id, "--", "--fast"]) == 2
    assert "takes no arguments" in capsys.readouterr().err


def test_the_list_is_readable_and_as_json_whole(archive, capsys):
    assert main(["list"]) == 0
    assert "Nothing here yet" in capsys.readouterr().err
    app = made(archive, "count \x1b[31mred\x1b[0m beans")
    assert main(["list"]) == 0
    line = capsys.readouterr().out
    assert line.startswith(app.id)
    assert "works" in line
    assert "\x1b" not in line
    assert main(["list", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["id"] == app.id
    assert record["verdict"]["state"] == "works"


def test_the_list_can_be_searched(archive, capsys):
    made(archive, "count red beans")
    wanted = made(archive, "draw a yellow lemon")
    main(["list", "--search", "lemon"])
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()] == [wanted.id]


def test_an_id_may_be_given_as_far_as_it_is_unique(archive, capsys):
    app = made(archive, "count red beans")
    assert main(["show", app.id[:5]]) == 0
    assert app.id in capsys.readouterr().out
    made(archive, "count red beans")
    assert main(["show", app.id[:5]]) == 2
    assert app.id in capsys.readouterr().err
    assert main(["show", app.id]) == 0


def test_show_gives_the_record_the_code_or_the_transcript(archive, capsys):
    app = made(archive)
    main(["show", app.id])
    assert "? nobody checked the sums" in capsys.readouterr().out
    main(["show", app.id, "--json"])
    assert json.loads(capsys.readouterr().out)["files"] == {"main.py": 15}
    main(["show", app.id, "--code"])
    assert "print('hello')" in capsys.readouterr().out
    main(["show", app.id, "--transcript"])
    assert "a tip calculator" in capsys.readouterr().out


def test_an_app_goes_to_the_trash_and_back_and_is_purged_with_a_receipt(archive, capsys):
    app = made(archive)
    assert main(["discard", app.id]) == 0
    assert main(["show", app.id]) == 2
    assert main(["list", "--trash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == app.id
    assert main(["restore", app.id]) == 0
    assert main(["purge", app.id]) == 2
    other = made(archive, "draw lemons")
    assert main(["discard", app.id, other.id]) == 0
    assert main(["purge"]) == main(["purge", app.id, "--all"]) == 2
    # In a process of its own: Docker's client leaves a socket open when nobody answers.
    receipt = vibe("purge", "--all").stdout
    assert "Docker doesn't answer" in receipt
    for gone in (app, other):
        assert f"{gone.id}: " in receipt
    assert archive.trash() == []


def test_an_app_moves_to_another_gallery_in_a_bundle(archive, tmp_path, capsys, monkeypatch):
    app = made(archive)
    monkeypatch.chdir(tmp_path)
    assert main(["export", app.id, "--bundle"]) == 0
    assert main(["export", app.id, "--bundle"]) == 2
    monkeypatch.setenv("VIBE_GALLERY", str(tmp_path / "other"))
    assert main(["import", f"{app.id}.vibe"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == app.id
    assert main(["duplicate", app.id]) == 0
    copy = capsys.readouterr().out.strip()
    assert main(["keep", copy]) == 0
    assert main(["list", "--kept", "--verdict", "works", "--kind", "script", "--json"]) == 0
    assert [a["id"] for a in json.loads(capsys.readouterr().out)] == [copy]
    assert main(["keep", copy, "--off"]) == 0
    assert "goes to the trash on" in capsys.readouterr().err
    (tmp_path / "bad.vibe").write_text("no zip")
    assert main(["import", str(tmp_path / "bad.vibe")]) == 2
    assert "Nothing of it was kept." in capsys.readouterr().err


def test_an_export_never_overwrites(archive, tmp_path, capsys):
    app = made(archive)
    zip_file, folder = tmp_path / "app.zip", tmp_path / "app"
    assert main(["export", app.id, "--zip", str(zip_file)]) == 0
    assert main(["export", app.id, "--git", str(folder)]) == 0
    assert (folder / "main.py").read_bytes() == b"print('hello')\n"
    assert main(["export", app.id, "--zip", str(zip_file)]) == 2
    assert main(["export", app.id, "--git", str(folder)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_data_is_read_from_files_and_folders(tmp_path):
    (tmp_path / "one.csv").write_text("1")
    (tmp_path / "more" / "deep").mkdir(parents=True)
    (tmp_path / "more" / "deep" / "two.csv").write_text("2")
    assert read_data([tmp_path / "one.csv", tmp_path / "more"]) == {
        "one.csv": b"1",
        "more/deep/two.csv": b"2",
    }
    with pytest.raises(UserError, match="no file called"):
        read_data([tmp_path / "none.csv"])
    with pytest.raises(UserError, match="Two of the files"):
        read_data([tmp_path / "one.csv", tmp_path / "one.csv"])


def test_data_too_large_to_attach_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(UserError, match="64 MB"):
        read_data([tmp_path / "huge"])


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_is_told_in_lines_that_nothing_in_them_can_steer():
    out = Terminal()
    teller = Teller(out, verbose=True)
    for event in (
        ev.Requested(1, "an idea\x1b[2J", "auto", "m", "fix"),
        ev.ReplyText("code \x1b]0;title\x07\u202e here"),
        ev.RungDone("start", False, "It ended\r\nat once.", "Trace\x9bback", 0.1),
        ev.Finished("failed", "It did not work.", "Try again."),
    ):
        teller.tell(event)
    told = out.getvalue()
    assert told.isprintable() or all(c.isprintable() or c == "\n" for c in told)
    assert "  ✗ It ended at once.\n" in told
    assert told.endswith("It did not work. Try again.\n")


def test_a_streamed_reply_is_dots_on_a_terminal_and_nothing_in_a_file():
    for out, dots in ((Terminal(), "....."), (io.StringIO(), "")):
        teller = Teller(out, verbose=False)
        for _ in range(10):
            teller.tell(ev.ReplyText("x" * 100))
        teller.tell(ev.Notice("Done."))
        assert out.getvalue().split("\n")[0].count(".") == len(dots) or not dots


def test_a_program_s_output_is_made_safe_for_a_terminal():
    out = Terminal()
    passing = Passing(out, out)
    passing("stdout", b"caf\xc3")
    passing("stdout", b"\xa9 \x1b[31mred\x1b[0m\n")
    assert out.getvalue() == "café red\n"


def test_every_event_can_be_told():
    teller = Teller(io.StringIO(), verbose=True)
    kinds = {str: "x", int: 1, float: 1.0, bool: True}
    for cls in ev.TYPES.values():
        values = {}
        for name, hint in ev.typing.get_type_hints(cls).items():
            origin = ev.typing.get_origin(hint) or hint
            values[name] = kinds.get(origin, {dict: {}, list: []}.get(origin, "stdout"))
        teller.tell(cls(**values))


def test_the_module_runs_as_the_command():
    assert vibe("--version").stdout.startswith("vibe ")


def test_the_last_two_revisions_are_compared_and_undo_brings_the_first_back(
    archive, capsys, monkeypatch
):
    app = made(archive)
    first = app.revisions[0]
    commit = archive.commit(app.id, {"main.py": b"print('bye')\n"}, "r2")
    archive.tag(app.id, 2, commit)
    second = dataclasses.replace(first, number=2, commit=commit, request="say bye")
    archive.save(dataclasses.replace(app, revisions=(first, second)))
    assert main(["diff", app.id]) == 0
    told = capsys.readouterr().out
    assert "-print('hello')\n+print('bye')\n" in told
    assert main(["diff", app.id, "r2", "1"]) == 0
    assert "-print('bye')\n+print('hello')\n" in capsys.readouterr().out
    assert main(["diff", app.id, "r2", "r7"]) == 2
    assert "r1, r2" in capsys.readouterr().err
    assert main(["undo", app.id]) == 0
    assert main(["undo", app.id]) == 2
    assert main(["restore", app.id, "--to", "r2"]) == 0
    assert [(r.number, r.way) for r in archive.load(app.id).revisions] == [
        (1, "asked"),
        (2, "asked"),
        (3, "undone"),
        (4, "restored"),
    ]
    assert archive.files(app.id, "r4") == {"main.py": b"print('bye')\n"}
    assert main(["restore", app.id, "--to", "../x"]) == 2


def test_a_folder_of_code_is_read_without_what_isn_t_code(tmp_path):
    folder = tmp_path / "code"
    for name in ("main.py", "lib/deep.py", ".git/config", ".env", "__pycache__/x.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "link.py").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to("/etc")
    assert read_code(folder, 100) == {"main.py": b"main.py", "lib/deep.py": b"lib/deep.py"}
    with pytest.raises(UserError, match="more than 10 bytes"):
        read_code(folder, 10)
    with pytest.raises(UserError, match="no folder"):
        read_code(folder / "main.py", 100)


def test_an_edit_from_a_folder_is_a_revision_also_without_an_engine(archive, tmp_path):
    app = made(archive)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "main.py").write_text("print('mine')\n")
    edited = vibe("edit", app.id, "--from", str(folder))
    assert edited.returncode == 1, "it was never run"
    assert "there is no sandbox to run it in" in edited.stdout
    last = archive.load(app.id).revisions[-1]
    assert (last.number, last.way, last.model) == (2, "edited", "you")
    assert archive.files(app.id, "r2") == {"main.py": b"print('mine')\n"}
    (folder / "main.py").rename(folder / "other.py")
    refused = vibe("edit", app.id, "--from", str(folder))
    assert refused.returncode == 2
    assert "main.py is missing" in refused.stderr


def test_hosts_are_allowed_shown_and_taken_back(archive, capsys):
    app = made(archive)
    assert main(["allow", app.id, "API.example.com", "b.example.com:8443"]) == 0
    assert "May reach api.example.com and b.example.com:8443." in capsys.readouterr().err
    assert main(["show", app.id]) == 0
    assert "Reaches   api.example.com, b.example.com:8443" in capsys.readouterr().out
    assert main(["allow", app.id, "--none"]) == 0
    assert "No network." in capsys.readouterr().err
    assert archive.load(app.id).hosts == ()
    assert main(["show", app.id]) == 0
    assert "Reaches" not in capsys.readouterr().out


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1"], ["*"], ["a.example.com", "--none"]])
def test_what_can_t_be_allowed_is_refused_and_changes_nothing(archive, capsys, hosts):
    app = made(archive)
    assert main(["allow", app.id, *hosts]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert archive.load(app.id) == app


def test_a_secret_comes_from_the_environment_and_never_from_an_argument(archive):
    app = dataclasses.replace(made(archive), hosts=("api.example.com",), secrets=("OLD_KEY",))
    environ = {"WEATHER_KEY": "weather-0123456789", "OLD_KEY": "not-asked-for-1"}
    found = secrets_for(app, ["WEATHER_KEY"], environ)
    assert found == {"WEATHER_KEY": "weather-0123456789"}
    with pytest.raises(UserError, match="no value for OTHER_KEY"):
        secrets_for(app, ["OTHER_KEY"], environ)
    with pytest.raises(UserError, match="steers programs"):
        secrets_for(app, ["LD_PRELOAD"], {"LD_PRELOAD": "/x/y/z.so.1"})
    with pytest.raises(UserError, match="reach no host"):
        secrets_for(dataclasses.replace(app, hosts=()), ["WEATHER_KEY"], environ)
