"""An API server for each module of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.control_plane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """With Kubernetes' controllers, which create the pods of Deployments."""
    with ControlPlane(controllers=True) as plane:
        yield plane
