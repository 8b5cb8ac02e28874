"""What is known of a family before any of its code is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voiceplane_worker.adapters.base import FamilyTraits


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDefaults:
    """What a family needs on a GPU, where the worker's settings do not say otherwise.

    Attributes:
        compute_workers: Inference steps at the same time: more of them only interleave on one device.
        max_sessions: Sessions at once; 0 for the worker's own default.
        warm_up_runs: How often the warm-up text is spoken: the first time, kernels are loaded and algorithms chosen.
    """

    compute_workers: int = 1
    max_sessions: int = 0
    warm_up_runs: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A family: what an entry point of the group `voiceplane.families` names.

    Attributes:
        traits: What its models can do; the adapter's own are the same.
        module: That of its adapter; it and its libraries are imported when the adapter is first asked for.
        adapter: The adapter's class in it, which takes no arguments.
        needs: The modules that must be installed besides.
        install: The command that installs it with all that it needs; empty: that of `voiceplane-family-NAME`.
        uses_device: Whether its models compute on the worker's device, which must be there then.
        gpu: What it needs on a GPU.
        file_suffixes: What the files of a pack end in, by role; `voiceplane packs add` finds them by it.
        opens: Patterns of the files that its models open, see `voiceplane_common.artifacts.patterns`: of a remote
            source that says nothing else, only these are fetched. Empty: all.
    """

    traits: FamilyTraits
    module: str
    adapter: str
    needs: tuple[str, ...] = ()
    install: str = ""
    uses_device: bool = True
    gpu: GpuDefaults = GpuDefaults()
    file_suffixes: Mapping[str, str] = field(default_factory=dict)
    opens: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """The modules that it needs and that are not installed here."""
        return [module for module in self.needs if not _is_installed(module)]

    @property
    def remedy(self) -> str:
        """The command that installs what it needs."""
        return self.install or install_command(self.traits.name)


def install_command(name: str) -> str:
    """The command that installs a family, by the name that this project gives to families' packages."""
    return f"pip install voiceplane-family-{name.replace('_', '-')}"


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package that is not there
        return False
