"""Which cluster the e2e tests start, and which they refuse. kind and docker are stand-ins that note their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster.choice import chosen, running
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.kind import CONFIGURATION, Kind
from tests.e2e.cluster_fixtures import given_cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of calls; the state of clusters is elsewhere, and no real kind or docker is found."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "calls"


@pytest.fixture
def install(calls: Path) -> Callable[[str, str], None]:
    """Put a stand-in on the path, with what it does after it wrote down its call."""

    def install(name: str, script: str) -> None:
        path = calls.parent / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n{script}\n')
        path.chmod(0o755)

    return install


def test_a_node_where_docker_cannot_pull(install: Callable[[str, str], None], calls: Path) -> None:
    install("kind", "echo other")
    install("docker", "exit 1")
    assert isinstance(chosen(), Cluster)
    assert "docker pull --quiet registry.k8s.io/pause:3.10" in calls.read_text()


@pytest.mark.usefixtures("calls")
def test_a_node_where_there_is_no_kind() -> None:
    assert isinstance(chosen(), Cluster)
    assert isinstance(running(), Cluster)


def test_kind_is_created_once_and_takes_archives_and_names(
    install: Callable[[str, str], None], calls: Path, tmp_path: Path
) -> None:
    install("docker", "exit 0")
    install("kind", "exit 0")
    kind = chosen()
    assert isinstance(kind, Kind)
    kubeconfig = kind.up()
    assert f"kind create cluster --name voiceplane --config {CONFIGURATION}" in calls.read_text()
    install("kind", '[ "$2" != clusters ] || echo voiceplane')
    assert isinstance(running(), Kind)
    assert kind.up() == kubeconfig
    assert calls.read_text().count("kind create") == 1
    archive = tmp_path / "worker.tar"
    archive.touch()
    kind.load([str(archive), "voiceplane/worker:dev"])
    assert f"kind load image-archive {archive} --name voiceplane\n" in calls.read_text()
    assert "kind load docker-image voiceplane/worker:dev --name voiceplane\n" in calls.read_text()
    kind.down()
    assert "kind delete cluster --name voiceplane\n" in calls.read_text()


@pytest.mark.parametrize(("context", "allowed"), [("kind-voiceplane", ""), ("voiceplane-test", ""), ("mine", "mine")])
def test_a_cluster_for_tests_is_taken(
    context: str, allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(f"current-context: {context}\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("VOICEPLANE_E2E_CONTEXT", allowed)
    assert given_cluster() == path


def test_somebodys_cluster_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("current-context: production\n")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("VOICEPLANE_E2E_CONTEXT", raising=False)
    with pytest.raises(RuntimeError, match="set VOICEPLANE_E2E_CONTEXT=production to let them"):
        given_cluster()


def test_a_kubeconfig_that_is_absent_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(RuntimeError, match="just cluster-up"):
        given_cluster()
