"""What one caller may ask for."""

from __future__ import annotations

import contextlib

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.transports import rate_limit
from voiceplane_orchestrator.transports.rate_limit import RateLimiter

from tests.support.clock import VirtualClock


def make(clock: VirtualClock, *, requests_per_minute: int = 60, connections_per_caller: int = 3) -> RateLimiter:
    return RateLimiter(
        requests_per_minute=requests_per_minute, connections_per_caller=connections_per_caller, clock=clock
    )


def ask(limiter: RateLimiter, name: str, *, times: int = 1) -> None:
    for _ in range(times):
        with limiter.enter(name):
            pass


async def test_a_caller_may_ask_as_often_as_a_minute_allows_and_learns_how_long_to_wait() -> None:
    clock = VirtualClock()
    limiter = make(clock)
    ask(limiter, "alice", times=60)
    with pytest.raises(VoiceplaneError) as caught:
        ask(limiter, "alice")
    assert (caught.value.reason, caught.value.retry_after_ms) == ("RATE_LIMITED", 1000)
    ask(limiter, "bob")
    await clock.advance(1.0)
    ask(limiter, "alice")
    with pytest.raises(VoiceplaneError):
        ask(limiter, "alice")
    await clock.advance(3_600.0)
    ask(limiter, "alice", times=60)
    with pytest.raises(VoiceplaneError):
        ask(limiter, "alice")


def test_a_caller_may_have_so_many_open_at_once() -> None:
    limiter = make(VirtualClock())
    with contextlib.ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(limiter.enter("alice"))
        with pytest.raises(VoiceplaneError) as caught:
            ask(limiter, "alice")
        assert caught.value.reason == "TOO_MANY_CONNECTIONS"
        ask(limiter, "bob")
    ask(limiter, "alice")


def test_who_calls_under_many_names_is_forgotten_but_no_one_with_something_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "MAX_REMEMBERED", 3)
    limits = make(VirtualClock(), connections_per_caller=1)
    with limits.enter("alice"):
        for number in range(10):
            ask(limits, f"caller {number}")
        with pytest.raises(VoiceplaneError):
            ask(limits, "alice")
    assert len(limits._callers) == 3
