"""Licences that forbid commercial use: their packs are refused unless worker.accept_licences has the licence."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from voiceplane_common.errors import failed_precondition

if TYPE_CHECKING:
    from collections.abc import Collection

    from voiceplane_worker.packs.metadata import PackMetadata

# Patterns in lower case, of SPDX identifiers and of the names in use for licences that have none.
NON_COMMERCIAL = (
    "cc-by-nc*",
    "cc-nc*",
    "cpml*",
    "coqui-public-model-licen?e*",
    "polyform-noncommercial*",
    "*noncommercial*",
    "*non-commercial*",
    "*research-only*",
    "aladdin*",
)

_OPERATORS = re.compile(r"\s+(?:and|or|with)\s+|[()]")


def check_licence(metadata: PackMetadata, *, accepted: Collection[str]) -> None:
    """Refuse a pack whose licence forbids commercial use, unless it has been accepted.

    Args:
        metadata: The pack's.
        accepted: Licences that may be used; upper and lower case are the same.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, LICENCE_NOT_ACCEPTED.
    """
    allowed = {term for name in accepted for term in _terms(name)}
    if not allowed.issuperset(non_commercial(metadata.licence)):
        raise failed_precondition(
            "LICENCE_NOT_ACCEPTED",
            f"the licence {metadata.licence!r} of model {metadata.model_id!r} forbids commercial use: if it permits "
            "your use, add it to worker.accept_licences, in the environment "
            f"VOICEPLANE_WORKER__ACCEPT_LICENCES='[\"{metadata.licence}\"]'",
            field="licence",
        )


def non_commercial(licence: str) -> list[str]:
    """The parts of a licence, an SPDX expression or a name, that forbid commercial use; in lower case.

    A part of a choice ("MIT OR CC-BY-NC-4.0") counts, too: whoever chose the other one can write that one down.
    """
    return [term for term in _terms(licence) if any(fnmatchcase(term, pattern) for pattern in NON_COMMERCIAL)]


def _terms(licence: str) -> list[str]:
    parts = [part.strip() for part in _OPERATORS.split(" ".join(licence.lower().split()))]
    return [part.replace(" ", "-").removeprefix("licenseref-") for part in parts if part]
