"""A pack whose licence forbids commercial use is refused before anything is fetched, unless it was accepted by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_worker.packs.catalog import PackCatalog
from voiceplane_worker.packs.licences import non_commercial
from voiceplane_worker.packs.metadata import PackSource
from voiceplane_worker.packs.opening import open_pack
from voiceplane_worker.residency.model_spec import ModelSpec
from voiceplane_worker.residency.pack_loader import PackLoader

from tests.support.voicepacks import write_pack

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "licence",
    [
        "CC-BY-NC-4.0",
        "cc-by-nc-sa-3.0-de",
        "CC-BY-NC-ND-4.0",
        "CC BY-NC 4.0",
        "CPML",
        "LicenseRef-CPML-1.0",
        "Coqui Public Model License 1.0.0",
        "PolyForm-Noncommercial-1.0.0",
        "Research only",
        "Apache-2.0 AND CC-BY-NC-4.0",
        "(MIT OR Apache-2.0) AND (CC-BY-NC-4.0)",
    ],
)
def test_a_licence_that_forbids_commercial_use_is_known(licence: str) -> None:
    assert non_commercial(licence)


@pytest.mark.parametrize(
    "licence",
    ["Apache-2.0", "MIT", "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "GPL-3.0-or-later", "NCSA", "BSD-3-Clause AND MIT"],
)
def test_a_licence_that_allows_it_is_left_alone(licence: str) -> None:
    assert non_commercial(licence) == []


def test_every_pack_that_comes_with_voiceplane_may_be_used_commercially_but_for_those_that_are_known() -> None:
    catalog = PackCatalog()
    packs = [catalog.find(model_id) for model_id in catalog.model_ids]
    known = {"spark-tts-0.5b", "xtts-v2", "xtts-v2-en"}
    assert {pack.metadata.model_id for pack in packs if pack and non_commercial(pack.metadata.licence)} == known


def refused(spec: ModelSpec, known: Path | None = None) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        open_pack(spec, PackCatalog(known).find(spec.model_id) if known else None)
    assert (caught.value.code, caught.value.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "LICENCE_NOT_ACCEPTED",
    )
    return caught.value


def test_the_refusal_names_the_licence_and_the_remedy(tmp_path: Path) -> None:
    write_pack(tmp_path / "mock" / "voice", "voice", licence="CC-BY-NC-4.0")
    error = refused(ModelSpec(model_id="voice"), tmp_path)
    assert error.field == "licence"
    assert "'CC-BY-NC-4.0'" in error.message
    assert "worker.accept_licences" in error.message
    assert "VOICEPLANE_WORKER__ACCEPT_LICENCES='[\"CC-BY-NC-4.0\"]'" in error.message


def test_nothing_is_fetched_of_a_pack_that_is_refused(tmp_path: Path) -> None:
    gone = {"uri": (tmp_path / "not there").as_uri()}  # fetching it would be another error
    write_pack(tmp_path / "packs" / "mock" / "voice", "voice", licence="CPML", source=gone)
    refused(ModelSpec(model_id="voice"), tmp_path / "packs")


def test_a_pack_that_brings_its_own_metadata_is_refused_by_it(tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "voice", "voice", licence="CC-BY-NC-4.0")
    refused(ModelSpec(model_id="voice", source=PackSource(uri=folder.as_uri())))


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("CC-BY-NC-4.0", ("cc-by-nc-4.0",)),
        ("CC-BY-NC-4.0", ("CPML", "CC-BY-NC-4.0")),
        ("LicenseRef-CPML", ("CPML",)),
        ("MIT AND CC-BY-NC-4.0", ("CC-BY-NC-4.0",)),
        ("CPML AND CC-BY-NC-4.0", ("CPML AND CC-BY-NC-4.0",)),
    ],
)
def test_a_pack_whose_licence_was_accepted_is_opened(licence: str, accepted: tuple[str, ...], tmp_path: Path) -> None:
    folder = write_pack(tmp_path / "mock" / "voice", "voice", licence=licence)
    pack = open_pack(ModelSpec(model_id="voice"), PackCatalog(tmp_path).find("voice"), accept_licences=accepted)
    assert pack.path == folder


@pytest.mark.parametrize("accepted", ["CC-BY-NC-SA-4.0", "CC-BY-NC", "*", ""])
def test_another_licence_that_was_accepted_does_not_help(accepted: str, tmp_path: Path) -> None:
    write_pack(tmp_path / "mock" / "voice", "voice", licence="CC-BY-NC-4.0")
    with pytest.raises(VoiceplaneError, match="forbids commercial use"):
        open_pack(ModelSpec(model_id="voice"), PackCatalog(tmp_path).find("voice"), accept_licences=(accepted,))


async def test_the_loader_of_a_worker_asks(tmp_path: Path) -> None:
    write_pack(tmp_path / "mock" / "voice", "voice", licence="CPML")
    known, spec = PackCatalog(tmp_path).find("voice"), ModelSpec(model_id="voice")
    with pytest.raises(VoiceplaneError, match="CPML"):
        await PackLoader(device="cpu", threads=1).fetch(spec, known, fetched=lambda *_: None)
    accepting = PackLoader(device="cpu", threads=1, accept_licences=("CPML",))
    assert (await accepting.fetch(spec, known, fetched=lambda *_: None)).metadata.licence == "CPML"
