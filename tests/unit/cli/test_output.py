from __future__ import annotations

import io
from datetime import UTC, datetime

import grpc
import pytest
from rich.console import Console
from voiceplane_cli.inventory import models_table, reasons
from voiceplane_cli.model_info import ModelInfo, Placement, WorkerInfo
from voiceplane_cli.output import CliError, ExitCode, exit_code, fail, humanise_age, humanise_bytes
from voiceplane_cli.workers import workers_table
from voiceplane_common.errors import VoiceplaneError, invalid, unavailable

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
LONG = ModelInfo(
    model_id="a-model-with-a-rather-long-name-medium",
    family="piper",
    is_default=True,
    workers=(
        Placement(
            worker="worker-0.workers.voiceplane.svc.cluster.local:50051",
            state="failed",
            reason="DigestMismatch",
            message="the pack's sha256 is not the one that was asked for: correct the digest [or the source]",
            last_used="2026-01-02T11:57:00Z",
        ),
    ),
)
WORKER = WorkerInfo(
    address="worker-0.workers.voiceplane.svc.cluster.local:50051", worker_id="w" * 36, ready=True, draining=False,
    sessions=1, max_sessions=16, queue_depth=0, first_audio_p50_ms=31.5, rtf_p50=0.08,
)  # fmt: skip


def render(table: object, *, width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(table)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_tables_fit_the_terminal_and_lose_nothing(width: int) -> None:
    for table in (models_table([LONG], now=NOW), workers_table([WORKER])):
        lines = render(table, width=width).splitlines()
        assert max(map(len, lines)) <= width
        assert "…" not in "".join(lines)
    letters = "".join(render(models_table([LONG], now=NOW), width=width).split())
    assert "3min" in letters, "a column has disappeared"


def test_a_table_shows_state_reason_and_a_humanised_age() -> None:
    shown = render(models_table([LONG], now=NOW), width=250)
    for part in ("medium *", "failed", "3 min"):
        assert part in shown
    (reason,) = reasons([LONG])
    assert reason.endswith(
        ":50051 is failed: DigestMismatch: the pack's sha256 is not the one that was asked for: "
        "correct the digest [or the source]"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"),
        (0, "0 s"),
        (99, "99 s"),
        (100, "1 min"),
        (5999, "99 min"),
        (6000, "1 h"),
        (200_000, "2 d"),
        (-30, "in 30 s"),
    ],
)
def test_ages_are_humanised(seconds: float | None, said: str) -> None:
    assert humanise_age(seconds) == said


def test_bytes_are_humanised() -> None:
    assert [humanise_bytes(count) for count in (0, 999, 63_000_000, 2_100_000_000)] == ["-", "999 B", "63 MB", "2.1 GB"]


def test_exit_codes_follow_the_kind_of_error() -> None:
    assert exit_code(CliError("x")) == 1
    assert exit_code(invalid("speed", "x")) == 2
    assert exit_code(unavailable("NO_WORKER", "x")) == 3
    assert exit_code(VoiceplaneError(grpc.StatusCode.UNAUTHENTICATED, "KEY", "x")) == 4
    assert exit_code(VoiceplaneError(grpc.StatusCode.INTERNAL, "BUG", "x")) == 1


def test_an_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(CliError("first\nsecond", code=ExitCode.USAGE)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "voiceplane: first second\n"
