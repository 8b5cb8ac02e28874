"""The accepted API keys: those of the settings, and those of a file that may change at run time."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from voiceplane_common.api_keys import ApiKey, digest, read_keys
from voiceplane_common.errors import VoiceplaneError
from voiceplane_common.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voiceplane_common.clock import Clock

CHECK_INTERVAL_S = 1.0

_log = get_logger("keys")


class ApiKeyStore:
    """Maps keys to the names of their owners. Confined to the event loop."""

    def __init__(
        self,
        keys: Iterable[str],
        *,
        admin_keys: Iterable[str] = (),
        file: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read the keys file, which blocks.

        Args:
            keys: The settings' keys, in plain text or as "sha256:" and the digest in hexadecimal digits.
            admin_keys: Those that may load models from any source; they are accepted everywhere else, too.
            file: A keys file, see voiceplane_common.api_keys; empty for none.
            now: The wall clock, which decides when keys expire.

        Raises:
            VoiceplaneError: INVALID_ARGUMENT: the file can't be read.
        """
        admins = tuple(_entry(f"admin-{number}", key, admin=True) for number, key in enumerate(admin_keys, start=1))
        self._fixed = admins + tuple(_entry(f"key-{number}", key) for number, key in enumerate(keys, start=1))
        self._file = Path(file) if file else None
        self._now = now
        self._version = _version(self._file)
        self._filed = read_keys(self._file) if self._file else ()

    @property
    def is_open(self) -> bool:
        """Whether no key is needed, because neither keys nor a keys file were configured."""
        return not self._fixed and self._file is None

    def caller_of(self, key: str) -> str | None:
        """The name of a key's owner; None if the key is unknown or has expired."""
        found = self._find(key)
        return found.name if found else None

    def is_admin(self, key: str) -> bool:
        """Whether a key may load models from any source."""
        found = self._find(key)
        return found is not None and found.admin

    def _find(self, key: str) -> ApiKey | None:
        sent = digest(key)
        found = None
        # Every key is compared, so that the duration does not reveal which one matched.
        for entry in (*self._fixed, *self._filed):
            if hmac.compare_digest(sent, bytes.fromhex(entry.sha256)) and not self._has_expired(entry):
                found = entry if found is None or entry.admin else found
        return found

    async def watch(self, clock: Clock) -> None:
        """Reload the file whenever it changes. If it can't be read, the keys stay as they are."""
        if self._file is None:
            return
        while True:
            await clock.sleep(CHECK_INTERVAL_S)
            stamp = await asyncio.to_thread(_version, self._file)
            if stamp == self._version:
                continue
            self._version = stamp
            try:
                self._filed = await asyncio.to_thread(read_keys, self._file)
            except VoiceplaneError as error:
                _log.error("keys_kept", message=error.message)
            else:
                _log.info("keys_read", count=len(self._filed))

    def _has_expired(self, entry: ApiKey) -> bool:
        return entry.expires is not None and entry.expires <= self._now()


def _entry(name: str, key: str, *, admin: bool = False) -> ApiKey:
    hashed = key.strip().lower().removeprefix("sha256:") if key.lower().startswith("sha256:") else digest(key).hex()
    return ApiKey(name=name, sha256=hashed, admin=admin)


def _version(file: Path | None) -> tuple[int, int, int] | None:
    """Identifies a version of the file: a Secret's volume replaces the symlink, so the inode counts."""
    try:
        status = file.stat() if file else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
