"""The fuzzer's targets, on their seeds, on what it has found, and on bytes drawn by chance."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

FOUND = sorted((Path(__file__).parents[1] / "fuzz" / "corpus").glob("*-*"))


def test_every_target_has_a_seed() -> None:
    assert SEEDS.keys() == TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS)
def test_the_seeds_are_taken(target: str) -> None:
    for seed in SEEDS[target]:
        TARGETS[target](seed)


def test_what_was_found_is_fixed() -> None:
    for file in FOUND:
        TARGETS[file.name.partition("-")[0]](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_bytes_by_chance_are_taken(target: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[target]))
    cut = data.draw(st.integers(0, len(seed)))
    TARGETS[target](seed[:cut] + data.draw(st.binary(max_size=64)) + seed[cut:])
