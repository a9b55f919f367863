"""`kill -9` at any moment leaves a gallery that can be read and written."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from vibe.archive import Archive
from vibe.events import Finished, Notice

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from vibe.archive import Archive
from vibe.events import Notice, now

archive = Archive(Path(sys.argv[1]))
app_id, turn = sys.argv[2], int(sys.argv[3])
with archive.claim(app_id):
    archive.save(replace(archive.load(app_id), status="building"))
    print("ready", flush=True)
    while True:
        turn += 1
        archive.append(app_id, [Notice(text=f"{turn} " + "x" * 20_000)] * 3, sync=turn % 2 == 0)
        files = {"app.py": f"print({turn})".encode(), f"f{turn % 5}.txt": b"x" * 50_000}
        commit = archive.commit(app_id, files, f"turn {turn}", tag=f"r{turn % 3 + 1}")
        archive.save(replace(archive.load(app_id), title=f"{turn}", used=now()))
        archive.save_results(app_id, {"out.txt": f"{turn}".encode() * 1000})
        archive.search("turn")
        data = {"a": b"1" * 9999}
        other = archive.create(f"short lived {turn}", kind="web", model="m", data=data)
        archive.discard(other.id)
        archive.restore(other.id)
        archive.discard(other.id)
        archive.purge(other.id)
"""

KILLS = 20


def test_a_gallery_outlives_twenty_kills_in_the_middle_of_writing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    app = archive.create("Survive", kind="web", model="m")
    chance = random.Random(20250101)
    turn = ends = 0
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), app.id, str(turn)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        with writer, writer.stdout:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.2))
            writer.send_signal(signal.SIGKILL)
        after = Archive(tmp_path)

        assert after.broken() == {}
        assert app.id in [found.id for found in after.search("survive")]
        assert app.id in after.recover()
        found = after.load(app.id)
        assert found.status == "interrupted"
        assert found in after.list()
        events = after.events(app.id)
        assert isinstance(events[-1], Finished)
        before, ends = ends, sum(isinstance(event, Finished) for event in events)
        assert ends - before in (0, 1), "none when the writer was killed before it wrote"
        if found.title.isdigit():
            turn = int(found.title)
            said = {event.text.split()[0] for event in events if isinstance(event, Notice)}
            assert str(turn) in said
            committed = [commit.message for commit in after.log(app.id)]
            assert committed[0] in (f"turn {turn}", f"turn {turn + 1}")
            number = committed[0].removeprefix("turn ")
            assert after.files(app.id)["app.py"] == f"print({number})".encode()
            for result in after.results(app.id):
                content = after.read_result(app.id, result.name)
                assert content in (f"{turn}".encode() * 1000, f"{turn - 1}".encode() * 1000)
        for gone in after.trash():
            after.purge(gone.id)
    assert turn > 0

    with archive.claim(app.id):
        archive.append(app.id, [Notice(text="still writable")], sync=True)
        commit = archive.commit(app.id, {"app.py": b"last"}, "last", tag="r1")
        assert archive.files(app.id, "r1") == archive.files(app.id, commit) == {"app.py": b"last"}
