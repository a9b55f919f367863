"""The folders of installed packages: real ones, boxes that hold them, crashes in between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vibe.errors import Busy, EngineFault
from vibe.sandbox.folders import CACHE, FolderStore
from vibe.sandbox.store import Sealed

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "packages", mark="here")


async def filled(store: FolderStore, key: str, size: int = 1000) -> None:
    Path(await store.make(key), "module.py").write_bytes(bytes(size))
    await store.seal(key, size, ("module",))


async def test_a_folder_counts_once_it_is_sealed_and_a_second_try_begins_anew(
    store: FolderStore,
) -> None:
    place = Path(await store.make(ONE))
    (place / "half.py").write_text("x")
    assert await store.find(ONE) is None
    assert store.everything() == []
    with pytest.raises(EngineFault, match="not installed"), store.held(ONE):
        pass
    assert list(Path(await store.make(ONE)).iterdir()) == []
    await store.seal(ONE, 7, ("a", "b"))
    found = await store.find(ONE)
    assert found is not None
    assert found == Sealed(ONE, 7, ("a", "b"), found.made)
    assert [one.key for one in store.everything()] == [ONE]


async def test_a_folder_that_a_box_has_stays_until_the_box_has_ended(store: FolderStore) -> None:
    await filled(store, ONE)
    with store.held(ONE) as place, store.held(ONE):
        assert (place / "module.py").exists()
        assert store.in_use(ONE)
        with pytest.raises(Busy):
            await store.remove(ONE)
        assert await store.find(ONE)
    assert not store.in_use(ONE)
    await store.remove(ONE)
    await store.remove(ONE)
    assert await store.find(ONE) is None
    assert list(store.place.iterdir()) == []


async def test_what_a_killed_process_held_can_be_removed(store: FolderStore) -> None:
    await filled(store, ONE)
    holding = (
        "import sys; from pathlib import Path; from vibe.sandbox.folders import FolderStore\n"
        "with FolderStore(Path(sys.argv[1])).held(sys.argv[2]): print('has it', flush=True); "
        "sys.stdin.read()"
    )
    argv = [sys.executable, "-c", holding, str(store.place), ONE]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(Busy):
            await store.remove(ONE)
        other.kill()
        other.wait()
        await store.remove(ONE)
    assert await store.find(ONE) is None


async def test_the_one_used_longest_ago_goes_first_and_so_does_what_a_crash_left(
    store: FolderStore,
) -> None:
    for key in (ONE, TWO, THREE):
        await filled(store, key)
    (store.place / ".x.0123.part" / "deep").mkdir(parents=True)
    with store.cache() as cache:
        (cache / "kept").write_bytes(bytes(100))
    used = {ONE: 3.0, TWO: 1.0, THREE: 2.0}
    with store.held(TWO):
        assert await store.trim(3000, used) == []
        assert await store.trim(2999, used) == [THREE]
    assert await store.trim(1000, used) == [TWO]
    assert (cache / "kept").exists()
    with store.cache():
        assert await store.trim(0, used) == [ONE]
        assert cache.exists()
    assert await store.trim(0, {}) == []
    assert list(store.place.iterdir()) == []


@pytest.mark.parametrize("key", ["", "..", CACHE, "1" * 63, "A" * 64, "../" + "1" * 64])
async def test_a_name_that_is_no_key_leads_nowhere(store: FolderStore, key: str) -> None:
    with store.cache():
        pass
    assert await store.find(key) is None
    with pytest.raises(EngineFault), store.held(key):
        pass


async def test_a_folder_of_wheels_that_only_root_may_see_is_copied_for_the_boxes_user(
    tmp_path: Path,
) -> None:
    """As root, whose boxes run as another user; the copy goes with the box."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    (secret / "key.pem").write_bytes(b"mine")
    secret.chmod(0o700)
    store = FolderStore(tmp_path / "packages", owner=os.getuid())
    with store.wheels(str(secret)) as shown:
        assert shown is not None
        assert [path.name for path in shown.iterdir()] == ["a-1-py3-none-any.whl"]
        assert shown.stat().st_mode & 0o777 == 0o755
    assert not shown.exists()
    with FolderStore(tmp_path / "packages").wheels(str(secret)) as shown:
        assert shown == secret
    with store.wheels("") as shown:
        assert shown is None


async def test_folders_of_another_layout_are_not_taken_for_whole(store: FolderStore) -> None:
    """What lies there by accident is no package: an empty folder of that name, a broken seal."""
    (store.place / ("b" * 64)).mkdir(parents=True)
    (store.place / ("c" * 64)).mkdir()
    (store.place / ("c" * 64) / "sealed.json").write_text('{"bytes": "many"}')
    assert await store.find("b" * 64) is None
    assert await store.find("c" * 64) is None
    assert store.everything() == []
