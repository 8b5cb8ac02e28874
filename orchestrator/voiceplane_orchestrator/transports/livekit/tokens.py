"""Access tokens for rooms: short-lived, and with an agent dispatch in the room's configuration.

Format: https://docs.livekit.io/home/get-started/authentication/, a JSON Web Token signed with the API secret.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from livekit import api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_orchestrator.settings import LiveKitSection

# Prefix of the participant attributes by which a client selects the voice, such as voiceplane.model.
ATTRIBUTE_PREFIX = "voiceplane."
# An empty room stays for this time, so that a client that reconnects finds it, with its agent.
EMPTY_TIMEOUT_S = 60
ROOM_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a client needs to enter a room.

    Attributes:
        url: The LiveKit server's URL for clients.
        token: A JSON Web Token. It allows entering until it expires; a client may stay longer.
        expires_in_ms: Time until it expires.
    """

    url: str
    token: str
    room: str
    identity: str
    expires_in_ms: int


def new_room() -> str:
    """A room name that can't be guessed."""
    return f"voiceplane-{secrets.token_urlsafe(ROOM_BYTES)}"


def grant(settings: LiveKitSection, *, room: str, identity: str, choices: Mapping[str, str]) -> Grant:
    """Issue a token for one user and one room, with an agent.

    Args:
        settings: The LiveKit server and its keys.
        room: LiveKit creates it when the first participant enters.
        identity: The user's participant identity.
        choices: The voice, by name: model, voice, language, speed, segmentation, markup, emoji, normalise.
    """
    attributes = {ATTRIBUTE_PREFIX + name: value for name, value in choices.items() if value}
    token = (
        api.AccessToken(settings.api_key, settings.api_secret.get_secret_value())
        .with_identity(identity)
        .with_attributes(attributes)
        .with_grants(
            api.VideoGrants(
                room_join=True,
                room=room,
                can_publish=True,
                can_publish_sources=["microphone"],
                can_subscribe=True,
                can_publish_data=True,
                can_update_own_metadata=True,
            )
        )
        .with_room_config(
            api.RoomConfiguration(
                empty_timeout=EMPTY_TIMEOUT_S,
                departure_timeout=EMPTY_TIMEOUT_S,
                agents=[api.RoomAgentDispatch(agent_name=settings.agent_name)],
            )
        )
        .with_ttl(timedelta(milliseconds=settings.token_ttl_ms))
        .to_jwt()
    )
    return Grant(
        url=settings.public_url or settings.url,
        token=token,
        room=room,
        identity=identity,
        expires_in_ms=settings.token_ttl_ms,
    )
