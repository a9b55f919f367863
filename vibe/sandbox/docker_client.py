"""Docker's API from asyncio: calls in threads, bounded in time, with errors as EngineFault."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from vibe.errors import Busy, EngineFault

API = (1, 41)
"""The oldest Docker API that has what a box needs (Docker Engine 20.10)."""
CALL_S = 20
"""How long the daemon may take over one request."""
START_DOCKER = (
    "Start Docker (as root: `systemctl start docker`, or `dockerd &`), or run `vibe setup`."
)

T = TypeVar("T")


class Gone(EngineFault):
    """There is no such container."""


class DockerClient:
    """One daemon, reached over its Unix socket. Made by `await DockerClient.open()`."""

    def __init__(
        self, api: docker.APIClient, version: dict[str, Any], info: dict[str, Any]
    ) -> None:
        self.api, self.version, self.info = api, version, info
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="docker")

    @classmethod
    async def open(cls) -> DockerClient:
        """Raises EngineFault, with a fix, when no usable Docker daemon answers."""
        return cls(*await asyncio.to_thread(_connect))

    async def call(self, function: Callable[..., T], *args: Any, **named: Any) -> T:
        """The result of a blocking call. Raises EngineFault: Gone, Busy or with a fix."""
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(_translated, function, *args, **named)
        )
        try:
            async with asyncio.timeout(CALL_S + 5):
                return await work
        except TimeoutError:
            raise _hung() from None

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        self.api.close()


def _connect() -> tuple[docker.APIClient, dict[str, Any], dict[str, Any]]:
    """A client for the daemon the environment names, with what it says of itself."""
    host = os.environ.get("DOCKER_HOST", "")
    if host and not host.startswith("unix://"):
        raise EngineFault(
            f"DOCKER_HOST is {host}, and Vibe needs a local Docker socket.",
            "Unset DOCKER_HOST, or set it to unix:///path/to/docker.sock.",
        )

    def client(version: str) -> docker.APIClient:
        return docker.APIClient(base_url=host or None, version=version, timeout=CALL_S)

    with contextlib.closing(client(".".join(map(str, API)))) as first:
        try:
            version = first.version(api_version=False)
            number = tuple(int(part) for part in str(version["ApiVersion"]).split("."))
            components = [str(part["Name"]) for part in version.get("Components") or []]
        except (DockerException, requests.exceptions.RequestException, OSError) as error:
            raise EngineFault(
                f"Docker can't be reached: {_reason(error)}.", START_DOCKER
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineFault(
                "What answers at Docker's socket is not Docker.", "Install Docker (`vibe setup`)."
            ) from error
    if components and "Engine" not in components:
        raise EngineFault(
            f"What answers at Docker's socket is {components[0]}, not Docker.",
            "Install Docker (`vibe setup`).",
        )
    if number < API:
        raise EngineFault(
            f"Docker {version.get('Version')} is too old.",
            "Install Docker 20.10 or newer (`vibe setup`).",
        )
    api = client(str(version["ApiVersion"]))
    try:
        return api, version, _translated(api.info)
    except BaseException:
        api.close()
        raise


def _translated(function: Callable[..., T], *args: Any, **named: Any) -> T:
    """The call's result; Docker's errors as EngineFault with a fix."""
    try:
        return function(*args, **named)
    except ImageNotFound as error:
        raise EngineFault("The image for boxes is gone.", "Run `vibe setup`.") from error
    except NotFound as error:
        raise Gone("The box is gone.") from error
    except APIError as error:
        reason = _reason(error)
        if error.status_code == 409:
            raise Busy(f"Docker is busy: {reason}.") from error
        if "no space left" in reason.lower():
            raise EngineFault(
                "The disk is full.", "Free some space, then try again (`docker system df`)."
            ) from error
        raise EngineFault(f"Docker refused: {reason}.", "See `vibe doctor`.") from error
    except requests.exceptions.Timeout as error:
        raise _hung() from error
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EngineFault(
            f"Docker doesn't answer any more: {_reason(error)}.", START_DOCKER
        ) from error


def _hung() -> EngineFault:
    return EngineFault(
        f"Docker gave no answer for {CALL_S} s.", "Restart Docker (`systemctl restart docker`)."
    )


def _reason(error: BaseException) -> str:
    said = getattr(error, "explanation", None) or str(error) or type(error).__name__
    return " ".join(str(said).split())[:300].rstrip(".")
