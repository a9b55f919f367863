"""Planted secrets: what Vibe knows, or what has the shape of a key, leaves by none of its doors."""

import json
import logging
import zipfile
from dataclasses import replace

import pytest
from server import ModelServer, refuses, streams

from tests.scripted import code, plan
from vibe import settings as settings_
from vibe.archive import Archive
from vibe.bundle import export_bundle, import_bundle
from vibe.errors import UserError
from vibe.events import Output
from vibe.export import export_git, export_zip, transcript_html
from vibe.redaction import MASK, environment_secrets, redact
from vibe.remotes import refuse_secrets
from vibe.repository import Repository
from vibe.studio import Studio

# Put together here, so that no scanner takes this file for a leak.
KEY = "sk-" + "vibe-0123456789abcdefghij"
PASSWORD = "Tr0ub4dor" + "-and-3"
TYPED = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
PLANTED = (KEY, PASSWORD, TYPED)


def environment(server, folder):
    return {
        "VIBE_SETTINGS": "/none",
        "VIBE_GALLERY": str(folder / "gallery"),
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": KEY,
        "REPORTS_DB_PASSWORD": PASSWORD,
    }


def every_byte(folder):
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def every_commit(repository):
    """All that a repository's history holds, unpacked."""
    return b"\n".join(
        commit.message.encode() + b"\n" + b"\n".join(repository.files(commit.id).values())
        for commit in repository.log()
    )


