"""Which cluster: kind where images can be pulled, else a node of this machine's own."""

from __future__ import annotations

from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kind import Kind


def chosen(on: str = "auto") -> Cluster | Kind:
    """The cluster to start.

    Args:
        on: "kind", "node", or "auto".
    """
    if on == "kind" or (on == "auto" and (Kind.exists() or Kind.usable())):
        return Kind()
    return Cluster()


def running() -> Cluster | Kind:
    """The cluster that was started; of none, the one that never needs kind."""
    return Kind() if Kind.exists() else Cluster()
