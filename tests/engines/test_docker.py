"""What is Docker's own: who owns a box, what a killed Vibe leaves, what a sick daemon says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest

from vibe.errors import BoxLost, EngineFault
from vibe.sandbox import docker_client, images, owners, policy
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec
from vibe.settings import SANDBOXES

OWNER = """
import asyncio, sys
from pathlib import Path
from vibe.sandbox.docker import DockerEngine
from vibe.sandbox.engine import BoxSpec

async def main():
    engine = await DockerEngine.open(gallery=Path(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        box = await engine.start(BoxSpec(app="orphan"))
    print(box.id, flush=True)
    await box.run(["sleep", "600"], wall_s=None)

asyncio.run(main())
"""


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    api = docker.APIClient(version="auto")
    yield api
    api.close()


@contextlib.asynccontextmanager
async def another_process(
    gallery: Path, count: int = 1
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that owns boxes, a command in the last one, and the id of that."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(gallery), str(count), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def boxes(client: docker.APIClient, gallery: Path) -> list[str]:
    label = f"vibe.gallery={owners.gallery_label(gallery)}"
    return [found["Id"] for found in client.containers(all=True, filters={"label": label})]


async def nothing_left(client: docker.APIClient, gallery: Path, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while boxes(client, gallery):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.05)
    return True


@pytest.mark.docker
async def test_killing_vibe_leaves_no_container(client: docker.APIClient, tmp_path: Path) -> None:
    async with another_process(tmp_path) as (process, box):
        assert boxes(client, tmp_path) == [box]
        process.kill()
        await process.wait()
        assert await nothing_left(client, tmp_path, within_s=10)


@pytest.mark.docker
async def test_a_sweep_removes_boxes_of_the_dead_and_no_others(
    client: docker.APIClient, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    mine = await DockerEngine.open(gallery=here)
    other = await DockerEngine.open(gallery=there)
    box = await mine.start(BoxSpec())
    try:
        async with another_process(here) as (living, living_box):
            assert await mine.sweep() == []
            async with (
                another_process(here) as (process, orphan),
                another_process(there) as (
                    foreign,
                    foreign_box,
                ),
            ):
                client.pause(orphan)  # frozen, so that it can't end by itself
                client.pause(foreign_box)
                process.kill()
                foreign.kill()
                await process.wait()
                await foreign.wait()
                assert await mine.sweep() == [orphan]
                assert boxes(client, there) == [foreign_box]
                assert await other.sweep() == [foreign_box]
            assert set(boxes(client, here)) == {box.id, living_box}
            assert living.returncode is None
        assert (await box.run(["true"])).ok
    finally:
        await mine.close()
        await other.close()
    assert await nothing_left(client, here, within_s=5)
    assert boxes(client, there) == []
    owners.forget_dead(here)
    assert list((here / owners.FOLDER).iterdir()) == []


@pytest.mark.docker
async def test_a_sweep_removes_a_box_that_outlived_its_deadline(
    client: docker.APIClient, tmp_path: Path
) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    labels = policy.Labels(owners.gallery_label(tmp_path), "nobody", "late", int(time.time()) - 1)
    loaded = policy.load(SANDBOXES / "policy.yaml")
    box = await engine.start(BoxSpec())
    wanted = policy.settings(loaded, "python", box.image, labels, cpus=1)
    late = client.create_container_from_config(wanted)["Id"]
    try:
        assert await engine.sweep() == [late]
        assert boxes(client, tmp_path) == [box.id]
    finally:
        await engine.close()


@pytest.mark.docker
async def test_closing_an_engine_stops_its_boxes(client: docker.APIClient, tmp_path: Path) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    await asyncio.gather(*(engine.start(BoxSpec()) for _ in range(3)))
    assert len(boxes(client, tmp_path)) == 3
    await engine.close()
    assert boxes(client, tmp_path) == []
    await engine.close()
    with pytest.raises(EngineFault):
        await engine.start(BoxSpec())


@pytest.mark.docker
@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.08, 0.15])
async def test_a_cancelled_start_leaves_no_container(
    client: docker.APIClient, tmp_path: Path, after_s: float
) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    task = asyncio.create_task(engine.start(BoxSpec()))
    await asyncio.sleep(after_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await engine.close()
    assert boxes(client, tmp_path) == []


@pytest.mark.docker
async def test_a_box_removed_behind_our_back_is_lost_and_says_so(
    client: docker.APIClient, tmp_path: Path
) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    box = await engine.start(BoxSpec())
    running = asyncio.create_task(box.run(["sleep", "60"]))
    await asyncio.sleep(0.2)
    client.remove_container(box.id, force=True)
    with pytest.raises(BoxLost, match="ended"):
        await running
    await box.stop()
    await engine.close()


@pytest.mark.docker
async def test_a_box_that_runs_out_of_memory_whole_is_reported_as_memory(tmp_path: Path) -> None:
    """Many small programs: the kernel may end any of them, or the runner."""
    engine = await DockerEngine.open(gallery=tmp_path)
    box = await engine.start(BoxSpec())
    grab = (
        "import os, time\nfor _ in range(60):\n  if not os.fork():\n"
        "    x = b'x' * (1 << 25); time.sleep(3); os._exit(0)\n"
        "raise SystemExit(any(os.wait()[1] for _ in range(60)))"
    )
    outcome = await box.run(["python", "-c", grab])
    assert outcome.how == "memory"
    await engine.close()


@pytest.mark.docker
async def test_a_box_is_made_as_the_policy_says(client: docker.APIClient, tmp_path: Path) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    box = await engine.start(BoxSpec(app="tip-calculator-3f9a1c", lifetime_s=50))
    found = client.inspect_container(box.id)
    await engine.close()
    host, config = found["HostConfig"], found["Config"]
    assert host["NetworkMode"] == "none"
    assert not found["NetworkSettings"]["Ports"]
    assert found["Mounts"] == []
    assert not host["Binds"]
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["ReadonlyRootfs"] is host["AutoRemove"] is True
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert host["PidsLimit"] == 128
    assert host["LogConfig"]["Type"] == "none"
    assert host["IpcMode"] == "private"
    assert host["PidMode"] == host["UTSMode"] == host["UsernsMode"] == ""
    assert config["User"] == "10001:10001"
    assert config["Labels"]["vibe.app"] == "tip-calculator-3f9a1c"
    assert 40 < int(config["Labels"]["vibe.deadline"]) - time.time() < 60
    assert not [entry for entry in config["Env"] if "KEY" in entry or "PROXY" in entry.upper()]


@pytest.mark.docker
async def test_a_missing_image_says_run_setup(tmp_path: Path) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    try:
        with pytest.raises(EngineFault) as caught:
            await engine._image(dataclasses.replace(images.recipe("python"), digest="0" * 64))
        assert "vibe setup" in caught.value.fix
    finally:
        await engine.close()


@pytest.mark.docker
async def test_an_image_of_another_recipe_is_never_taken(
    client: docker.APIClient, tmp_path: Path
) -> None:
    """Newer, with our name and our label, but made from something else."""
    foreign = f"vibe-python:foreign{os.getpid()}"
    labels = [f"LABEL {images.LABEL_IMAGE}=python", f"LABEL {images.LABEL_RECIPE}={'0' * 64}"]
    repository, _, tag = foreign.partition(":")
    client.import_image_from_data(b"\0" * 1024, repository=repository, tag=tag, changes=labels)
    engine = await DockerEngine.open(gallery=tmp_path)
    try:
        box = await engine.start(BoxSpec())
        assert box.image == client.inspect_image(images.recipe("python").tag)["Id"]
    finally:
        await engine.close()
        client.remove_image(foreign)


@pytest.mark.docker
@pytest.mark.parametrize(
    "spec",
    [
        BoxSpec(image="../python"),  # type: ignore[arg-type]
        BoxSpec(image="debian"),  # type: ignore[arg-type]
        BoxSpec(lifetime_s=math.inf),
        BoxSpec(lifetime_s=math.nan),
        BoxSpec(lifetime_s=-1),
        BoxSpec(lifetime_s=1e9),
    ],
)
async def test_a_box_that_makes_no_sense_is_refused(tmp_path: Path, spec: BoxSpec) -> None:
    engine = await DockerEngine.open(gallery=tmp_path)
    with pytest.raises(EngineFault):
        await engine.start(spec)
    await engine.close()


async def test_no_daemon_is_a_fault_with_a_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EngineFault) as caught:
        await DockerEngine.open(gallery=tmp_path)
    assert "Start Docker" in caught.value.fix


async def test_a_remote_daemon_is_refused_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    with pytest.raises(EngineFault, match="local"):
        await DockerEngine.open(gallery=tmp_path)


# after a time-out docker-py leaves its socket to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.0 200 OK\r\n\r\nhello", b"\x00" * 100])
async def test_a_daemon_that_hangs_or_talks_nonsense_is_a_fault_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(docker_client, "CALL_S", 1)
    peers: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "docker.sock"))
        server.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer = server.accept()[0]
                    peers.append(peer)
                    if answer:
                        peer.sendall(answer)
                        peer.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        began = time.monotonic()
        try:
            with pytest.raises(EngineFault):
                await DockerEngine.open(gallery=tmp_path)
            assert time.monotonic() - began < 30
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for peer in peers:
                peer.close()
            gc.collect()


def test_an_owner_is_alive_until_released_or_killed(tmp_path: Path) -> None:
    owner = owners.Owner(tmp_path, "me")
    assert owners.alive(tmp_path, "me")
    with pytest.raises(EngineFault):
        owners.Owner(tmp_path, "me")
    owner.release()
    owner.release()
    assert not owners.alive(tmp_path, "me")
    child = os.fork()
    if not child:
        owners.Owner(tmp_path, "child")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / owners.FOLDER / "child.lock").exists()
    assert not owners.alive(tmp_path, "child")
    assert list((tmp_path / owners.FOLDER).iterdir()) == []


def test_an_owner_name_is_never_a_path(tmp_path: Path) -> None:
    (tmp_path / "precious.lock").touch()
    assert not owners.alive(tmp_path, "../precious")
    assert (tmp_path / "precious.lock").exists()
