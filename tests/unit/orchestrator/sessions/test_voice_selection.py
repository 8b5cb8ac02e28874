"""What a client chose is there in its next session, for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceplane_orchestrator.sessions import voice_selection
from voiceplane_orchestrator.sessions.voice_selection import VoiceSelection, VoiceSelectionStore

from tests.support.clock import VirtualClock

if TYPE_CHECKING:
    import pytest

HIGH = VoiceSelection(model="m", voice="high")


async def test_a_selection_lives_for_its_ttl_after_its_last_use() -> None:
    clock = VirtualClock()
    store = VoiceSelectionStore(ttl_ms=10_000, clock=clock)
    store.put("me", HIGH)
    await clock.advance(10.0)
    assert store.get("me") == HIGH
    await clock.advance(10.0)
    assert store.get("me") == HIGH, "the use before has renewed it"
    await clock.advance(10.1)
    assert store.get("me") == VoiceSelection()
    assert store.get("you") == VoiceSelection()


async def test_what_no_one_came_back_for_is_forgotten_when_others_come() -> None:
    clock = VirtualClock()
    store = VoiceSelectionStore(ttl_ms=10_000, clock=clock)
    store.put("a", HIGH)
    await clock.advance(6.0)
    store.put("b", HIGH)
    await clock.advance(6.0)
    store.put("c", HIGH)
    assert list(store._kept) == ["b", "c"]


def test_the_least_recently_used_client_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_selection, "MAX_CLIENTS", 2)
    store = VoiceSelectionStore(ttl_ms=10_000, clock=VirtualClock())
    store.put("a", HIGH)
    store.put("b", HIGH)
    store.get("a")
    store.put("c", HIGH)
    assert [store.get(name) == HIGH for name in ("a", "b", "c")] == [True, False, True]


def test_another_model_takes_its_own_first_voice_unless_one_is_named() -> None:
    assert HIGH.changed(model="other") == VoiceSelection(model="other")
    assert HIGH.changed(model="other", voice="low") == VoiceSelection(model="other", voice="low")
    assert HIGH.changed(model="m") == HIGH
    assert HIGH.changed(speed=1.5) == VoiceSelection(model="m", voice="high", speed=1.5)
    assert HIGH.changed(model="", voice="") == VoiceSelection()
