"""Events are complete and valid, and a failed event does not stop a reconcile."""

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
    """Accepts events, or refuses each."""

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
    written = made()
    name = written["metadata"].pop("name")
    assert name.startswith("joe.")
    assert written == {
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


def test_a_warning_has_the_type_warning() -> None:
    assert made(warning=True)["type"] == "Warning"


def test_event_names_are_unique() -> None:
    names = {made()["metadata"]["name"] for _ in range(100)}
    assert len(names) == 100


@pytest.mark.parametrize("name", ["joe", "m" * 253, "m" * 235 + "." + "m" * 17, "m" * 234 + "-." + "m" * 17])
def test_an_event_name_is_valid(name: str) -> None:
    about = a_model(name).meta
    written = event("VoiceModel", about, warning=False, reason="Resident", message="", now=NOON)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", written["metadata"]["name"])
    assert len(written["metadata"]["name"]) <= 253
    assert written["involvedObject"]["name"] == name


@pytest.mark.parametrize(
    ("message", "expected"), [("x" * 5000, "x" * MAX_MESSAGE_CHARS), ("", "Resident")], ids=["too long", "none"]
)
def test_a_message_is_cut_and_never_empty(message: str, expected: str) -> None:
    assert made(message=message)["message"] == expected


async def test_an_event_has_the_present_time() -> None:
    api = FakeApi()
    before = datetime.now(UTC).replace(microsecond=0)
    await record_event(cast("Api", api), "VoiceModel", META, warning=True, reason="Broken", message="no")
    (written,) = api.made
    assert (written["type"], written["reason"], written["message"]) == ("Warning", "Broken", "no")
    assert before <= datetime.fromisoformat(written["lastTimestamp"]) <= datetime.now(UTC)


async def test_a_failed_event_is_logged_only(capsys: pytest.CaptureFixture[str]) -> None:
    api = FakeApi(ApiError(403, "Forbidden", "no events here"))
    await record_event(cast("Api", api), "VoiceModel", META, warning=False, reason="Resident", message="")
    assert len(api.made) == 1
    logged = "".join(capsys.readouterr())
    assert "event_not_written" in logged
    assert "speech/joe" in logged
    assert "no events here" in logged
