"""Durations and sizes as users write them."""

from __future__ import annotations

import re

from voiceplane_cli.output import CliError, ExitCode

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}  # fmt: skip
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)


def seconds(flag: str, text: str) -> float:
    """A duration such as 30d or 12h.

    Raises:
        CliError: It is none; names the flag.
    """
    return _quantity(flag, text, _SECONDS, "30d: a number with s, min, h, d or w")


def size_bytes(flag: str, text: str) -> int:
    """A size such as 20GiB or 500MB.

    Raises:
        CliError: It is none; names the flag.
    """
    return int(_quantity(flag, text, _BYTES, "20GiB: a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"))


def _quantity(flag: str, text: str, units: dict[str, int], example: str) -> float:
    match = _QUANTITY.fullmatch(text.strip())
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise CliError(f"{flag} {text!r} is not like {example}", code=ExitCode.USAGE)
    return float(match[1]) * unit
