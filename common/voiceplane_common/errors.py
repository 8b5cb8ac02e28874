"""The error type of everything that a user can encounter, and its form in gRPC.

On the wire it is a gRPC status with google.rpc details (https://google.aip.dev/193): ErrorInfo carries the stable
reason, BadRequest the field and the remedy, RetryInfo the time after which a retry makes sense.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "voiceplane.dev"


class VoiceplaneError(Exception):
    """An error that says what is wrong and what to do about it.

    Attributes:
        code: The gRPC status code.
        reason: A stable identifier in UPPER_SNAKE_CASE, for programs.
        message: What is wrong and the remedy, for users; one line.
        field: The request or settings field at fault, empty if none is.
        retry_after_ms: When a retry makes sense; None if it makes none.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        field: str = "",
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.code, self.reason, self.message, self.field, self.retry_after_ms)

    def to_status(self) -> status_pb2.Status:
        """The google.rpc.Status of this error."""
        details: list[any_pb2.Any] = []

        def pack(
            message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
        ) -> None:
            packed = any_pb2.Any()
            packed.Pack(message)
            details.append(packed)

        pack(error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN))
        if self.field:
            violation = error_details_pb2.BadRequest.FieldViolation(field=self.field, description=self.message)
            pack(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.retry_after_ms is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(self.retry_after_ms)
            pack(error_details_pb2.RetryInfo(retry_delay=delay))
        return status_pb2.Status(code=self.code.value[0], message=self.message, details=details)


def _rebuild(
    code: grpc.StatusCode, reason: str, message: str, field: str, retry_after_ms: int | None
) -> VoiceplaneError:
    return VoiceplaneError(code, reason, message, field=field, retry_after_ms=retry_after_ms)


def invalid(field: str, message: str, *, reason: str = "INVALID_ARGUMENT") -> VoiceplaneError:
    """A value that can never be accepted; the message says what is."""
    return VoiceplaneError(grpc.StatusCode.INVALID_ARGUMENT, reason, message, field=field)


def not_found(field: str, message: str, *, reason: str = "NOT_FOUND") -> VoiceplaneError:
    """Something named by the caller does not exist."""
    return VoiceplaneError(grpc.StatusCode.NOT_FOUND, reason, message, field=field)


def unavailable(reason: str, message: str, *, retry_after_ms: int | None = None) -> VoiceplaneError:
    """It cannot be done now, and may be possible later or elsewhere."""
    return VoiceplaneError(grpc.StatusCode.UNAVAILABLE, reason, message, retry_after_ms=retry_after_ms)


def exhausted(reason: str, message: str, *, field: str = "", retry_after_ms: int | None = None) -> VoiceplaneError:
    """A limit is reached."""
    return VoiceplaneError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, reason, message, field=field, retry_after_ms=retry_after_ms
    )


def failed_precondition(reason: str, message: str, *, field: str = "") -> VoiceplaneError:
    """It can't be done in the present state."""
    return VoiceplaneError(grpc.StatusCode.FAILED_PRECONDITION, reason, message, field=field)


def internal() -> VoiceplaneError:
    """An internal error, whose cause belongs in the log and not in a message."""
    return VoiceplaneError(grpc.StatusCode.INTERNAL, "INTERNAL", "internal server error: see the server's log")


def from_rpc_error(error: grpc.aio.AioRpcError) -> VoiceplaneError:
    """The error that a worker raised, rebuilt from a call's status; a bare status keeps its code and text."""
    status: status_pb2.Status | None = None
    try:
        # grpc_status accepts whatever has code(), details() and trailing_metadata().
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:
        status = None  # the details contradict the status: believe the status
    reason, field, retry_after_ms = error.code().name, "", None
    for detail in status.details if status else ():
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
        elif detail.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
    return VoiceplaneError(
        error.code(), reason, error.details() or error.code().name, field=field, retry_after_ms=retry_after_ms
    )
