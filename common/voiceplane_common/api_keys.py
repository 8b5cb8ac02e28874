"""API keys: generated, and stored as digests in a YAML file.

    keys:
      - name: alice
        sha256: 5f2b…
        expires: 2027-01-01T00:00:00Z
        admin: true

A key is 256 random bits, so one round of SHA-256 protects it as well as a slow hash: it can't be guessed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import yaml
from pydantic import AwareDatetime, Field, ValidationError, model_validator

from voiceplane_common.errors import invalid
from voiceplane_common.settings import Section

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES = 32
PREFIX = "vp_"
"""Lets scanners for leaked secrets recognize a key."""


class ApiKey(Section):
    """An accepted key.

    Attributes:
        name: Whose it is, in logs and limits.
        sha256: Of the key, in hexadecimal digits.
        expires: From then on it is refused; None for never.
        admin: Whether it may load models from any source.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: AwareDatetime | None = None
    admin: bool = False


class KeyFile(Section):
    """A file of keys. Several may have one name: while one replaces another, both are accepted."""

    keys: tuple[ApiKey, ...] = ()

    @model_validator(mode="after")
    def _differ(self) -> KeyFile:
        if len({key.sha256 for key in self.keys}) < len(self.keys):
            raise ValueError("a key is listed twice: remove one of the entries")
        return self


def new_key(name: str, *, lifetime: timedelta | None = None, admin: bool = False) -> tuple[str, ApiKey]:
    """Make a key.

    Returns:
        The key itself, which nothing keeps, and its entry.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: the name is none.
    """
    key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    expires = datetime.now(UTC).replace(microsecond=0) + lifetime if lifetime else None
    try:
        return key, ApiKey(name=name, sha256=digest(key).hex(), expires=expires, admin=admin)
    except ValidationError:
        raise invalid(
            "name", f"{name!r} is not a valid name: use up to 64 letters, digits, dots, dashes and underscores"
        ) from None


def digest(key: str) -> bytes:
    """The SHA-256 of a key as it came: a header may hold any bytes, which arrive as surrogates."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """The keys of a file; blocking.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT: it can't be read, or is no file of keys.
    """
    try:
        return KeyFile.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {}).keys
    except OSError as error:
        raise _broken(file, f"cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _broken(file, "is not YAML") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise _broken(file, f"{place}: {problem['msg']}") from None


def write_keys(file: Path, keys: tuple[ApiKey, ...]) -> None:
    """Replace a file of keys as a whole, readable by its owner alone; blocking."""
    entries = [key.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for key in keys]
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yaml.safe_dump({"keys": entries}, stream, sort_keys=False)
        os.replace(name, file)  # noqa: PTH105 # the pair of mkstemp, which gives a name
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108 # likewise
        raise


def _broken(file: Path, problem: str) -> Exception:
    return invalid("auth.keys_file", f"{file} {problem}; `voiceplane keys` writes such files")
