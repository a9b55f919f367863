"""Builds the boxes' images with the Docker engine that answers."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from vibe.errors import EngineFault
from vibe.sandbox import programs
from vibe.sandbox.images import BASE_SCRIPT, LABEL_IMAGE, LABEL_RECIPE, Recipe, base_tag
from vibe.sandbox.programs import log
from vibe.settings import SANDBOXES

QUIET_S = 900
"""How long a build step may print nothing."""
REGISTRY_S = 15
"""How long a registry has to say whether it knows an image."""
FIX_BUILD = (
    "If it is the network: set HTTPS_PROXY, PIP_INDEX_URL or SSL_CERT_FILE as for pip, "
    "then run `vibe setup` again; `vibe setup --verbose` shows everything."
)

_INDEXES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_BUNDLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


def present(client: docker.DockerClient, recipe: Recipe) -> bool:
    """Whether the image of this very recipe is there."""
    try:
        labels: Mapping[str, str] = client.images.get(recipe.tag).labels
    except ImageNotFound:
        return False
    return labels.get(LABEL_RECIPE) == recipe.digest


def ready_base(client: docker.DockerClient, recipe: Recipe) -> str | None:
    """A base that needs no bootstrapping: one that is here, or the registry's, pulled now."""
    for name in (recipe.base, base_tag()):
        with contextlib.suppress(ImageNotFound):
            client.images.get(name)
            return name
    try:
        # Asked through the engine, whose proxies and mirrors are the ones that count.
        with contextlib.closing(docker.from_env(timeout=REGISTRY_S)) as asker:
            asker.images.get_registry_data(recipe.base)
        log.debug("pulling %s", recipe.base)
        client.images.pull(recipe.base)
    except (DockerException, OSError) as error:
        log.debug("no registry has %s: %s", recipe.base, error)
        return None
    return recipe.base


def bootstrap_base(client: docker.DockerClient) -> str:
    """Makes the base image with debootstrap, imports it and returns its name.

    Needs root and debootstrap. Raises EngineFault with the script's last lines."""
    tag = base_tag()
    with tempfile.TemporaryFile() as archive:
        script = str(SANDBOXES / BASE_SCRIPT)
        programs.run([script], "Making a base image with debootstrap", archive)
        archive.seek(0)
        repository, _, version = tag.partition(":")
        client.api.import_image(src=archive, repository=repository, tag=version)
    return tag


def build(
    client: docker.DockerClient,
    recipe: Recipe,
    base: str,
    environ: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Builds the recipe's image on `base` with the classic builder; `say` gets each line.

    Raises EngineFault with the failing step and its last lines."""
    arguments = {"BASE": base, **build_arguments(environ)}
    step, tail = "", deque[str](maxlen=programs.LAST_LINES)
    try:
        for message in client.api.build(
            fileobj=_context(recipe, ca_bundle(environ)),
            custom_context=True,
            dockerfile=recipe.dockerfile.name,
            tag=recipe.tag,
            buildargs=arguments,
            labels={LABEL_IMAGE: recipe.image, LABEL_RECIPE: recipe.digest},
            network_mode="host" if _on_loopback(arguments.values()) else None,
            rm=True,
            forcerm=True,
            decode=True,
        ):
            for line in _lines(message):
                step = line if line.startswith("Step ") else step
                tail.append(line)
                log.debug("%s: %s", recipe.image, line)
                say(line)
            if "error" in message:
                raise EngineFault(
                    programs.failure(f"Building the {recipe.image} image", step, tail), FIX_BUILD
                )
    except (DockerException, OSError) as error:
        tail.append(str(error))
        raise EngineFault(
            programs.failure(f"Building the {recipe.image} image", step, tail), FIX_BUILD
        ) from error


def on_demand(client: docker.DockerClient, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Builds an image that an app needs for the first time, on the base that setup has left.

    `say` gets what is done, in words. Raises EngineFault."""
    if present(client, recipe):
        return
    base = ready_base(client, recipe)
    if base is None:
        raise EngineFault(f"There is no base for the {recipe.image} image.", "Run `vibe setup`.")
    said = f"Building the {recipe.image} image, once for all such apps"
    unpacked: set[str] = set()

    def follow(line: str) -> None:
        if found := re.match(r"(Unpacking|Setting up) (\S+)", line):
            unpacked.add(found[2])
            if found[1] == "Setting up" or len(unpacked) % 10 == 1:
                say(f"{said}: {found[1].lower()} {found[2]}.")

    say(f"{said}: about a minute.")
    build(client, recipe, base, say=follow)


def retire(client: docker.DockerClient, recipe: Recipe, spared: Collection[str] = ()) -> list[str]:
    """Removes images of older recipes that no container uses and that aren't `spared` (ids or
    recipes' digests that apps are pinned to), and the build stages' remains.

    Returns the names of what is gone."""
    gone: list[str] = []
    for image in client.images.list(filters={"label": f"{LABEL_IMAGE}={recipe.image}"}):
        digest = image.labels.get(LABEL_RECIPE)
        old = digest != recipe.digest and digest not in spared and image.id not in spared
        if old and not client.containers.list(
            all=True, filters={"ancestor": str(image.id)}, ignore_removed=True
        ):
            # Another process may have started a box from it, or removed it, since.
            with contextlib.suppress(APIError):
                for name in image.tags or [str(image.id)]:
                    client.images.remove(name)
                    gone.append(name)
    with contextlib.suppress(APIError):
        client.images.prune(filters={"dangling": True, "label": "vibe.stage=build"})
    return gone


def build_arguments(environ: Mapping[str, str]) -> dict[str, str]:
    """The package index and proxy settings of `environ` that a build needs, in both spellings."""
    found = {name: environ[name] for name in _INDEXES if environ.get(name)}
    for name in (*_PROXIES, "NO_PROXY"):
        value = environ.get(name) or environ.get(name.lower())
        if value:
            found |= {name: value, name.lower(): value}
    return found


def ca_bundle(environ: Mapping[str, str]) -> bytes:
    """The machine's CA bundle: what the environment names, else the system's, else nothing."""
    named = [environ[name] for name in _BUNDLES if environ.get(name)]
    for path in map(Path, (*named, *_SYSTEM_BUNDLES)):
        if path.is_file():
            return path.read_bytes()
    return b""


def _context(recipe: Recipe, bundle: bytes) -> IO[bytes]:
    """The build context as a tar: the recipe's files and the CA bundle, nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        files = {path.name: path.read_bytes() for path in (recipe.dockerfile, *recipe.files)}
        for name, content in {**files, "ca.pem": bundle}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    buffer.seek(0)
    return buffer


def _lines(message: Mapping[str, Any]) -> list[str]:
    text = message.get("error") or message.get("stream") or message.get("status") or ""
    # pip and apt draw with control sequences; a message to a person has none.
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", str(text)).replace("\r", "\n")
    return [line.rstrip() for line in plain.split("\n") if line.strip()]


def _on_loopback(values: Iterable[str]) -> bool:
    """Whether a proxy or index is on this very machine: only a host-network build sees it."""
    hosts = (urlsplit(value).hostname or "" for value in values if "://" in value)
    return any(host == "localhost" or host.startswith("127.") or host == "::1" for host in hosts)
