"""The names of models and voices that clients of OpenAI send, and what they mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from voiceplane_orchestrator.routing.worker_view import ModelView, WorkerView
    from voiceplane_orchestrator.settings import SpeechSection

OPENAI_MODELS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
"""Each means the default model, unless speech.model_aliases says otherwise; so do dated ones such as tts-1-1106."""
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
)  # fmt: skip
"""Each means one voice of the model, unless speech.voice_aliases says otherwise."""


class VoiceNames:
    """Resolves the names of models and voices."""

    def __init__(self, settings: SpeechSection, *, workers: Callable[[], Iterable[WorkerView]]) -> None:
        """Prepare.

        Args:
            settings: The configured aliases.
            workers: What is known of the workers now.
        """
        self._settings = settings
        self._workers = workers

    def model_id(self, name: str) -> str:
        """The model that a name means; empty for the default one. A name that means none is returned as it is."""
        if any(model.model_id == name for model in self._models()):
            return name
        if name in self._settings.model_aliases:
            return self._settings.model_aliases[name]
        return "" if _is_openai_model(name) else name

    def voice(self, name: str, *, model_id: str) -> str:
        """The voice of a model that a name means; empty for its first one.

        An OpenAI name means the voice that has it as a part, such as `af_nova`. Otherwise the voices are dealt out to
        these names in their order, so that different names differ as far as there are voices.
        """
        models = [each for each in self._models() if (each.model_id == model_id if model_id else each.is_default)]
        voices = [voice.name for voice in models[0].voices] if models else []
        if name in voices:
            return name
        alias = self._settings.voice_aliases.get(name)
        if alias is not None:
            return alias
        if name not in OPENAI_VOICES:
            return name
        alike = [voice for voice in voices if name in voice.lower().replace("-", "_").split("_")]
        if alike:
            return alike[0]
        return voices[OPENAI_VOICES.index(name) % len(voices)] if voices else ""

    def aliases(self) -> dict[str, str]:
        """All aliases of models, and the model that each means; empty for the default one."""
        return dict.fromkeys(OPENAI_MODELS, "") | self._settings.model_aliases

    def _models(self) -> Iterator[ModelView]:
        for worker in self._workers():
            yield from worker.models


def _is_openai_model(name: str) -> bool:
    return any(name == model or name.startswith(f"{model}-") for model in OPENAI_MODELS)
