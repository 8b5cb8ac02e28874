"""Which keys are accepted, and until when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from voiceplane_common.api_keys import ApiKey, digest, new_key, read_keys, write_keys
from voiceplane_common.errors import VoiceplaneError
from voiceplane_orchestrator.settings import AuthSection
from voiceplane_orchestrator.transports.api_key_store import ApiKeyStore

from tests.support.clock import VirtualClock

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def test_a_key_may_be_given_as_its_digest() -> None:
    ring = ApiKeyStore(["plain", f"sha256:{digest('hashed').hex()}"])
    assert ring.caller_of("plain") == "key-1"
    assert ring.caller_of("hashed") == "key-2"
    assert ring.caller_of(f"sha256:{digest('hashed').hex()}") is None, "a digest that leaked opens nothing"
    assert ring.caller_of("") is None


@pytest.mark.parametrize("key", ["sha256:", "sha256:5f", "sha256:" + "g" * 64])
def test_a_digest_that_is_none_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        AuthSection.model_validate({"api_keys": [key]})


def test_admins_are_named_in_the_settings_or_in_the_file(tmp_path: Path) -> None:
    admin, admin_entry = new_key("alice", admin=True)
    key, entry = new_key("ben")
    write_keys(tmp_path / "keys.yaml", (admin_entry, entry))
    ring = ApiKeyStore(["plain"], admin_keys=["sesame"], file=str(tmp_path / "keys.yaml"))
    assert {each: ring.is_admin(each) for each in ("plain", "sesame", admin, key, "none")} == {
        "plain": False,
        "sesame": True,
        admin: True,
        key: False,
        "none": False,
    }
    assert (ring.caller_of("sesame"), ring.caller_of("plain")) == ("admin-1", "key-1")
    assert not ApiKeyStore([], admin_keys=["sesame"]).is_open


def test_a_key_expires(tmp_path: Path) -> None:
    key, _ = new_key("alice")
    write_keys(tmp_path / "keys.yaml", (ApiKey(name="alice", sha256=digest(key).hex(), expires=NOON),))
    now = NOON - timedelta(seconds=1)
    ring = ApiKeyStore([], file=str(tmp_path / "keys.yaml"), now=lambda: now)
    assert ring.caller_of(key) == "alice"
    now = NOON
    assert ring.caller_of(key) is None


async def wait_for_reading(clock: VirtualClock, ring: ApiKeyStore, key: str, *, caller: str | None) -> None:
    async with asyncio.timeout(10):
        while ring.caller_of(key) != caller:  # the file is read by a thread
            await clock.advance(1.0)
            await asyncio.sleep(0.001)


async def test_a_key_is_rotated_while_the_server_runs(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    (old, old_entry), (new, new_entry) = new_key("alice"), new_key("alice")
    write_keys(file, (old_entry,))
    clock = VirtualClock()
    ring = ApiKeyStore([], file=str(file))
    watching = asyncio.create_task(ring.watch(clock))
    assert ring.caller_of(new) is None
    write_keys(file, (old_entry, new_entry))
    await wait_for_reading(clock, ring, new, caller="alice")
    assert ring.caller_of(old) == "alice", "both are good until the old one is revoked"
    file.write_text("keys: [nonsense", encoding="utf-8")
    for _ in range(3):
        await clock.advance(1.0)
    write_keys(file, (new_entry,))
    await wait_for_reading(clock, ring, old, caller=None)
    assert ring.caller_of(new) == "alice"
    watching.cancel()


async def test_a_file_that_breaks_leaves_the_keys_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key, entry = new_key("alice")
    write_keys(file, (entry,))
    clock = VirtualClock()
    ring = ApiKeyStore([], file=str(file))
    watching = asyncio.create_task(ring.watch(clock))
    file.unlink()
    for _ in range(5):
        await clock.advance(1.0)
        await asyncio.to_thread(lambda: None)
    assert ring.caller_of(key) == "alice"
    watching.cancel()


def test_a_file_of_keys_keeps_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    key, entry = new_key("alice", lifetime=timedelta(days=90))
    write_keys(file, (entry,))
    assert key not in file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o077 == 0
    assert read_keys(file) == (entry,)
    assert ApiKeyStore([], file=str(file)).is_open is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keys: [nonsense", "is not YAML"),
        ("keys: nonsense", "keys: "),
        ("keys: [{name: a, sha256: short}]", "keys.0.sha256"),
        (f"keys: [{{name: a b, sha256: '{'0' * 64}'}}]", "keys.0.name"),
        (f"keys: [{{name: a, sha256: '{'0' * 64}', expires: 2030-01-01T00:00:00}}]", "keys.0.expires"),
        (f"keys: [{{name: a, sha256: '{'0' * 64}'}}, {{name: b, sha256: '{'0' * 64}'}}]", "twice"),
        ("key: []", "key: "),
    ],
)
def test_a_file_that_is_none_is_refused_at_the_start(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(VoiceplaneError, match=message) as caught:
        ApiKeyStore([], file=str(file))
    assert caught.value.field == "auth.keys_file"


def test_an_empty_file_lets_no_one_in(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("", encoding="utf-8")
    ring = ApiKeyStore([], file=str(tmp_path / "keys.yaml"))
    assert not ring.is_open
    assert ring.caller_of("") is None
