"""Errors keep their code, reason, field and retry time on their way over the wire."""

from __future__ import annotations

import pickle

import grpc
from grpc_status import rpc_status
from voiceplane_common.errors import VoiceplaneError, exhausted, from_rpc_error, invalid


def over_the_wire(error: VoiceplaneError) -> VoiceplaneError:
    status = rpc_status.to_status(error.to_status())
    assert status.trailing_metadata is not None
    call_error = grpc.aio.AioRpcError(
        status.code,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(*status.trailing_metadata),
        details=status.details,
    )
    return from_rpc_error(call_error)


def test_an_error_survives_the_wire() -> None:
    sent = exhausted("SESSIONS_EXHAUSTED", "all 3 sessions are in use", field="session_id", retry_after_ms=1500)
    got = over_the_wire(sent)
    assert (got.code, got.reason, got.message, got.field, got.retry_after_ms) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "SESSIONS_EXHAUSTED",
        "all 3 sessions are in use",
        "session_id",
        1500,
    )


def test_a_bare_status_keeps_its_code_and_text() -> None:
    bare = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details="connection refused"
    )
    got = from_rpc_error(bare)
    assert (got.code, got.reason, got.message) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "connection refused")


def test_an_error_crosses_a_process_boundary() -> None:
    got = pickle.loads(pickle.dumps(invalid("speed", "speed 9 is outside of 0.5 to 2.0")))  # noqa: S301
    assert (got.field, got.message) == ("speed", "speed 9 is outside of 0.5 to 2.0")
