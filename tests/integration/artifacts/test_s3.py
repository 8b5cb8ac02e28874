"""`s3:` sources, against moto's S3 server."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from voiceplane_common.artifacts import FetchLimits, fetch, find
from voiceplane_common.errors import VoiceplaneError

from tests.support.artifacts import tree_of, write_tree
from tests.support.voicepacks import pack_yaml, packs_command, write_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.integration.artifacts.conftest import Wire

MODEL = random.Random(2).randbytes(3_000_000)
FILES = {"metadata.yaml": b"a: b", "onnx/model.onnx": MODEL, "unused/ckpt.pt": bytes(2_000_000)}
LIMITS = FetchLimits(piece_bytes=500_000, connections=4, backoff_s=0.05, attempts=4)
OVERHEAD = 20_000
"""Headers and lists of one fetch, in bytes, at most."""


@dataclass(frozen=True, slots=True)
class Bucket:
    client: Any
    wire: Wire
    sets: Path

    def fetch(self, uri: str, cache_dir: Path, **changes: Any) -> Path:
        """With the set of credentials that leads to the server, as a declared voice would."""
        arguments: dict[str, Any] = {
            "credentials": "store",
            "credentials_dir": self.sets,
            "private_sources": (),
            "limits": LIMITS,
        }
        return fetch(uri, cache_dir=cache_dir, **(arguments | changes))


@pytest.fixture
def bucket(wire: Callable[[int], AbstractContextManager[Wire]], tmp_path: Path) -> Iterator[Bucket]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",  # noqa: S106  # moto takes any
    )
    client.create_bucket(Bucket="voices")
    for name, content in FILES.items():
        client.put_object(Bucket="voices", Key=f"alba/{name}", Body=content)
    client.put_object(Bucket="voices", Key="alba-2/other", Body=b"other")
    with wire(port) as counted:
        keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        keys["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{counted.port}"
        sets = write_tree(tmp_path / "sets", {f"store/{name}": value.encode() for name, value in keys.items()})
        yield Bucket(client, counted, sets)
    client.close()
    server.stop()


def test_what_is_selected_below_a_prefix_comes_once(bucket: Bucket, cache_dir: Path) -> None:
    path = bucket.fetch("s3://voices/alba", cache_dir, exclude=["unused/"])
    assert tree_of(path) == {name: FILES[name] for name in ("metadata.yaml", "onnx/model.onnx")}
    assert len(MODEL) < bucket.wire.received < len(MODEL) + OVERHEAD
    before = bucket.wire.received
    assert bucket.fetch("s3://voices/alba", cache_dir, exclude=["unused/"]) == path
    assert bucket.wire.received - before < OVERHEAD


def test_one_object_can_be_named_and_shares_what_is_here(bucket: Bucket, cache_dir: Path) -> None:
    bucket.fetch("s3://voices/alba", cache_dir)
    before = bucket.wire.received
    assert bucket.fetch("s3://voices/alba/onnx/model.onnx", cache_dir).read_bytes() == MODEL
    assert bucket.wire.received - before < OVERHEAD


def test_a_changed_object_is_noticed_and_comes_alone(bucket: Bucket, cache_dir: Path) -> None:
    bucket.fetch("s3://voices/alba", cache_dir)
    before = bucket.wire.received
    bucket.client.put_object(Bucket="voices", Key="alba/metadata.yaml", Body=b"c: d")
    assert tree_of(bucket.fetch("s3://voices/alba", cache_dir))["metadata.yaml"] == b"c: d"
    assert bucket.wire.received - before < OVERHEAD


def test_a_cut_at_the_half_costs_no_byte_twice(bucket: Bucket, cache_dir: Path) -> None:
    bucket.wire.cut_after = len(MODEL) // 2
    path = bucket.fetch("s3://voices/alba/onnx/model.onnx", cache_dir, limits=replace(LIMITS, connections=1))
    assert path.read_bytes() == MODEL
    assert bucket.wire.received < 1.05 * len(MODEL)


def test_while_the_store_is_away_what_it_gave_last_is_used(bucket: Bucket, cache_dir: Path) -> None:
    path = bucket.fetch("s3://voices/alba", cache_dir)
    bucket.wire.close()
    assert bucket.fetch("s3://voices/alba", cache_dir) == path


def test_what_is_not_there_is_named(bucket: Bucket, cache_dir: Path) -> None:
    for uri in ("s3://voices/none", "s3://none/alba"):
        with pytest.raises(VoiceplaneError) as caught:
            bucket.fetch(uri, cache_dir)
        assert caught.value.reason == "ARTIFACT_MISSING"
        assert uri in caught.value.message


def test_the_environment_names_store_and_keys_as_well(
    bucket: Bucket, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (bucket.sets / "store").iterdir():
        monkeypatch.setenv(file.name, file.read_text())
    path = fetch("s3://voices/alba/metadata.yaml", cache_dir=cache_dir, limits=LIMITS)
    assert path.read_bytes() == FILES["metadata.yaml"]
    assert find("s3://voices/alba/metadata.yaml", cache_dir=cache_dir) == path


def test_a_public_bucket_needs_no_keys(bucket: Bucket, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bucket.wire.port}")
    bucket.client.put_object_acl(Bucket="voices", Key="alba/metadata.yaml", ACL="public-read")
    assert fetch("s3://voices/alba/metadata.yaml", cache_dir=cache_dir, limits=LIMITS).read_bytes() == b"a: b"


def test_keys_of_the_set_do_not_mix_with_those_of_the_environment(
    bucket: Bucket, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another session's")
    urls: list[str] = []
    real = fetch.__globals__["RemoteSource"]._resolve

    def resolve(source: Any, reach: Any) -> Any:
        resolution = real(source, reach)
        urls.extend(file.locate().url for file in resolution.listing().files)
        return resolution

    monkeypatch.setattr(fetch.__globals__["RemoteSource"], "_resolve", resolve)
    bucket.fetch("s3://voices/alba/metadata.yaml", cache_dir)
    assert urls
    assert not any("Security-Token" in url for url in urls)


def test_a_pack_is_pinned_fetched_once_and_verified(
    bucket: Bucket, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEPLANE_CACHE_DIR", str(cache_dir))
    source = {"uri": "s3://voices/alba", "exclude": ["unused/"], "credentials": "store"}
    bucket.client.put_object(Bucket="voices", Key="alba/metadata.yaml", Body=pack_yaml("alba"))
    folder = write_pack(tmp_path / "packs" / "mock" / "alba", "alba", source=source)
    sets = ("--credentials-dir", bucket.sets)

    (pinned,) = packs_command("pin", folder, *sets)
    assert (pinned["state"], pinned["files"]) == ("pinned", 2)
    assert len(MODEL) < bucket.wire.received < len(MODEL) + OVERHEAD  # a store doesn't know sha256
    before = bucket.wire.received
    (fetched,) = packs_command("prefetch", folder, *sets)
    assert (fetched["state"], fetched["sha256"]) == ("here", pinned["sha256"])
    assert bucket.wire.received - before < OVERHEAD
    bucket.wire.close()
    assert packs_command("prefetch", folder, *sets)[0]["state"] == "here"
    assert packs_command("verify", folder)[0]["state"] == "ok"
