"""Drives a turn machine the way a session does: windows of 32 ms, and a Tick whenever one is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_speech_input.audio.format import USER_SAMPLE_RATE_HZ
from voiceplane_speech_input.turns.events import PartialTranscript, Tick, TurnEvent
from voiceplane_speech_input.turns.settings import EndpointingSection, InterruptionsSection
from voiceplane_speech_input.turns.turn_machine import TurnMachine
from voiceplane_speech_input.vad.events import SpeechContinues, SpeechEnded, SpeechStarted

if TYPE_CHECKING:
    from voiceplane_speech_input.turns.actions import TurnAction

WINDOW_MS = 32
END_SILENCE_MS = 160
PRE_ROLL_MS = 300


def samples(ms: float) -> int:
    return round(ms * USER_SAMPLE_RATE_HZ / 1000)


class TurnMachineDriver:
    """A turn machine with a user in front of it; `actions` and `times_ms` tell what it did, and when."""

    def __init__(
        self,
        *,
        interruptions: InterruptionsSection | None = None,
        endpointing: EndpointingSection | None = None,
        language: str = "en-US",
    ) -> None:
        self.machine = TurnMachine(
            interruptions=interruptions or InterruptionsSection(),
            endpointing=endpointing or EndpointingSection(),
            language=language,
        )
        self.now_ms = 1000.0
        self.actions: list[TurnAction] = []
        self.times_ms: list[float] = []

    def feed(self, event: TurnEvent) -> list[TurnAction]:
        return self._record(self.machine.handle(event, at_s=self.now_ms / 1000))

    def wait(self, ms: float) -> list[TurnAction]:
        """Time passes; Ticks come exactly when they are due."""
        until_ms = self.now_ms + ms
        seen = len(self.actions)
        while (deadline_s := self.machine.deadline_s) is not None and deadline_s * 1000 <= until_ms:
            self.now_ms = max(self.now_ms, deadline_s * 1000)
            self.feed(Tick())
        self.now_ms = until_ms
        return self.actions[seen:]

    def starts(self) -> list[TurnAction]:
        """The user's first voiced window."""
        self._first_voiced_ms = self.now_ms
        self._voiced_ms = WINDOW_MS
        self.wait(WINDOW_MS)
        return (
            self.feed(
                SpeechStarted(
                    onset_sample=max(0, samples(self._first_voiced_ms - PRE_ROLL_MS)),
                    through_sample=samples(self.now_ms),
                )
            )
            + self._continues()
        )

    def goes_on(self, ms: float) -> list[TurnAction]:
        seen = len(self.actions)
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            self.wait(WINDOW_MS)
            self._voiced_ms += WINDOW_MS
            self._continues()
        return self.actions[seen:]

    def ends(self) -> list[TurnAction]:
        """The user is quiet, which the detector knows END_SILENCE_MS later."""
        seen = len(self.actions)
        end_sample = samples(self.now_ms)
        for _ in range(0, END_SILENCE_MS - WINDOW_MS, WINDOW_MS):
            self.wait(WINDOW_MS)
            self._continues()
        self.wait(WINDOW_MS)
        self.feed(SpeechEnded(end_sample=end_sample, through_sample=samples(self.now_ms)))
        return self.actions[seen:]

    def says(self, ms: float) -> list[TurnAction]:
        seen = len(self.actions)
        self.starts()
        self.goes_on(ms - WINDOW_MS)
        self.ends()
        return self.actions[seen:]

    def hears(self, text: str) -> list[TurnAction]:
        """The latest RequestPartial is answered."""
        request = next(a for a in reversed(self.actions) if type(a).__name__ == "RequestPartial")
        return self.feed(
            PartialTranscript(turn_id=request.turn_id, text=text, through_sample=request.end_sample)  # type: ignore[union-attr]  # chosen by its name
        )

    def _continues(self) -> list[TurnAction]:
        return self.feed(SpeechContinues(voiced_ms=self._voiced_ms, through_sample=samples(self.now_ms)))

    def _record(self, actions: list[TurnAction]) -> list[TurnAction]:
        self.actions += actions
        self.times_ms += [self.now_ms] * len(actions)
        return actions
