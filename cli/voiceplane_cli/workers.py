"""The workers and their load, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from voiceplane_cli.model_info import WorkerInfo
from voiceplane_cli.output import humanise_bytes, table


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
            _device_memory(worker),
            worker.worker_id,
        )
        for worker in workers
    ]
    return table(("worker", "state", "sessions", "queue", "first audio p50", "RTF p50", "GPU memory", "id"), rows)


def _device_memory(worker: WorkerInfo) -> str:
    if not worker.device_memory_bytes:
        return "-"
    return f"{humanise_bytes(worker.device_memory_used_bytes)} of {humanise_bytes(worker.device_memory_bytes)}"
