"""The workers and their load, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from voiceplane_cli.model_info import WorkerInfo
from voiceplane_cli.output import table


def workers_table(workers: Sequence[WorkerInfo]) -> Table:
    """A row for each worker."""
    rows = [
        (
            worker.address,
            worker.state,
            f"{worker.sessions}/{worker.max_sessions}",
            str(worker.queue_depth),
            f"{worker.first_audio_p50_ms:.0f} ms" if worker.first_audio_p50_ms else "-",
            f"{worker.rtf_p50:.2f}" if worker.rtf_p50 else "-",
            worker.worker_id,
        )
        for worker in workers
    ]
    return table(("worker", "state", "sessions", "queue", "first audio p50", "RTF p50", "id"), rows)
