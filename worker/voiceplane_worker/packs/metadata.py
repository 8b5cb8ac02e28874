"""The schema of a voice pack's metadata.yaml."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, field_validator
from voiceplane_common.errors import VoiceplaneError, failed_precondition
from voiceplane_common.settings import Section

METADATA_FILE = "metadata.yaml"
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth", ".th"})

ModelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class PackVoice(Section):
    """A voice: its name and its language (BCP 47)."""

    name: str = Field(min_length=1, max_length=128)
    language: Language


class IndexedFile(Section):
    """A file of a folder on a web server: its relative name and its sha256."""

    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class PackSource(Section):
    """Where the pack's files come from.

    Attributes:
        uri: file:, https:, s3:, gs:, az:, hf:, oci: or package:; see voiceplane_common.artifacts.
        sha256: Digest of what the URI names, 64 hex digits; empty: not checked.
        credentials: The set in worker.credentials_dir that opens it; empty: what the environment has.
        include: Patterns of the files to fetch, see voiceplane_common.artifacts.patterns; empty: all.
        exclude: Patterns of files to leave out.
        index: The files, for a folder of a web server, which has no list of them that can be relied on.
    """

    uri: str = Field(min_length=1)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    credentials: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    index: tuple[IndexedFile, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """The sha256 of each file of the index, by its relative name."""
        return {file.name: file.sha256 for file in self.index}


class PackMetadata(Section):
    """metadata.yaml.

    Attributes:
        model_id: Letters, digits, dot, dash and underscore; at most 128.
        family: The adapter that loads it, such as "piper".
        description: One line for people.
        licence: SPDX identifier of the weights' licence, or a name.
        source: Where the files are; None: beside metadata.yaml.
        voices: At least one; the first is the default.
        warm_up_text: Spoken once after each load, unheard. Loudness is measured on it: a sentence of 3 to 5 s is best.
        sample_rate_hz: The model's native rate, for people; None: the model's own files say.
        memory_bytes: What the model holds when it is resident; None: the size of its files is the estimate.
        files: The files that the family needs, by role, relative to the pack's folder.
        reference: A reference recording for voice cloning, such as "ref/seed.wav". It lies in the pack or, where
            metadata.yaml names a source, may lie beside metadata.yaml.
        base_model_id: For a LoRA adapter, the model that it is attached to.
        allow_pickle: Pickle files, which can run any code, that this pack may carry nevertheless.
        options: Family options.
    """

    model_id: ModelId
    family: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
    licence: str = Field(min_length=1)
    source: PackSource | None = None
    voices: tuple[PackVoice, ...] = Field(min_length=1)
    warm_up_text: str = Field(default="Hello there.", min_length=1, max_length=200)
    sample_rate_hz: int | None = Field(default=None, ge=8_000, le=192_000)
    memory_bytes: int | None = Field(default=None, ge=0)
    files: dict[str, str] = Field(default_factory=dict)
    reference: str | None = None
    base_model_id: ModelId | None = None
    allow_pickle: tuple[str, ...] = ()
    options: dict[str, str] = Field(default_factory=dict)

    @field_validator("files", "reference", "allow_pickle", mode="after")
    @classmethod
    def _stays_inside(cls, value: dict[str, str] | str | tuple[str, ...] | None) -> object:
        match value:
            case dict():
                names: tuple[str, ...] = tuple(value.values())
            case str():
                names = (value,)
            case _:
                names = value or ()
        for name in names:
            path = PurePosixPath(name)
            plain = path.parts and path.as_posix() == name
            if not plain or path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ValueError(f"{name!r} must be a plain path inside the pack, such as onnx/model.onnx")
        return value

    @field_validator("voices", mode="after")
    @classmethod
    def _names_differ(cls, voices: tuple[PackVoice, ...]) -> tuple[PackVoice, ...]:
        names = [voice.name for voice in voices]
        if len(set(names)) < len(names):
            raise ValueError("two voices have the same name")
        return voices


def read_metadata(file: Path) -> PackMetadata:
    """Read a metadata.yaml.

    Raises:
        VoiceplaneError: FAILED_PRECONDITION, reason PACK_INVALID; names the file, the key and the remedy.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(file, f"cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise _broken(file, f"is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise _broken(file, "must hold a mapping")
    try:
        return PackMetadata.model_validate(values)
    except ValidationError as error:
        # A misspelt key is unknown and missing: the unknown one leads to the mistake.
        problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise _broken(file, f"has an unknown key {key!r}: remove it or correct its name", field=key) from None
        words = problem["msg"].removeprefix("Value error, ")
        raise _broken(file, f"key {key!r}: {words}", field=key) from None


def _broken(file: Path, problem: str, *, field: str = "") -> VoiceplaneError:
    return failed_precondition("PACK_INVALID", f"{file} {problem}", field=field)
