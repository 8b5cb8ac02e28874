"""Kubernetes quantities as numbers.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([EPTGMK]i)|([numkMGTPE])|[eE]([+-]?[0-9]+))?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def integer_value(quantity: int | str) -> int:
    """A quantity, rounded up to an integer, as the API server does.

    Raises:
        ValueError: It is no quantity; the API server accepts none such.
    """
    if isinstance(quantity, int):
        return quantity
    match = _FORM.fullmatch(quantity.strip())
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity: write a number with a unit such as Mi or G")
    number, binary, decimal, exponent = match.groups()
    value = Decimal(number)
    if binary:
        value *= 2 ** _BINARY[binary]
    elif decimal:
        value = value.scaleb(_DECIMAL[decimal])
    elif exponent:
        value = value.scaleb(int(exponent))
    return int(value.to_integral_value(rounding="ROUND_CEILING"))
