"""The child process: it runs one base model with its adapters, as its parent asks, and ends with its parent."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NoReturn, cast

from voiceplane_common import gc_tuning, logs

from voiceplane_worker.adapters.hosted.messages import Answer, Call, ModelFacts, portable
from voiceplane_worker.adapters.plugins import find_adapter
from voiceplane_worker.thread_priority import lower_thread_priority

if TYPE_CHECKING:
    from collections.abc import Generator

    from voiceplane_worker.adapters.base import LoraBase, Model, Piece, Samples
    from voiceplane_worker.packs.pack import VoicePack

# More than a worker has compute and loader threads: calls never wait here, the worker has put them in order.
THREADS = 64

_log = logs.get_logger("hosted")


class Host:
    """The models and streams of this process, by number; its methods run on several threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._models: dict[int, Model] = {}
        self._streams: dict[int, Generator[Samples]] = {}

    def load(self, family: str, pack: VoicePack, device: str, threads: int) -> ModelFacts:
        """See Adapter.load."""
        facts = self._keep(find_adapter(family).load(pack, device=device, threads=threads))
        gc_tuning.freeze()
        return facts

    def attach(self, base: int, pack: VoicePack) -> ModelFacts:
        """See LoraBase.attach."""
        return self._keep(cast("LoraBase", self._models[base]).attach(pack))

    def start(self, model: int, piece: Piece) -> int:
        """Prepare a stream; it computes nothing yet."""
        number = next(self._numbers)
        self._streams[number] = cast("Generator[Samples]", self._models[model].synthesize(piece))
        return number

    def step(self, stream: int) -> Samples | None:
        """The stream's next chunk; None at its end."""
        return next(self._streams[stream], None)

    def stop(self, stream: int) -> None:
        """End a stream."""
        self._streams.pop(stream).close()

    def close(self, model: int) -> None:
        """See Model.close."""
        self._models.pop(model).close()

    def _keep(self, model: Model) -> ModelFacts:
        number = next(self._numbers)
        self._models[number] = model
        return ModelFacts(
            number=number,
            sample_rate_hz=model.sample_rate_hz,
            voices=model.voices,
            memory_bytes=model.memory_bytes,
        )


def serve(connection: Connection) -> NoReturn:
    """Answer calls until the parent says that it is enough, or is gone; the process ends with all that it holds."""
    host = Host()
    sending = threading.Lock()
    pool = ThreadPoolExecutor(THREADS)

    def answer(call: Call) -> None:
        try:
            outcome = Answer(number=call.number, value=getattr(host, call.method)(*call.arguments))
        except Exception as error:
            _log.exception("call_failed", method=call.method)
            outcome = Answer(number=call.number, error=portable(error))
        with sending:
            connection.send(outcome)

    try:
        while True:
            pool.submit(answer, connection.recv())
    except (EOFError, OSError):
        os._exit(0)  # at once: nothing of it is needed any more, and freeing piece by piece takes longer


if __name__ == "__main__":
    logs.configure()
    lower_thread_priority()
    serve(Connection(int(sys.argv[1])))
