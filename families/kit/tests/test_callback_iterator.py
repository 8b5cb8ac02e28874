"""A blocking function becomes an iterator that runs only when it is asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from voiceplane_family_kit.callback_iterator import iterate

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_function_runs_to_its_next_item_and_no_further() -> None:
    reached: list[int] = []

    def work(emit: Callable[[int], None]) -> None:
        for number in range(3):
            reached.append(number)
            emit(number)

    items = iterate(work, name="work")
    assert reached == []
    assert next(items) == 0
    assert reached == [0]
    assert list(items) == [1, 2]


def test_closing_ends_the_function_where_it_stands() -> None:
    seen: list[str] = []

    def work(emit: Callable[[str], None]) -> None:
        try:
            emit("one")
            seen.append("never")
        finally:
            seen.append(f"cleaned up in {threading.current_thread().name}")

    items = iterate(work, name="work")
    next(items)
    items.close()
    assert seen == ["cleaned up in work"]
    assert "work" not in [thread.name for thread in threading.enumerate()]


def test_a_function_that_goes_on_emitting_after_the_end_is_stopped_again() -> None:
    told: list[str] = []

    def work(emit: Callable[[str], None]) -> None:
        for item in ("one", "two", "three"):
            try:
                emit(item)
            except GeneratorExit:
                told.append(item)

    items = iterate(work, name="work")
    assert next(items) == "one"
    items.close()
    assert told == ["one", "two", "three"]


def test_an_error_is_raised_where_the_item_was_asked_for() -> None:
    def work(emit: Callable[[int], None]) -> None:
        emit(1)
        raise ValueError("broken")

    items = iterate(work, name="work")
    assert next(items) == 1
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert next(items, None) is None


def test_an_iterator_that_was_never_asked_does_nothing() -> None:
    def work(emit: Callable[[int], None]) -> None:
        pytest.fail("it ran")

    iterate(work, name="work").close()
