"""What a scheme needs to reach its sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voiceplane_common.artifacts.patterns import Selection
    from voiceplane_common.artifacts.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a scheme needs to reach its sources.

    Attributes:
        transport: Sends requests.
        selection: Which files are wanted.
        is_private: Whether a host name has no public address.
        credentials: By key; empty for those of the environment.
        index: The sha256 of each file by relative name, for a folder of a web server.
    """

    transport: Transport
    selection: Selection
    is_private: Callable[[str], bool]
    credentials: Mapping[str, str] = field(default_factory=dict)
    index: Mapping[str, str] = field(default_factory=dict)
