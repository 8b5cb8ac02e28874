"""How a session's text is read: as it asks for, else as the worker's settings say."""

from __future__ import annotations

import pytest
from voiceplane_common.errors import VoiceplaneError
from voiceplane_proto.v1 import tts_pb2
from voiceplane_worker.sessions.requests import SessionRequest
from voiceplane_worker.settings import WorkerSection
from voiceplane_worker.text.policy import TextPolicy


def test_without_a_wish_the_settings_decide() -> None:
    settings = WorkerSection(markup="speak", emoji="name", normalise="none")
    request = SessionRequest.from_proto(tts_pb2.StartSessionRequest())
    assert request.text_policy(settings) == TextPolicy(markup="speak", emoji="name", normalise="none")
    assert request.text_policy(WorkerSection()) == TextPolicy()


def test_a_session_chooses() -> None:
    settings = WorkerSection(markup="speak", emoji="name", normalise="none")
    request = tts_pb2.StartSessionRequest(
        markup=tts_pb2.MARKUP_SSML,
        emoji=tts_pb2.EMOJI_DROP,
        normalise=tts_pb2.NORMALISE_FULL,
        inline_phonemes=True,
    )
    wanted = TextPolicy(markup="ssml", emoji="drop", normalise="full", inline_phonemes=True)
    assert SessionRequest.from_proto(request).text_policy(settings) == wanted


@pytest.mark.parametrize("field", ["markup", "emoji", "normalise"])
def test_an_unknown_choice_is_refused_by_name(field: str) -> None:
    request = tts_pb2.StartSessionRequest()
    setattr(request, field, 9)
    with pytest.raises(VoiceplaneError, match=field) as caught:
        SessionRequest.from_proto(request)
    assert caught.value.reason == "INVALID_ARGUMENT"
