"""One settings record, read once at the entry from the settings file, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from fnmatch import fnmatch
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import platformdirs
import yaml

from vibe.errors import UserError
from vibe.redaction import environment_secrets

ROOT = Path(__file__).resolve().parent.parent
"""The checkout (or the folder that holds templates/ and sandboxes/)."""
TEMPLATES = ROOT / "templates"
SANDBOXES = ROOT / "sandboxes"

Autonomy = Literal["ask", "fix", "free"]
EngineChoice = Literal["auto", "docker", "bubblewrap"]
ROLES: tuple[Literal["plan", "code", "repair", "stronger"], ...] = (
    "plan",
    "code",
    "repair",
    "stronger",
)

VARIABLES = {
    "gallery": "VIBE_GALLERY",
    "engine": "VIBE_ENGINE",
    "host": "VIBE_HOST",
    "port": "VIBE_PORT",
    "url": "VIBE_URL",
    "preview_url": "VIBE_PREVIEW_URL",
    "model": "VIBE_MODEL",
    "autonomy": "VIBE_AUTONOMY",
    "github_api": "VIBE_GITHUB_API",
    "base_url": "OPENAI_BASE_URL",
    "api_key": "OPENAI_API_KEY",
}
"""Setting → the environment variable that beats the settings file."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one build may use; it always ends within these."""

    attempts: int = 5
    calls: int = 6
    tokens: int = 60_000
    money: float | None = None
    """In the currency of the prices; None: no limit."""
    seconds: float = 180.0
    """Wall time of a whole build, the model's time included (local models are slow)."""
    start_s: float = 20.0
    """How long an app has to open its port."""
    run_s: float = 30.0
    """How long a script's trial run may take."""
    idea_bytes: int = 16_000
    reply_bytes: int = 1_000_000
    """What a reply's files may weigh together."""
    first_token_s: float = 60.0
    reply_s: float = 300.0


PICTURES = (
    "*gpt-4o*", "*gpt-4.1*", "*gpt-5*", "*claude*", "*gemini*", "*gemma3*", "*gemma-3*",
    "*pixtral*", "*llava*", "*vision*", "*-vl*", "*vl:*", "*minicpm-v*", "*llama4*", "*llama-4*",
)  # fmt: skip
"""Families of models whose makers say that they take pictures (their model cards, 2026)."""


@dataclass(frozen=True, slots=True)
class PackageRules:
    """Which packages an app may have beside the image's own (docs/packages.md)."""

    minimum_age_days: int = 7
    """Releases younger than this are not used; most bad ones are found within days."""
    latest: str = ""
    """A date (2026-11-30): nothing released after it is used; empty for today."""
    count: int = 60
    """Packages in a lock, dependencies included."""
    asked: int = 30
    """Names that an app may ask for."""
    bytes: int = 300_000_000
    """What a lock's wheels may weigh; installed they may take four times that."""
    store_bytes: int = 5_000_000_000
    """What all installed packages may take on disk before the least recently used go."""
    denied: tuple[str, ...] = ()
    """Names that are never installed, beside those of sandboxes/packages.yaml."""
    allowed: tuple[str, ...] = ()
    """Names that need no question, beside those of sandboxes/packages.yaml."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a person can set. Environment variables beat the settings file."""

    gallery: Path = field(default_factory=lambda: default_gallery())
    """VIBE_GALLERY"""
    engine: EngineChoice = "auto"
    """VIBE_ENGINE: what starts boxes; `auto` is Docker, and bubblewrap only without it."""
    host: str = "127.0.0.1"
    """VIBE_HOST: address the server binds."""
    port: int = 8501
    """VIBE_PORT"""
    url: str = ""
    """VIBE_URL: the UI's own address; by default http://vibe.localhost:<port>."""
    preview_url: str = ""
    """VIBE_PREVIEW_URL: a preview's address with {token}; by default
    http://{token}.vibe.localhost:<port>."""
    model: str = ""
    """VIBE_MODEL or --model: the model's name for every role; by default the endpoint's first."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Model names for single roles: plan, code, repair, stronger."""
    base_url: str = ""
    """OPENAI_BASE_URL: the endpoint; by default found (see docs/models.md)."""
    api_key: str = field(default="", repr=False)
    """OPENAI_API_KEY; never written anywhere."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values of other environment variables that look like secrets; masked wherever they turn up,
    never written anywhere."""
    local_models: bool = True
    """Whether a model server on this machine is looked for when no endpoint is set."""
    autonomy: Autonomy = "fix"
    """VIBE_AUTONOMY"""
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Model name → {prompt, completion}: money for a million tokens of each."""
    pictures: tuple[str, ...] = PICTURES
    """Names of models that are shown attached pictures; `*` stands for anything."""
    expiry_days: int = 30
    """Days after its last use until an app that isn't kept goes to the trash; 0: never."""
    trash_days: int = 7
    """Days that a discarded app can be brought back; 0: until someone deletes it."""
    idle_minutes: int = 30
    """Minutes until an opened app that nobody uses is closed; 0: never."""
    warm_boxes: int = 2
    """How many boxes stand ready at most while Vibe serves; 0: none."""
    boxes_gib: float = 0.0
    """GiB of memory that all boxes may have together; 0: three quarters of the machine's."""
    github_api: str = "https://api.github.com"
    """VIBE_GITHUB_API: where new repositories are made; a company's server has its own."""
    limits: Limits = field(default_factory=Limits)
    packages: PackageRules = field(default_factory=PackageRules)

    def takes_pictures(self, model: str) -> bool:
        """Whether the model of that name is shown attached pictures."""
        return any(fnmatch(model.lower(), pattern.lower()) for pattern in self.pictures)

    @property
    def known_secrets(self) -> tuple[str, ...]:
        """Every secret that Vibe knows the value of."""
        return tuple(dict.fromkeys(filter(None, (self.api_key.strip(), *self.secrets))))

    @property
    def ui_url(self) -> str:
        return self.url or f"http://vibe.localhost:{self.port}"

    def preview(self, token: str) -> str:
        """The address of the preview with that token."""
        template = self.preview_url or f"http://{{token}}.vibe.localhost:{self.port}"
        return template.replace("{token}", token)


