"""The command line: parse, call one function, and turn what was refused into two lines."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vibe import __version__, changing, commands, settings
from vibe import gallery_commands as gallery
from vibe import upkeep_commands as upkeep
from vibe.disk import PARTS
from vibe.errors import EngineFault, UserError, VibeError
from vibe.settings import Settings
from vibe.ui.words import clean

Command = Callable[[Settings, argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code (see docs/cli.md)."""
    arguments = parser().parse_args(argv)
    command: Command = arguments.command
    try:
        overrides = {
            name: getattr(arguments, name, None) for name in ("host", "port", "model", "autonomy")
        }
        return command(settings.load(os.environ, **overrides), arguments)
    except VibeError as error:
        lines = [error.message, error.fix] if error.fix else [error.message]
        print(*(clean(line) for line in lines), sep="\n", file=sys.stderr)
        if isinstance(error, UserError):
            return commands.BAD_INPUT
        return commands.NO_ENGINE if isinstance(error, EngineFault) else commands.FAILED
    except KeyboardInterrupt:
        return commands.INTERRUPTED
    except BrokenPipeError:
        # `vibe list | head`: the reader has had enough. Nothing may be written at exit either.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return commands.OK


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    root = argparse.ArgumentParser(
        prog="vibe", description="An idea in plain English becomes a small program that runs."
    )
    root.add_argument("--version", action="version", version=f"vibe {__version__}")
    adding = root.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(
        name: str, words: str, command: Command, *, app: bool = False
    ) -> argparse.ArgumentParser:
        made = adding.add_parser(name, help=words, description=words)
        made.set_defaults(command=command)
        if app:
            made.add_argument("id", metavar="ID", help="an app's id, or how it alone begins")
        return made

    serve = add("serve", "Serve the UI and the previews.", commands.serve)
    serve.add_argument("--host", help="address to listen at (VIBE_HOST)")
    serve.add_argument("--port", type=int, help="port to listen at; 0 takes a free one (VIBE_PORT)")
    setup = add("setup", "Install the engine if need be, and build the images.", commands.setup)
    setup.add_argument(
        "--all",
        action="store_true",
        help="also the images for Node.js and Rust",
    )
    setup.add_argument("-v", "--verbose", action="store_true", help="show all output")

    new = add("new", "Make an app from an idea.", commands.new)
    new.add_argument("idea", metavar="IDEA")
    new.add_argument("--kind", metavar="K", default="auto", help="auto, or one of the kinds")
    new.add_argument("--data", metavar="PATH", type=Path, action="append", default=[],
                     help="a file or folder to give to the app; may be repeated")  # fmt: skip
    new.add_argument("--allow", metavar="HOST", action="append", default=[],
                     help="a host that it may reach; may be repeated")  # fmt: skip
    new.add_argument("--autonomy", choices=["ask", "fix", "free"])
    change = add("change", "Change an app.", commands.change, app=True)
    change.add_argument("request", metavar="REQUEST")
    resume = add("resume", "Build an app's last request again.", commands.resume, app=True)
    edit = add("edit", "Make your own code an app's next revision.", changing.edit, app=True)
    edit.add_argument("--from", metavar="FOLDER", type=Path, required=True, dest="folder",
                      help="a folder with the app's whole code")  # fmt: skip
    afresh = add("afresh", "Write an app again, in another way.", changing.afresh, app=True)
    remake = add("remake", "Make an app again with another model.", changing.remake, app=True)
    for building in (new, change, resume, afresh):
        building.add_argument("--model", metavar="M", help="the model's name (VIBE_MODEL)")
    remake.add_argument("--model", metavar="M", required=True, help="the other model's name")
    for building in (new, change, resume, edit, afresh, remake):
        building.add_argument("--json", action="store_true", help="one event a line, as JSON")
        building.add_argument("-v", "--verbose", action="store_true",
                              help="the model's words and the program's output")  # fmt: skip

    list_ = add("list", "List the gallery.", gallery.list_)
    list_.add_argument("--search", metavar="Q", help="words in title, idea, code or transcript")
    list_.add_argument("--kind", metavar="K", action="append", default=[], help="only that kind")
    list_.add_argument("--verdict", metavar="V", action="append", default=[],
                       help="only works, partly, broken, unverified, failed …")  # fmt: skip
    list_.add_argument("--kept", action="store_true", help="only apps kept for good")
    list_.add_argument("--trash", action="store_true", help="the discarded apps instead")
    list_.add_argument("--json", action="store_true")
    show = add("show", "Show an app.", gallery.show, app=True)
    what = show.add_mutually_exclusive_group()
    what.add_argument("--json", action="store_true", help="its record")
    what.add_argument("--transcript", action="store_true", help="its whole story, as Markdown")
    what.add_argument("--code", action="store_true", help="its files")
    run = add("run", "Run an app: serve its preview, or run a script.", commands.run, app=True)
    run.add_argument("args", metavar="ARGS", nargs="*", help="a script's arguments, after --")
    run.add_argument("--secret", metavar="NAME", action="append", default=[],
                     help="a variable it gets: yours of that name, or you are asked")  # fmt: skip
    allow = add("allow", "Let an app reach hosts by name.", gallery.allow, app=True)
    allow.add_argument("hosts", metavar="HOST", nargs="*",
                       help="all that it may reach: api.example.com, or with :8443")  # fmt: skip
    allow.add_argument("--none", action="store_true", help="no network any more")
    check = add("check", "Run apps' checks again, without a model.", commands.check)
    check.add_argument("id", metavar="ID", nargs="?", help="an app's id, or how it alone begins")
    check.add_argument("--all", action="store_true", help="every app of the gallery")
    export = add("export", "Take an app out of Vibe.", gallery.export, app=True)
    where = export.add_mutually_exclusive_group(required=True)
    where.add_argument("--zip", metavar="FILE", type=Path, help="a zip file")
    where.add_argument("--git", metavar="DIR", type=Path, help="a new folder, a git repository")
    where.add_argument(
        "--file", metavar="FILE", type=Path, help="one file: web pages, slides and Python scripts"
    )
    where.add_argument("--push", metavar="URL", help="a git repository that is there already")
    where.add_argument("--github", metavar="NAME", help="a new repository of yours on GitHub")
    export.add_argument("--branch", metavar="B", default="main", help="the branch to push to")
    export.add_argument("--force", action="store_true",
                        help="overwrite a branch that has another history")  # fmt: skip
    export.add_argument("--public", action="store_true",
                        help="whether the new repository is for everybody to see")  # fmt: skip
    export.add_argument("--licence", default="none",
                        help="none, MIT, Apache-2.0 or BSD-3-Clause")  # fmt: skip
    export.add_argument("--no-transcript", action="store_true",
                        help="without TRANSCRIPT.md and events.jsonl")  # fmt: skip
    where.add_argument("--bundle", metavar="FILE", type=Path, nargs="?", const=Path(),
                       help="one file that another Vibe imports, by default ID.vibe")  # fmt: skip
    export.add_argument("--without-data", action="store_true",
                        help="leave what was attached and written out of a bundle")  # fmt: skip
    export.add_argument("--with-packages", action="store_true",
                        help="put its packages into a bundle, to run without network")  # fmt: skip
    import_ = add("import", "Add the app of a bundle to the gallery.", gallery.import_)
    import_.add_argument("file", metavar="FILE", type=Path)
    add("duplicate", "Make a new app from the newest revision.", gallery.duplicate, app=True)
    keep = add("keep", "Keep an app for good, so that it never expires.", gallery.keep, app=True)
    keep.add_argument("--off", action="store_true", help="let it expire again")
    discard = add("discard", "Move apps to the trash.", gallery.discard)
    discard.add_argument("ids", metavar="ID", nargs="+", help="ids, or how they alone begin")
    diff = add("diff", "Show what changed between two versions.", changing.diff, app=True)
    for name in ("old", "new"):
        diff.add_argument(name, metavar=name.upper(), nargs="?", default="",
                          help="r1, r2 … or an attempt such as r2.1")  # fmt: skip
    add("undo", "Go back to the revision before the newest.", changing.undo, app=True)
    restore = add("restore", "Bring an app back from the trash, or an earlier revision.",
                  gallery.restore, app=True)  # fmt: skip
    restore.add_argument("--to", metavar="REVISION", default="",
                         help="make this revision of an app in the gallery the newest")  # fmt: skip
    purge = add("purge", "Delete discarded apps for good.", gallery.purge)
    purge.add_argument("ids", metavar="ID", nargs="*", help="ids, or how they alone begin")
    purge.add_argument("--all", action="store_true", help="everything in the trash")
    doctor = add("doctor", "Examine what Vibe stands on.", commands.doctor)
    doctor.add_argument("--json", action="store_true")
    models = add("models", "Show the model of each role, and what it costs.", upkeep.models)
    models.add_argument("--test", action="store_true", help="make a small call to each")
    models.add_argument("--json", action="store_true")
    clean_ = add("clean", "Show what could go from the disk, and remove it.", upkeep.clean_up)
    clean_.add_argument("part", metavar="PART", nargs="?", choices=PARTS, help=", ".join(PARTS))
    clean_.add_argument("--yes", action="store_true", help="don't ask")
    return root
