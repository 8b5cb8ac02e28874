"""Where the time of a torch family's model goes, by torch.profiler: `just profile-torch NAME trace.json`.

It runs in the family's own environment, on a tiny model unless a pack is named, and on the GPU if that is asked for.
The trace opens in https://ui.perfetto.dev or chrome://tracing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from voiceplane_worker.adapters.base import Piece
from voiceplane_worker.adapters.plugins import find_adapter

from tests.support.packs import contract_pack, folder_pack

if TYPE_CHECKING:
    from voiceplane_worker.adapters.base import Model

TEXT = "The train to the coast leaves at noon from platform nine, and it is never late."


def speak(model: Model) -> int:
    """Synthesize one piece; returns its samples."""
    voice = model.voices[0]
    piece = Piece(text=TEXT, voice=voice.name, language=voice.language)
    return sum(chunk.size for chunk in model.synthesize(piece))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("family")
    parser.add_argument("trace", type=Path)
    parser.add_argument("--pack", type=Path, help="a pack's folder, with its metadata.yaml")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    pack = folder_pack(options.pack) if options.pack else contract_pack(options.family)
    model = find_adapter(options.family).load(pack, device=options.device, threads=options.threads)
    speak(model)  # what is done once is not what is asked for
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if options.device.startswith("cuda"):
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    # A family may compute in a thread of its own; without this, the profiler sees the one that it was started in.
    everywhere = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    with torch.profiler.profile(activities=kinds, record_shapes=True, experimental_config=everywhere) as profile:
        samples = speak(model)
    profile.export_chrome_trace(str(options.trace))
    order = "self_cuda_time_total" if options.device.startswith("cuda") else "self_cpu_time_total"
    print(profile.key_averages().table(sort_by=order, row_limit=20))
    print(f"{samples / model.sample_rate_hz:.2f} s of audio; the trace is in {options.trace}")
    model.close()


if __name__ == "__main__":
    main()
