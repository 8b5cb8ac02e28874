"""A blocking function with a callback, as an iterator: it runs only while its next item is asked for.

Some libraries generate in one long call and hand each step to a callback. Here that call has a thread of its own, which
stands still inside of the callback until the next item is wanted. So the compute waits for its listener, as it does in
a generator, and closing the iterator ends the call where it stands, without another step.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


def iterate(work: Callable[[Callable[[T], None]], object], *, name: str) -> Generator[T]:
    """Yield what a function emits.

    The function's thread is started by the first step, and so has that step's priority.

    Args:
        work: Called with `emit`, which raises GeneratorExit when the iterator has been closed: let it through.
        name: The thread's name.

    Raises:
        BaseException: Whatever the function raises.
    """
    turns = _Turns(work)
    thread = threading.Thread(target=turns.run, name=name, daemon=True)
    thread.start()
    try:
        while turns.advance():
            yield turns.take()
    finally:
        turns.close()
        thread.join()


class _Turns(Generic[T]):
    """Two threads of which one runs at a time."""

    def __init__(self, work: Callable[[Callable[[T], None]], object]) -> None:
        self._work = work
        self._wanted = threading.Semaphore(0)
        self._answered = threading.Semaphore(0)
        self._item: T | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False

    def run(self) -> None:
        """The function's thread."""
        try:
            self._wait()
            self._work(self._emit)
        except GeneratorExit:
            pass
        except BaseException as error:  # raised again where the item was asked for
            self._error = error
        finally:
            self._ended = True
            self._answered.release()

    def advance(self) -> bool:
        """Let the function run to its next item; False if there is none."""
        self._wanted.release()
        self._answered.acquire()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return not self._ended

    def take(self) -> T:
        """The item."""
        item, self._item = self._item, None
        return cast("T", item)

    def close(self) -> None:
        """End the function, if it has not ended."""
        self._closed = True
        self._wanted.release()

    def _emit(self, item: T) -> None:
        if self._closed:
            raise GeneratorExit
        self._item = item
        self._answered.release()
        self._wait()

    def _wait(self) -> None:
        self._wanted.acquire()
        if self._closed:
            raise GeneratorExit