def default_gallery() -> Path:
    """`gallery/` in a checkout, else the user's data directory."""
    if (ROOT / "pyproject.toml").is_file() and (ROOT / "gallery").is_dir():
        return ROOT / "gallery"
    return platformdirs.user_data_path("vibe") / "gallery"


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings file is looked for: VIBE_SETTINGS, else the user's config directory."""
    named = environ.get("VIBE_SETTINGS")
    return Path(named) if named else platformdirs.user_config_path("vibe") / "settings.yaml"


def load(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """The settings: defaults, then the file, then the environment, then non-None `overrides`.

    Raises UserError naming the place of a value that can't be used.
    """
    values = from_file(settings_file(environ))
    values |= {name: environ[variable] for name, variable in from_environment(environ).items()}
    values |= {key: value for key, value in overrides.items() if value is not None}
    return replace(checked(values), secrets=environment_secrets(environ))


def from_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings that the environment gives, each with its variable."""
    return {name: variable for name, variable in VARIABLES.items() if environ.get(variable)}


def from_file(path: Path) -> dict[str, Any]:
    """The values in a settings file, not yet checked; none when there is no file. Raises UserError
    when it can't be read, or has a setting that Vibe doesn't know."""
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"The settings file {path} can't be read: {error}.", "Mend or move it."
        ) from error
    if data is None:
        return {}
    names = {f.name for f in fields(Settings)} - {"api_key", "secrets"}
    if not isinstance(data, dict) or not set(data) <= names:
        known = ", ".join(sorted(names))
        raise UserError(f"{path} has a setting Vibe doesn't know.", f"The settings are: {known}.")
    return data


def _package_rules(data: Mapping[str, Any]) -> PackageRules:
    lists = {name: tuple(map(str, data[name])) for name in ("denied", "allowed") if name in data}
    rules = replace(PackageRules(), **{**data, **lists, "latest": str(data.get("latest", ""))})
    if rules.latest:
        date.fromisoformat(rules.latest)
    return rules


def checked(values: dict[str, Any]) -> Settings:
    """The settings with these values. Raises UserError naming one that can't be used."""
    try:
        if "gallery" in values:
            values["gallery"] = Path(values["gallery"]).expanduser().absolute()
        for name in (
            "port",
            "expiry_days",
            "trash_days",
            "idle_minutes",
            "warm_boxes",
            "boxes_gib",
        ):
            if name in values:
                number = float if name == "boxes_gib" else int
                values[name] = number(values[name])
                if not 0 <= values[name] < 1e6:
                    raise ValueError(f"`{name}` is not a number from 0 on")
        if "pictures" in values:
            values["pictures"] = tuple(str(name) for name in values["pictures"])
        if "limits" in values:
            values["limits"] = _limits(values["limits"])
        if "packages" in values:
            values["packages"] = _package_rules(values["packages"])
        for model, prices in values.get("prices", {}).items():
            if not {"prompt", "completion"} == set(prices):
                raise ValueError("a price has `prompt` and `completion`, for a million tokens")
            if not all(_is_number(price) and price >= 0 for price in prices.values()):
                raise ValueError(f"the prices of `{model}` are not numbers")
        for role, model in values.get("roles", {}).items():
            if role not in ROLES or not isinstance(model, str):
                raise ValueError(f"`roles` names models for {', '.join(ROLES)}")
        settings = Settings(**values)
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"A setting can't be used: {error}.", "See docs/settings.md.") from error
    if settings.autonomy not in ("ask", "fix", "free"):
        raise UserError(
            f"Autonomy is {settings.autonomy!r}.", "It is one of: ask, fix, free (VIBE_AUTONOMY)."
        )
    if settings.engine not in ("auto", "docker", "bubblewrap"):
        raise UserError(
            f"The engine is {settings.engine!r}.",
            "It is one of: auto, docker, bubblewrap (VIBE_ENGINE).",
        )
    return settings


def _limits(values: Mapping[str, Any]) -> Limits:
    limits = replace(Limits(), **values)
    for limit in fields(Limits):
        value = getattr(limits, limit.name)
        if limit.name == "money" and (value is None or value == 0):
            continue
        whole = isinstance(limit.default, int)
        if not _is_number(value) or value <= 0 or (whole and value != int(value)):
            what = "a whole number" if whole else "a number"
            raise ValueError(f"`limits.{limit.name}` is {what} above 0")
    return limits


def _is_number(value: Any) -> bool:
    """Whether it can be counted with: no text, no truth value, no infinity."""
    return type(value) in (int, float) and isfinite(value)
