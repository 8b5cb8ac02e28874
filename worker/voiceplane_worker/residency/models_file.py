"""The models file: the models that a worker declares or loads at its start, besides its catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from voiceplane_common.errors import VoiceplaneError, invalid
from voiceplane_common.logs import get_logger
from voiceplane_common.models_file import parse_models_file

from voiceplane_worker.residency.load_request import model_spec

if TYPE_CHECKING:
    from voiceplane_worker.residency.model_spec import ModelSpec

_log = get_logger("models")


def read_models_file(file: str | Path) -> tuple[ModelSpec, ...]:
    """The models of a file; an empty file has none. Blocking: call it before the event loop has work.

    An operator of another version may have written entries or fields that this version cannot read. They are logged and
    left out, so that the worker starts; LoadModel calls declare them again.

    Raises:
        VoiceplaneError: INVALID_ARGUMENT, with the file and what is wrong with it.
    """
    try:
        parsed = parse_models_file(yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    except OSError as error:
        raise invalid("worker.models_file", f"cannot read {file}: {error.strerror}") from None
    except yaml.YAMLError:
        raise invalid("worker.models_file", f"{file} is not YAML") from None
    except VoiceplaneError as error:
        raise invalid("worker.models_file", f"{file}: {error.message}") from None
    problems = list(parsed.ignored)
    specs = []
    for request in parsed.requests:
        try:
            specs.append(model_spec(request))
        except VoiceplaneError as error:
            if not request.declaration:
                raise invalid("worker.models_file", f"{file}: {error.message}") from None
            problems.append(f"{request.model_id}: {error.message}")
    for problem in problems:
        _log.warning("models_file_entry_ignored", file=str(file), problem=problem)
    return tuple(specs)
