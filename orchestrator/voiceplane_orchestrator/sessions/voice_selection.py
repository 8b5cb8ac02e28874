"""The voice that a client selected, kept from one of its sessions to the next."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voiceplane_orchestrator.routing.voice_request import Emoji, Markup, Normalise, Segmentation, VoiceRequest
from voiceplane_orchestrator.sessions.events import Selected

if TYPE_CHECKING:
    from voiceplane_common.clock import Clock

MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSelection:
    """A selected voice; an empty string leaves the choice to the server."""

    model: str = ""
    voice: str = ""
    language: str = ""
    speed: float = 1.0
    segmentation: Segmentation = ""
    markup: Markup = ""
    emoji: Emoji = ""
    normalise: Normalise = ""

    def request(self) -> VoiceRequest:
        """The same, as a request to the router."""
        return VoiceRequest(
            model_id=self.model,
            voice=self.voice,
            language=self.language,
            speed=self.speed,
            segmentation=self.segmentation,
            markup=self.markup,
            emoji=self.emoji,
            normalise=self.normalise,
        )

    def changed(
        self,
        *,
        model: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        speed: float | None = None,
        segmentation: Segmentation | None = None,
        markup: Markup | None = None,
        emoji: Emoji | None = None,
        normalise: Normalise | None = None,
    ) -> VoiceSelection:
        """A copy with the given changes; another model without a voice selects that model's first voice."""
        if model is not None and model != self.model and voice is None:
            voice = ""
        return VoiceSelection(
            model=self.model if model is None else model,
            voice=self.voice if voice is None else voice,
            language=self.language if language is None else language,
            speed=self.speed if speed is None else speed,
            segmentation=self.segmentation if segmentation is None else segmentation,
            markup=self.markup if markup is None else markup,
            emoji=self.emoji if emoji is None else emoji,
            normalise=self.normalise if normalise is None else normalise,
        )


class VoiceSelectionStore:
    """The voices of clients, each kept for a time after its last use; the least recently used are evicted."""

    def __init__(self, *, ttl_ms: int, clock: Clock) -> None:
        self._ttl_s = ttl_ms / 1000
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, VoiceSelection]] = OrderedDict()

    def get(self, client_id: str) -> VoiceSelection:
        """The client's voice, or the default one."""
        kept_s, selection = self._kept.get(client_id, (0.0, None))
        if selection is None or self._clock.now() - kept_s > self._ttl_s:
            self._kept.pop(client_id, None)
            return VoiceSelection()
        self.put(client_id, selection)
        return selection

    def put(self, client_id: str, selection: VoiceSelection) -> None:
        """Keep a client's voice; expired ones are dropped."""
        now_s = self._clock.now()
        self._kept[client_id] = (now_s, selection)
        self._kept.move_to_end(client_id)
        while len(self._kept) > MAX_CLIENTS or now_s - next(iter(self._kept.values()))[0] > self._ttl_s:
            self._kept.popitem(last=False)


def selected_event(selection: VoiceSelection) -> Selected:
    """The event that reports a selected voice."""
    return Selected(
        model=selection.model,
        voice=selection.voice,
        language=selection.language,
        speed=selection.speed,
        segmentation=selection.segmentation,
        markup=selection.markup,
        emoji=selection.emoji,
        normalise=selection.normalise,
    )
