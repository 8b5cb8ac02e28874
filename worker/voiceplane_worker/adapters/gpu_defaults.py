"""What the families need on a GPU, as the worker's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voiceplane_worker.adapters.family import Family
    from voiceplane_worker.settings import WorkerSettings


def with_gpu_defaults(settings: WorkerSettings, families: Iterable[Family]) -> WorkerSettings:
    """Settings in which unset values are what the families need on a GPU; the least, if there are several.

    Args:
        settings: Of the worker; unchanged if its device is no GPU.
        families: Those that it can load.
    """
    worker = settings.worker
    needs = [family.gpu for family in families if family.uses_device]
    if not worker.device.startswith("cuda") or not needs:
        return settings
    defaults = {"compute_workers": min(each.compute_workers for each in needs)}
    if sessions := [each.max_sessions for each in needs if each.max_sessions]:
        defaults["max_sessions"] = min(sessions)
    changes = {name: value for name, value in defaults.items() if name not in worker.model_fields_set}
    return settings.model_copy(update={"worker": worker.model_copy(update=changes)})
