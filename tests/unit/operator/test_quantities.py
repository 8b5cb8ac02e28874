"""Quantities as the API server reads them."""

from __future__ import annotations

import pytest
from voiceplane_operator.quantities import integer_value


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        (7, 7),
        ("7", 7),
        ("1500Mi", 1500 * 2**20),
        ("2Gi", 2 * 2**30),
        ("1.5Gi", 3 * 2**29),
        (".5Ki", 512),
        ("2G", 2_000_000_000),
        ("1e3", 1000),
        ("2E", 2 * 10**18),
        ("1Ei", 2**60),
        ("100m", 1),
        ("1001m", 2),
        ("1n", 1),
    ],
)
def test_a_quantity_is_rounded_up(quantity: int | str, number: int) -> None:
    assert integer_value(quantity) == number


@pytest.mark.parametrize("text", ["", "Gi", "2GB", "1.2.3", ".", "1 Gi", "two"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantity"):
        integer_value(text)