async def test_no_planted_secret_reaches_prompt_gallery_log_or_export(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    idea = f"A script that prints hello; use {TYPED}, {PASSWORD} and {KEY} for it"
    reply = (
        f"I use {PASSWORD[:5]}",
        f"{PASSWORD[5:]} and {TYPED}.\n\n"
        + code(main_py=f"PASSWORD = {PASSWORD!r}\nKEY = {KEY!r}\nprint('hello')"),
    )
    attached = f"name,note\nAda,{PASSWORD}\n".encode()
    async with ModelServer(streams(plan("script", "Hello")), streams(*reply)) as server:
        chosen = settings_.load(environment(server, tmp_path))
        async with Studio(chosen, None) as studio:
            app = await studio.create(idea, data={"people.csv": attached})
            await studio.wait(app.id)
            assert len(server.asked) >= 2
            asked = json.dumps([exchange.body for exchange in server.asked])
            studio.archive.append(app.id, [Output(stream="stdout", text=f"{KEY}\n")], sync=True)
            bundle = export_zip(studio.archive, app.id, tmp_path / "app.zip")
            folder = export_git(studio.archive, app.id, tmp_path / "app-git")
            page = transcript_html(studio.archive, app.id)
            assert studio.archive.files(app.id)["main.py"].count(MASK.encode()) == 2
            assert studio.archive.data(app.id) == {"people.csv": attached}

    with zipfile.ZipFile(bundle) as archive:
        zipped = b"\n".join(
            archive.read(name) for name in archive.namelist() if name != "data/people.csv"
        )
    history = every_commit(Repository(folder)).replace(attached, b"")
    code_history = every_commit(Repository(tmp_path / "gallery" / app.id / "code"))
    gallery = every_byte(tmp_path / "gallery").replace(attached, b"")
    doors = {
        "prompt": asked.encode(), "gallery": gallery, "code": code_history, "zip": zipped,
        "git": history, "page": page.encode(), "log": caplog.text.encode(),
    }  # fmt: skip
    for door, content in doors.items():
        for secret in PLANTED:
            assert secret.encode() not in content, f"{secret[:4]}… got out by the {door}"
    for door in ("prompt", "gallery", "code", "zip", "git", "page"):
        assert MASK.encode() in doors[door], f"the {door} should show that something was masked"
    # What the user attached is theirs, and stays as it is; it is pushed nowhere.
    with pytest.raises(UserError, match=r"people\.csv"):
        refuse_secrets(Repository(folder), chosen.known_secrets)


async def test_an_endpoint_that_repeats_the_key_is_quoted_without_it(tmp_path):
    async with ModelServer(refuses(400, f"Wrong key {KEY} ({PASSWORD})")) as server:
        chosen = settings_.load(environment(server, tmp_path))
        async with Studio(chosen, None) as studio:
            app = await studio.create("A script")
            ended = await studio.wait(app.id)
    told = str(ended) + every_byte(tmp_path / "gallery").decode("utf-8", "replace")
    assert "Wrong key" in told
    assert KEY not in told
    assert PASSWORD not in told


def test_the_environment_s_secrets_are_known_by_name_and_by_address():
    found = environment_secrets(
        {
            "DB_PASSWORD": PASSWORD,
            "GITHUB_TOKEN": "abcdefgh-12345",
            "AWS_SECRET_ACCESS_KEY": "a" * 40,
            "DATABASE_URL": "postgres://ada:s3cret-pass@db.example/reports",
            "SESSION_SECRET_2": "12ab34cd56",
            "SSH_AUTH_SOCK": "/run/user/1000/keyring/ssh",
            "SSL_KEY": "/etc/ssl/private.pem",
            "API_TOKEN": "disabled",
            "MAX_TOKEN": "40000000",
            "KEYBOARD": "german-layout-105",
            "EMPTY_SECRET": "",
        }
    )
    assert set(found) == {
        PASSWORD, "abcdefgh-12345", "a" * 40, "s3cret-pass", "12ab34cd56",
    }  # fmt: skip
    assert redact(f"x {PASSWORD} y", found) == f"x {MASK} y"


def test_settings_never_show_what_they_know(tmp_path):
    chosen = settings_.load({"VIBE_SETTINGS": "/none", "A_TOKEN": "abc-123-def", **{"B": "1"}})
    chosen = replace(chosen, api_key=KEY)
    assert chosen.known_secrets == (KEY, "abc-123-def")
    assert "abc-123-def" not in repr(chosen)
    assert KEY not in repr(chosen)
    assert "secrets" not in settings_.from_environment({})


def test_code_with_the_pattern_of_a_key_stays_as_it_is(tmp_path):
    archive = Archive(tmp_path, secrets=[PASSWORD])
    app = archive.create("Find keys", kind="script", model="m")
    program = f"SAMPLE = {TYPED!r}\n".encode()
    archive.commit(app.id, {"main.py": program}, "Look for keys")
    assert archive.files(app.id)["main.py"] == program


async def test_a_secret_that_was_given_to_an_app_leaves_by_no_door_either(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    given = "weather-" + "Zk3-key-9981"
    reply = (
        f"It has {given[:6]}",
        f"{given[6:]} in it.\n\n" + code(main_py=f"KEY = {given!r}\nprint('hello')"),
    )
    first = code(main_py="print('hello')")
    async with ModelServer(
        streams(plan("script", "Hello")), streams(first), streams(plan("script", "Hello")),
        streams(*reply),
    ) as server:  # fmt: skip
        chosen = settings_.load(environment(server, tmp_path))
        async with Studio(chosen, None) as studio:
            app = await studio.create("A script that prints hello")
            await studio.wait(app.id)
            await studio.allow(app.id, ["api.example.com"])
            await studio.give(app.id, "WEATHER_KEY", given)
            # what a person or a program might do with it by mistake
            await studio.change(app.id, f"use {given} as its key")
            await studio.wait(app.id)
            studio.archive.append(
                app.id,
                [Output(stream="stdout", text=given[:9]), Output(stream="stdout", text=given[9:])],
                sync=True,
            )
            studio.previews.troubles.add(app.id, 1, f"It failed with {given}", f"KeyError: {given}")
            troubles = str(studio.troubles(app.id))
            asked = json.dumps([exchange.body for exchange in server.asked])
            zipped = export_zip(studio.archive, app.id, tmp_path / "app.zip")
            folder = export_git(studio.archive, app.id, tmp_path / "app-git")
            page = transcript_html(studio.archive, app.id)
            bundle = export_bundle(studio.archive, app.id, tmp_path / "app.vibe")
            record = studio.archive.load(app.id)
            assert record.secrets == ("WEATHER_KEY",)
            assert studio.granted(record).variables == ("WEATHER_KEY",)
            assert given not in repr(studio.granted(record)) + repr(studio.settings)

            imported = import_bundle(studio.archive, bundle)
            assert (imported.hosts, imported.secrets) == ((), ())
            with zipfile.ZipFile(bundle) as archive:
                assert b"api.example.com" not in archive.read("app.json")
    doors = {
        "prompt": asked.encode(), "gallery": every_byte(tmp_path / "gallery"),
        "code": every_commit(Repository(tmp_path / "gallery" / app.id / "code")),
        "git": every_commit(Repository(folder)), "page": page.encode(),
        "log": caplog.text.encode(), "troubles": troubles.encode(),
    }  # fmt: skip
    for name, path in (("zip", zipped), ("bundle", bundle)):
        with zipfile.ZipFile(path) as archive:
            doors[name] = b"\n".join(map(archive.read, archive.namelist()))
    for door, content in doors.items():
        assert given.encode() not in content, f"it got out by the {door}"
    for door in ("prompt", "gallery", "code", "page", "troubles"):
        assert MASK.encode() in doors[door], f"the {door} should show that something was masked"
    assert b"api.example.com" in doors["zip"], "the README names what it talks to"
    assert b"WEATHER_KEY" in doors["zip"]


async def test_what_is_taken_back_is_known_no_more(tmp_path):
    given = "weather-" + "Zk3-key-9981"
    async with ModelServer(streams(plan("script", "Hello")), streams(code(main_py="1"))) as server:
        chosen = settings_.load(environment(server, tmp_path))
        async with Studio(chosen, None) as studio:
            with pytest.raises(UserError, match="not the name of a host"):
                await studio.create("A script", hosts=["*"])
            app = await studio.create("A script", hosts=["api.example.com"])
            await studio.wait(app.id)
            assert studio.archive.load(app.id).hosts == ("api.example.com",)
            for exchange in server.asked:
                assert "no other: api.example.com" in json.dumps(exchange.body)
            await studio.allow(app.id, [])
            with pytest.raises(UserError, match="Allow it a host first"):
                await studio.give(app.id, "WEATHER_KEY", given)
            for take in (
                lambda: studio.take_back(app.id, "WEATHER_KEY"),
                lambda: studio.allow(app.id, []),
                lambda: studio.discard(app.id),
            ):
                await studio.allow(app.id, ["api.example.com"])
                await studio.give(app.id, "WEATHER_KEY", given)
                assert given in studio.settings.known_secrets
                assert KEY in studio.settings.known_secrets
                await take()
                assert given not in studio.settings.known_secrets
                assert PASSWORD in studio.settings.known_secrets
