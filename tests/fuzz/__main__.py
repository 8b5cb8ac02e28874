"""`python -m tests.fuzz TARGET SECONDS`: libFuzzer through atheris, which looks for inputs that reach new code.

What fails is written to tests/fuzz/corpus/TARGET-…, which tests/unit/test_fuzz_targets.py runs from then on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    """Fuzz one target."""
    name, seconds = sys.argv[1], sys.argv[2]
    with atheris.instrument_imports(include=["voiceplane_common", "voiceplane_orchestrator", "voiceplane_worker"]):
        from tests.fuzz.targets import SEEDS, TARGETS  # noqa: PLC0415  # instrumented while it is imported
    if name not in TARGETS:
        sys.exit(f"there is no {name}: use one of {', '.join(TARGETS)}")
    known = Path.home() / ".cache" / "voiceplane" / "fuzz" / name
    known.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (known / f"seed-{number}").write_bytes(seed)
    flags = [f"-max_total_time={seconds}", f"-artifact_prefix={CORPUS}/{name}-", "-max_len=4096", "-timeout=10"]
    atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", str(known)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
