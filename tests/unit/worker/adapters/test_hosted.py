"""A model in a child process: it speaks as it does in the worker's process, and crashes are reported."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.adapters.base import Crashable, LoraBase, Piece
from voiceplane_worker.adapters.hosted.adapter import HostedAdapter, HostedModel
from voiceplane_worker.adapters.mock import MockAdapter
from voiceplane_worker.thread_priority import COMPUTE_NICENESS

from tests.support.packs import mock_pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.adapters.base import Model, Samples

PIECE = Piece(text="One two three four five six seven.", voice="tone", language="en-US")


@pytest.fixture
def model() -> Iterator[HostedModel]:
    model = HostedAdapter("mock").load(mock_pack(), device="cpu", threads=1)
    yield model
    model.close()


def speak(model: Model) -> Samples:
    return np.concatenate(list(model.synthesize(PIECE)))


def kill(model: HostedModel) -> None:
    """As the kernel does when memory runs out; returns when everyone knows."""
    told: queue.SimpleQueue[VoiceplaneError] = queue.SimpleQueue()
    model.on_crash(told.put)
    psutil.Process(model.pid).send_signal(signal.SIGKILL)
    told.get(timeout=20)


def test_it_speaks_as_it_does_in_the_worker_s_own_process(model: HostedModel) -> None:
    at_home = MockAdapter().load(mock_pack(), device="cpu", threads=1)
    np.testing.assert_array_equal(speak(model), speak(at_home))
    assert (model.voices, model.sample_rate_hz, model.memory_bytes) == (
        at_home.voices,
        at_home.sample_rate_hz,
        at_home.memory_bytes,
    )


def test_its_process_is_nicer_and_ends_with_it(model: HostedModel) -> None:
    process = psutil.Process(model.pid)
    assert process.nice() >= COMPUTE_NICENESS
    model.close()
    assert not psutil.pid_exists(process.pid)


def test_a_load_fails_with_the_family_s_own_error_and_leaves_no_process() -> None:
    before = set(psutil.Process().children())
    with pytest.raises(VoiceplaneError, match="made to fail") as caught:
        HostedAdapter("mock").load(mock_pack(fail_load=True), device="cpu", threads=1)
    assert (caught.value.reason, caught.value.field) == ("PACK_INVALID", "options.fail_load")
    assert set(psutil.Process().children()) == before


def test_a_stream_that_breaks_gives_what_came_before_and_says_why() -> None:
    model = HostedAdapter("mock").load(mock_pack(fail_on="six"), device="cpu", threads=1)
    chunks = model.synthesize(PIECE)
    heard = [next(chunks) for _ in range(3)]
    with pytest.raises(RuntimeError, match="RuntimeError: the mock model fails here"):
        heard.extend(chunks)
    assert next(chunks, None) is None
    model.close()


def test_streams_alternate_and_one_that_is_closed_ends_alone(model: HostedModel) -> None:
    whole = speak(model)
    first, second = model.synthesize(PIECE), model.synthesize(PIECE)
    heard = [next(first)]
    next(second)
    second.close()  # type: ignore[attr-defined]  # a generator
    heard.extend(first)
    np.testing.assert_array_equal(np.concatenate(heard), whole)


def test_a_killed_process_ends_its_streams_with_an_error_and_is_reported(model: HostedModel) -> None:
    assert isinstance(model, Crashable)
    chunks = model.synthesize(PIECE)
    next(chunks)
    kill(model)
    for stream in (chunks, model.synthesize(PIECE)):
        with pytest.raises(VoiceplaneError, match=r"'mock' .*\(killed by SIGKILL\)") as caught:
            next(stream)
        assert caught.value.reason == "MODEL_PROCESS_ENDED"
    late: list[VoiceplaneError] = []
    model.on_crash(late.append)
    assert len(late) == 1


def test_a_call_under_way_ends_with_the_process() -> None:
    model = HostedAdapter("mock").load(mock_pack(chunk_compute_ms=60_000), device="cpu", threads=1)
    errors: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        try:
            speak(model)
        except VoiceplaneError as error:
            errors.put(error.reason)

    listener = threading.Thread(target=listen)
    listener.start()
    kill(model)
    listener.join()
    assert errors.get(timeout=0) == "MODEL_PROCESS_ENDED"
    model.close()


def test_a_process_that_dies_while_it_loads_is_a_failed_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(VoiceplaneError, match=r"'mock' .*\(exit code 1\)"):
        HostedAdapter("mock").load(mock_pack(), device="cpu", threads=1)


def test_an_end_that_was_asked_for_is_no_loss(model: HostedModel) -> None:
    told: list[VoiceplaneError] = []
    model.on_crash(told.append)
    model.close()
    assert told == []


def test_adapters_live_in_their_base_s_process(model: HostedModel) -> None:
    assert isinstance(model, LoraBase)
    at_home = MockAdapter().load(mock_pack(), device="cpu", threads=1).attach(mock_pack(model_id="lora"))
    lora = model.attach(mock_pack(model_id="lora"))
    np.testing.assert_array_equal(speak(lora), speak(at_home))
    lora.close()
    assert speak(model).size > 0
    with pytest.raises(VoiceplaneError, match="made to fail"):
        model.attach(mock_pack(model_id="lora", fail_load=True))


def test_a_worker_that_dies_leaves_no_process_behind() -> None:
    program = (
        "import sys; from tests.support.packs import mock_pack; "
        "from voiceplane_worker.adapters.hosted.adapter import HostedAdapter; "
        "model = HostedAdapter('mock').load(mock_pack(), device='cpu', threads=1); "
        "print(model.pid, flush=True); sys.stdin.read()"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    child = psutil.Process(int(worker.stdout.readline()))
    worker.kill()
    worker.communicate()
    child.wait(timeout=20)


def test_a_family_that_is_not_there_is_named_at_once() -> None:
    with pytest.raises(VoiceplaneError, match="'opera' is not installed"):
        HostedAdapter("opera")
