"""Says in words which model a build would use now."""

from __future__ import annotations

from vibe.endpoints import Endpoint, find_endpoint, first_chat_model
from vibe.errors import UserError
from vibe.model import Role
from vibe.settings import ROLES, Settings

NO_MODEL = "No model is connected; Vibe makes the apps it has starters for."


async def chosen_model(settings: Settings) -> str:
    """The model's name and where it is. Raises UserError when there is none."""
    endpoint = await find_endpoint(settings)
    if endpoint is None:
        raise UserError(
            NO_MODEL,
            "Set OPENAI_API_KEY (and OPENAI_BASE_URL), or start Ollama or LM Studio here.",
        )
    name = settings.model or first_chat_model(endpoint.models) or "the endpoint's first model"
    return f"{name} at {endpoint.where} (found by {endpoint.source})"


def model_of_each_role(settings: Settings, endpoint: Endpoint | None) -> dict[Role, str]:
    """Role → the model's name, empty where none would be called; see docs/models.md."""
    listed = first_chat_model(endpoint.models) if endpoint else None
    usual = settings.model or listed or ""
    return {
        role: settings.roles.get(role) or ("" if role == "stronger" else usual) for role in ROLES
    }
