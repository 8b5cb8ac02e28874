"""The error of a missing optional dependency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from voiceplane_common.errors import VoiceplaneError


def extra_missing(feature: str, error: ImportError) -> VoiceplaneError:
    """The error of a feature that needs the extra `stt`."""
    message = f"{feature} needs the extra livekit-plugins-voiceplane[stt], and an import failed: {error}"
    return failed_precondition("EXTRA_MISSING", message)
