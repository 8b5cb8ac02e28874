"""Turns traces on: reads the standard variables of OpenTelemetry and installs a tracer.

OpenTelemetry is imported only if the variables request traces.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from voiceplane_common import tracing
from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Mapping


def traces_requested(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables request traces.

    See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter := environment.get("OTEL_TRACES_EXPORTER"):
        return exporter != "none"
    return bool(environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def configure_tracing(service: str, *, environment: Mapping[str, str] = os.environ) -> None:
    """Set up traces for this process, if the environment requests them.

    Args:
        service: The default of OTEL_SERVICE_NAME.
        environment: The OTEL_* variables. The exporter reads its endpoint from the process's own environment.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION: the extra is missing, or a variable has an unsupported value.
    """
    if not traces_requested(environment):
        return
    try:
        from voiceplane_common import otel  # noqa: PLC0415  # an extra: loaded only if traces are on
    except ImportError as error:
        message = f"OTEL_* variables request traces, and the extra voiceplane-common[otel] is not installed: {error}"
        raise failed_precondition("EXTRA_MISSING", message, field="OTEL_TRACES_EXPORTER") from None
    tracing.install(otel.OtelTracer(service, exporter=otel.make_exporter(environment)))
