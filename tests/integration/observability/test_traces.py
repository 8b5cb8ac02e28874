"""A turn of real processes as one trace, from the microphone to the first audio; none unless it is requested."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.logged import logged_python
from tests.support.logged_stack import WORDS, client, say_it_in_every_way, stack, take_a_turn
from tests.support.otlp import receiver
from tests.support.processes import free_port

if TYPE_CHECKING:
    from tests.support.otlp import Receiver

TURN = "orchestrator: turn"
CALL = "voiceplane.v1.TTS/Synthesize"
CLIENT, SERVER = 3, 2
PARENTS = {
    "orchestrator: endpointing": TURN,
    "orchestrator: recognition": TURN,
    "orchestrator: reply_first_token": TURN,
    "orchestrator: reply": TURN,
    "orchestrator: first_audio": TURN,
    "orchestrator: playout": TURN,
    f"orchestrator: {CALL}": TURN,
    f"worker: {CALL}": f"orchestrator: {CALL}",
    "worker: queue_wait": f"worker: {CALL}",
    "worker: first_chunk": f"worker: {CALL}",
    "worker: stream": f"worker: {CALL}",
}


def asks(receives: Receiver, *, protocol: str) -> dict[str, str]:
    """The variables that ask for traces."""
    endpoint = receives.grpc_url if protocol == "grpc" else receives.http_url
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
async def test_a_turn_is_one_trace_across_processes(protocol: str) -> None:
    async with receiver() as receives, stack(**asks(receives, protocol=protocol)) as running:
        async with client(running.url, "/v1/talk", sample_rate_hz=16_000) as user:
            await take_a_turn(user)
        turn = await receives.until("turn", service="voiceplane-orchestrator")
        await receives.until(CALL, service="voiceplane-worker")
        await running.stop()
        spans = receives.of(turn.trace_id)
        assert set(spans) == {TURN, *PARENTS}
        for name, parent in PARENTS.items():
            assert spans[name].parent_id == spans[parent].span_id, name
        assert turn.parent_id == ""
        assert (spans[f"orchestrator: {CALL}"].kind, spans[f"worker: {CALL}"].kind) == (CLIENT, SERVER)
        assert turn.attributes["voiceplane.result"] == "complete"
        assert spans[f"worker: {CALL}"].attributes["voiceplane.model"] == "mock"
        assert all(span.took_s >= 0 for span in spans.values())
        order = ["endpointing", "recognition", "reply_first_token", "first_audio", "playout"]
        begun = [spans[f"orchestrator: {name}"].began_s for name in order]
        assert begun == sorted(begun)
        assert spans["orchestrator: playout"].took_s > 0.5, "the words last longer than that"
        for line in running.orchestrator.log.splitlines():
            if '"event": "turn"' in line or '"event": "utterance"' in line:
                assert json.loads(line)["trace_id"] == turn.trace_id


async def test_texts_are_traces_too_and_no_span_has_a_word_of_them() -> None:
    async with receiver() as receives, stack(**asks(receives, protocol="grpc")) as running:
        await say_it_in_every_way(running.url)
        await running.stop()
        names = {(span.service, span.name) for span in receives.spans if not span.parent_id}
        assert names == {
            ("voiceplane-orchestrator", "turn"),
            ("voiceplane-orchestrator", "utterance"),
            ("voiceplane-orchestrator", "file"),
        }
        interrupted = [span for span in receives.spans if span.attributes.get("voiceplane.result") == "interrupted"]
        assert interrupted
        raw = (receives.raw + running.orchestrator.log + running.worker.log).lower()
        assert not [word for word in WORDS if word in raw]


async def test_a_receiver_that_is_not_there_disturbs_no_session() -> None:
    gone = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}", "OTEL_BSP_EXPORT_TIMEOUT": "500"}
    async with stack(**gone, OTEL_EXPORTER_OTLP_TIMEOUT="1") as running:
        async with client(running.url, "/v1/talk", sample_rate_hz=16_000) as user:
            await take_a_turn(user)
        await running.stop()
        assert all(line.startswith("{") for line in running.worker.log.splitlines()), "the library's lines are ours"


@pytest.mark.parametrize(
    "module", ["voiceplane_worker.main", "voiceplane_orchestrator.main", "voiceplane_operator.main"]
)
def test_without_being_asked_nothing_is_imported(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "from voiceplane_common import tracing, tracing_setup\n"
        "tracing_setup.configure_tracing('x', environment={})\n"
        "assert tracing.start_span('turn') is tracing.NOOP_SPAN\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


async def test_what_is_not_there_is_an_error_that_names_the_variable() -> None:
    variables = {"OTEL_TRACES_EXPORTER": "zipkin"}
    async with logged_python("voiceplane_worker", **variables) as process, asyncio.timeout(30):
        said = await process.until("voiceplane-worker: ")
        assert said == "OTEL_TRACES_EXPORTER is 'zipkin': set it to otlp or none"
        assert await process.child.wait() == 2
