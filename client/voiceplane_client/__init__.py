"""A typed asyncio client of the worker ABI, shared by the orchestrator, the operator and the CLI."""

from voiceplane_client.session import SpeechStream, WorkerSession
from voiceplane_client.watch import Disconnected, Snapshot, watch_worker
from voiceplane_client.worker import Deadlines, WorkerClient, state_name

__all__ = [
    "Deadlines",
    "Disconnected",
    "Snapshot",
    "SpeechStream",
    "WorkerClient",
    "WorkerSession",
    "state_name",
    "watch_worker",
]
