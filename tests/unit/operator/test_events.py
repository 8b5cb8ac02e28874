"""Events as `kubectl describe` shows them, and that none of them can stop a reconcile."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from voiceplane_common.kube.api import Api, ApiError
from voiceplane_operator.events import MAX_MESSAGE_CHARS, event, record_event

from tests.unit.operator.objects import a_model

if TYPE_CHECKING:
    from collections.abc import Mapping

META = a_model().meta
NOON = datetime(2026, 11, 24, 12, 0, 1, 999_999, tzinfo=UTC)


class FakeApi:
    """Takes events, or refuses each."""

    def __init__(self, refusal: ApiError | None = None) -> None:
        self.made: list[Mapping[str, Any]] = []
        self._refusal = refusal

    async def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.made.append(manifest)
        if self._refusal:
            raise self._refusal
        return dict(manifest)


def made(*, warning: bool = False, message: str = "it speaks") -> dict[str, Any]:
    return event("VoiceModel", META, warning=warning, reason="Resident", message=message, now=NOON)


def test_an_event_is_about_the_object_and_comes_from_the_operator() -> None:
    told = made()
    name = told["metadata"].pop("name")
    assert name.startswith("joe.")
    assert told == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "speech"},
        "involvedObject": {
            "apiVersion": "voiceplane.dev/v1alpha1",
            "kind": "VoiceModel",
            "namespace": "speech",
            "name": "joe",
            "uid": "uid-joe",
        },
        "type": "Normal",
        "reason": "Resident",
        "message": "it speaks",
        "firstTimestamp": "2026-11-24T12:00:01Z",
        "lastTimestamp": "2026-11-24T12:00:01Z",
        "count": 1,
        "source": {"component": "voiceplane-operator"},
        "reportingComponent": "voiceplane-operator",
        "reportingInstance": "",
    }


def test_what_is_wrong_is_a_warning() -> None:
    assert made(warning=True)["type"] == "Warning"


def test_no_two_events_have_one_name() -> None:
    names = {made()["metadata"]["name"] for _ in range(100)}
    assert len(names) == 100


@pytest.mark.parametrize("name", ["joe", "m" * 253, "m" * 235 + "." + "m" * 17, "m" * 234 + "-." + "m" * 17])
def test_a_name_is_one_that_the_api_server_takes(name: str) -> None:
    about = a_model(name).meta
    told = event("VoiceModel", about, warning=False, reason="Resident", message="", now=NOON)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", told["metadata"]["name"])
    assert len(told["metadata"]["name"]) <= 253
    assert told["involvedObject"]["name"] == name


@pytest.mark.parametrize(
    ("message", "told"), [("x" * 5000, "x" * MAX_MESSAGE_CHARS), ("", "Resident")], ids=["too long", "none"]
)
def test_a_message_is_cut_and_never_empty(message: str, told: str) -> None:
    assert made(message=message)["message"] == told


async def test_an_event_is_written_at_the_present_time() -> None:
    api = FakeApi()
    before = datetime.now(UTC).replace(microsecond=0)
    await record_event(cast("Api", api), "VoiceModel", META, warning=True, reason="Broken", message="no")
    (told,) = api.made
    assert (told["type"], told["reason"], told["message"]) == ("Warning", "Broken", "no")
    assert before <= datetime.fromisoformat(told["lastTimestamp"]) <= datetime.now(UTC)


async def test_an_event_that_can_not_be_written_is_logged_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    api = FakeApi(ApiError(403, "Forbidden", "no events here"))
    await record_event(cast("Api", api), "VoiceModel", META, warning=False, reason="Resident", message="")
    assert len(api.made) == 1
    told = "".join(capsys.readouterr())
    assert "event_not_written" in told
    assert "speech/joe" in told
    assert "no events here" in told
