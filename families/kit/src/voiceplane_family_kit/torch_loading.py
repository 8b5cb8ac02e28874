"""What loading is around a torch model's files, whatever its library."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch
from voiceplane_worker.adapters.memory import bound_what_the_heap_keeps, release_leftovers
from voiceplane_worker.adapters.options import broken
from voiceplane_worker.adapters.out_of_memory import is_out_of_memory
from voiceplane_worker.adapters.pack_files import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voiceplane_worker.packs.pack import VoicePack

MAX_REASON_CHARS = 500


@contextlib.contextmanager
def loading(
    pack: VoicePack, device: torch.device, *, threads: int, unreadable: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Load a model inside of this.

    On a CPU it sets torch's threads, which are the whole process's: torch has no others. In the end, memory of what was
    read, or of what a failed load left, goes back to the system.

    Args:
        pack: For the error.
        device: Where the model will be.
        threads: That one inference call may use on a CPU.
        unreadable: What the library raises for files that it can't read.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, PACK_INVALID, in the place of those.
    """
    bound_what_the_heap_keeps()
    if device.type == "cpu":
        torch.set_num_threads(threads)
    try:
        yield
    except unreadable as error:
        if is_out_of_memory(error):  # a RuntimeError, as those of broken files are
            raise
        raise broken(pack, f"the model can't be read: {one_line(error)[:MAX_REASON_CHARS]}") from None
    finally:
        release_leftovers()
