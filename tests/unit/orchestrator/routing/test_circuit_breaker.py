"""When sessions stay away from a worker that fails."""

from __future__ import annotations

import itertools

from voiceplane_orchestrator.routing.circuit_breaker import FIRST_WAIT_S, MAX_WAIT_S, CircuitBreaker


def test_a_new_one_lets_sessions_through() -> None:
    assert not CircuitBreaker(jitter=lambda: 1.0).is_open(0.0)


def test_a_failure_keeps_sessions_away_for_a_while() -> None:
    breaker = CircuitBreaker(jitter=lambda: 1.0)
    assert breaker.failed(100.0) == FIRST_WAIT_S
    assert breaker.is_open(100.0)
    assert breaker.is_open(100.0 + FIRST_WAIT_S - 0.001)
    assert not breaker.is_open(100.0 + FIRST_WAIT_S)


def test_each_failure_doubles_the_wait_up_to_a_limit() -> None:
    breaker = CircuitBreaker(jitter=lambda: 1.0)
    waits = [breaker.failed(0.0) for _ in range(40)]
    assert all(later == min(MAX_WAIT_S, 2 * earlier) for earlier, later in itertools.pairwise(waits))
    assert waits[-1] == MAX_WAIT_S


def test_a_success_closes_it_and_forgets_the_failures() -> None:
    breaker = CircuitBreaker(jitter=lambda: 1.0)
    for _ in range(5):
        breaker.failed(0.0)
    breaker.succeeded()
    assert not breaker.is_open(0.0)
    assert breaker.failed(0.0) == FIRST_WAIT_S


def test_the_jitter_stretches_each_wait() -> None:
    factors = iter([0.8, 1.2])
    breaker = CircuitBreaker(jitter=lambda: next(factors))
    assert [breaker.failed(0.0), breaker.failed(0.0)] == [FIRST_WAIT_S * 0.8, FIRST_WAIT_S * 2 * 1.2]
