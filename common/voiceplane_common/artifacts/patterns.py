"""Which files of a source are fetched: include and exclude patterns.

A pattern is a glob over the relative name, case-sensitive, in which `*` also matches slashes. One that ends in a slash
stands for everything below that folder. No include pattern means every file; what an exclude pattern matches is left
out in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to fetch of a source.

    Attributes:
        include: Patterns of which one must match; empty: everything.
        exclude: Patterns of which none may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """Whether a file is fetched."""
        included = not self.include or any(_matches(name, pattern) for pattern in self.include)
        return included and not any(_matches(name, pattern) for pattern in self.exclude)

    @property
    def key(self) -> str:
        """What tells two selections apart; empty for everything."""
        if not self.include and not self.exclude:
            return ""
        return f"+{sorted(set(self.include))!r} -{sorted(set(self.exclude))!r}"


EVERYTHING = Selection()


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern) if pattern.endswith("/") else fnmatchcase(name, pattern)
