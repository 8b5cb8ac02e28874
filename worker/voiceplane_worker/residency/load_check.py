"""Whether this worker can ever load a model, from what is known before anything is fetched.

The checks are the family, the device, the licence and the memory. A problem is a refusal: it can only end by another
configuration of the worker, and not by itself.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from voiceplane_common.errors import VoiceplaneError, failed_precondition

from voiceplane_worker.adapters import plugins
from voiceplane_worker.adapters.devices import device_problem
from voiceplane_worker.packs.licences import check_licence
from voiceplane_worker.packs.metadata import PICKLE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from voiceplane_worker.adapters.family import Family
    from voiceplane_worker.packs.metadata import PackMetadata

NEVER = frozenset(
    {"FAMILY_NOT_INSTALLED", "FAMILY_BROKEN", "DEVICE_UNAVAILABLE", "LICENCE_NOT_ACCEPTED", "MODEL_TOO_LARGE"}
)
"""Reasons of failed loads that only another configuration of the worker ends."""

_FLOAT32 = frozenset({"float32", "fp32", "f32"})


class LoadCheck:
    """The checks of one worker. Cheap: what does not change is looked up once."""

    def __init__(
        self,
        *,
        device: str,
        accept_licences: Collection[str] = (),
        memory_cap_bytes: Callable[[], int] = lambda: 0,
        family_of: Callable[[str], Family] = plugins.family_of,
        problem_of_device: Callable[[str], VoiceplaneError | None] = device_problem,
    ) -> None:
        """Prepare.

        Args:
            device: "cpu", "cuda" or "cuda:N".
            accept_licences: See `voiceplane_worker.packs.licences.check_licence`.
            memory_cap_bytes: The limit of all models' memory; 0 for no limit.
            family_of: Returns a family that can be used, or raises.
            problem_of_device: Why a device can't be used; None if it can.
        """
        self._device = device
        self._accept_licences = tuple(accept_licences)
        self._memory_cap_bytes = memory_cap_bytes
        self._family_of = family_of
        self._problem_of_device = problem_of_device
        self._families: dict[str, VoiceplaneError | None] = {}

    def problem(self, family: str, metadata: PackMetadata | None = None) -> VoiceplaneError | None:
        """Why a model can never be loaded here; None if nothing is known against it.

        Args:
            family: Empty if it is not known yet.
            metadata: Of its pack, if it is known.
        """
        name = family or (metadata.family if metadata else "")
        if name and (problem := self._family_problem(name)):
            return problem
        if metadata is None:
            return None
        try:
            check_licence(metadata, accepted=self._accept_licences)
        except VoiceplaneError as error:
            return error
        return self.memory_problem(metadata.model_id, metadata.memory_bytes or 0)

    def check(self, metadata: PackMetadata) -> None:
        """Raise what `problem` says of a pack."""
        if problem := self.problem("", metadata):
            raise problem

    def memory_problem(self, model_id: str, memory_bytes: int) -> VoiceplaneError | None:
        """Why a model of this size can't be loaded even alone; None if it can."""
        cap = self._memory_cap_bytes()
        if not cap or memory_bytes <= cap:
            return None
        message = (
            f"model {model_id!r} needs about {memory_bytes} bytes, and the worker's budget is {cap} bytes: use a "
            "larger device or a smaller model, or raise model_manager.memory_cap_bytes"
        )
        return failed_precondition("MODEL_TOO_LARGE", message, field="model_id")

    def _family_problem(self, name: str) -> VoiceplaneError | None:
        if name not in self._families:
            try:
                family = self._family_of(name)
                self._families[name] = self._problem_of_device(self._device) if family.uses_device else None
            except VoiceplaneError as error:
                self._families[name] = error
        return self._families[name]


def estimate_memory_bytes(files: Mapping[str, int], *, device: str, options: Mapping[str, str]) -> int:
    """What a model will need at least, by the sizes of its files.

    Only weights count. Where a pack has safetensors, pickles beside them are not opened. On a GPU the families load
    half precision, which halves files in float32; on a CPU the files' own precision is the least.

    Args:
        files: Bytes of each file, by its relative name.
        device: Where it is loaded.
        options: Family options; `dtype` may ask for float32.
    """
    weights = {name: size for name, size in files.items() if PurePosixPath(name).suffix.lower() == ".safetensors"}
    graphs = sum(size for name, size in files.items() if PurePosixPath(name).suffix.lower() == ".onnx")
    if not weights:
        weights = {name: size for name, size in files.items() if PurePosixPath(name).suffix.lower() in PICKLE_SUFFIXES}
    total = sum(weights.values())
    if device.startswith("cuda") and options.get("dtype", "").lower() not in _FLOAT32:
        total //= 2
    return total + graphs
