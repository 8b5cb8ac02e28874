"""The worker's end of a child process."""

from __future__ import annotations

import contextlib
import copy
import itertools
import queue
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, unavailable
from voiceplane_common.logs import get_logger

from voiceplane_worker.adapters.hosted.messages import Answer, Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# A child that is asked to end, or has lost its parent, exits at once; after this time it is killed.
END_TIMEOUT_S = 5.0

_log = get_logger("hosted")


class ChildProcess:
    """A child process and the calls that it has not answered. Thread-safe."""

    def __init__(self, model_id: str) -> None:
        """Start it.

        Args:
            model_id: What it is for; for messages.
        """
        self._model_id = model_id
        self._numbers = itertools.count()
        self._waiting: dict[int, queue.SimpleQueue[Answer]] = {}
        self._listeners: list[Callable[[VoiceplaneError], None]] = []
        self._lock = threading.Lock()
        self._lost: VoiceplaneError | None = None
        self._closing = False
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "voiceplane_worker.adapters.hosted.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a library prints goes where the log goes
                start_new_session=True,  # Ctrl-C is for the worker, which lets its sessions finish first
            )
        self._socket = ours
        self._connection = Connection(ours.dup().detach())
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"hosted-{self._process.pid}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def call(self, method: str, *arguments: object) -> object:
        """Call a method of the child's Host; blocks until it has answered.

        Raises:
            VoiceplaneError: The method's own, or UNAVAILABLE, MODEL_PROCESS_ENDED: there is no process any more.
            RuntimeError: What else it raised.
        """
        number = next(self._numbers)
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with self._lock:
            if self._lost:
                raise copy.copy(self._lost)  # every caller gets its own, with its own traceback
            self._waiting[number] = answers
        with contextlib.suppress(OSError), self._sending:  # the reader notices, too, and answers for a dead child
            self._connection.send(Call(number=number, method=method, arguments=arguments))
        answer = answers.get()
        if answer.error is not None:
            raise copy.copy(answer.error)
        return answer.value

    def on_crash(self, tell: Callable[[VoiceplaneError], None]) -> None:
        """Have a function called when the process has ended without having been asked to; at once, if it has."""
        with self._lock:
            self._listeners.append(tell)
            lost = self._lost
        if lost and not self._closing:
            tell(lost)

    def close(self) -> None:
        """End it, with all the memory that it holds."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join()

    def _read(self) -> None:
        try:
            while True:
                answer: Answer = self._connection.recv()
                with self._lock:
                    waiting = self._waiting.pop(answer.number)
                waiting.put(answer)
        except (EOFError, OSError):
            self._end()

    def _end(self) -> None:
        """Answer for a child that is no more."""
        try:
            code = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        error = _ended(self._model_id, code)
        if not self._closing:
            _log.error("model_process_ended", model_id=self._model_id, pid=self.pid, code=code)
        with self._lock:
            listeners = list(self._listeners)
        # Before any caller hears of it: who asks for the model after that must not get the lost one once more.
        self._tell_all(listeners, error)
        with self._lock:
            self._lost = error
            waiting, self._waiting = self._waiting, {}
            late = self._listeners[len(listeners) :]
        self._tell_all(late, error)
        self._connection.close()
        self._socket.close()
        for number, answers in waiting.items():
            answers.put(Answer(number=number, error=error))

    def _tell_all(self, listeners: Iterable[Callable[[VoiceplaneError], None]], error: VoiceplaneError) -> None:
        for tell in [] if self._closing else listeners:
            tell(error)


def _ended(model_id: str, code: int) -> VoiceplaneError:
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    message = (
        f"the process of model {model_id!r} crashed ({how}): see the worker's log for the reason, and the kernel's log "
        "for an out-of-memory kill"
    )
    return unavailable("MODEL_PROCESS_ENDED", message, retry_after_ms=1_000)
