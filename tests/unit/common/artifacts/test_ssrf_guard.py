"""Which addresses a source may lead to, whichever way it gets there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_common.artifacts import fetch
from voiceplane_common.artifacts.ssrf_guard import Guard, PrivateAddressError, networks
from voiceplane_common.errors import VoiceplaneError

from tests.support import file_server
from tests.support.file_server import Served

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.file_server import FileServer

NAMED = Guard(private=networks(["10.20.0.0/16"]), endpoints=frozenset({("store.internal", 9000)}))


def refused(uri: str, cache_dir: Path, *private: str) -> VoiceplaneError:
    with pytest.raises(VoiceplaneError) as caught:
        fetch(uri, cache_dir=cache_dir, private_sources=private)
    return caught.value


def test_a_name_that_means_a_private_address_is_refused_unasked(web: FileServer, cache_dir: Path) -> None:
    error = refused(f"{web.url}/model.onnx", cache_dir)
    assert (error.reason, error.field) == ("PRIVATE_SOURCE", "source.uri")
    assert "worker.private_sources" in error.message
    assert web.asked == []


def test_a_redirect_to_a_private_address_is_refused(
    web: FileServer, localhost: dict[str, str], cache_dir: Path
) -> None:
    with file_server.file_server(localhost) as other:
        elsewhere = other.url.replace("localhost", "127.0.0.2")
        web.files["/away"] = Served(redirect=f"{elsewhere}/model.onnx")
        error = refused(f"{web.url}/away", cache_dir, "127.0.0.1/32", "::1/128")
        assert error.reason == "PRIVATE_SOURCE"
        assert "127.0.0.2" in error.message
        assert web.asked
        assert other.asked == []


def test_a_network_that_was_named_may_be_called(web: FileServer, cache_dir: Path) -> None:
    web.files["/model.onnx"] = Served(b"model")
    found = fetch(f"{web.url}/model.onnx", cache_dir=cache_dir, private_sources=["127.0.0.0/8", "::1/128"])
    assert found.read_bytes() == b"model"


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "239.1.2.3",  # noqa: S104
     "168.63.129.16", "100.100.100.200", "::", "::1", "fd00::1", "fe80::1%eth0", "fec0::1", "ff02::1", "fd00:ec2::254",
     "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::a00:1", "64:ff9b::a9fe:a9fe",
     "64:ff9b:1::a00:1", "64:ff9b:1::808:808", "2002:a00:1::1", "2001:0:0:0:0:0:f5ff:fffe", "2620::5efe:a00:1"],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    with pytest.raises(PrivateAddressError):
        NAMED.check(address, host="voices.test", port=443)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "2606:4700::1111", "10.20.3.4", "::ffff:10.20.3.4", "64:ff9b::101:101", "64:ff9b::a14:304"]
)
def test_addresses_that_are_public_or_named(address: str) -> None:
    NAMED.check(address, host="voices.test", port=443)


def test_an_endpoint_of_the_operator_may_be_private_but_is_never_the_clouds_metadata() -> None:
    NAMED.check("192.168.1.1", host="Store.internal", port=9000)
    for address, port in (("192.168.1.1", 443), ("169.254.169.254", 9000), ("::ffff:169.254.169.254", 9000)):
        with pytest.raises(PrivateAddressError):
            NAMED.check(address, host="store.internal", port=port)


def test_a_metadata_address_is_allowed_by_itself_alone() -> None:
    with pytest.raises(PrivateAddressError):
        Guard(private=networks(["169.254.0.0/16"])).check("169.254.169.254", host="metadata", port=80)
    Guard(private=networks(["169.254.169.254/32"])).check("169.254.169.254", host="metadata", port=80)


def test_who_runs_the_program_may_fetch_from_anywhere() -> None:
    Guard().check("169.254.169.254", host="metadata", port=80)


def test_a_network_that_is_none_is_named() -> None:
    with pytest.raises(VoiceplaneError, match=r"10\.20\.0\.0/16") as caught:
        networks(["10.20.0.1/16"])
    assert caught.value.field == "worker.private_sources"
