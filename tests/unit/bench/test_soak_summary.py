"""A soak's verdicts, tables and figures."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.report import Report
from bench.soak.__main__ import criteria, parser
from bench.soak.chaos import Done
from bench.soak.schedule import Mishap
from bench.soak.summary import MIB, Soak
from bench.soak.turns import Tally, Turn
from bench.soak.watch import Sample, open_in

if TYPE_CHECKING:
    from pathlib import Path

WELL = Turn(path="/v1/talk", manner="listens", outcome="complete", first_audio_ms=40.0)
LOST = dataclasses.replace(WELL, outcome="lost", reason="NO_WORKER", first_audio_ms=None)
METRICS = """
# TYPE voiceplane_worker_sessions gauge
voiceplane_worker_sessions 2.0
# TYPE voiceplane_worker_utterances_under_way gauge
voiceplane_worker_utterances_under_way 0.0
# TYPE voiceplane_worker_resident_models gauge
voiceplane_worker_resident_models 3.0
# TYPE voiceplane_orchestrator_sessions gauge
voiceplane_orchestrator_sessions{kind="talk"} 0.0
voiceplane_orchestrator_sessions{kind="speak"} 1.0
"""


def samples(*, mib_a_minute: float = 0.0, files_a_minute: float = 0.0, minutes: int = 30) -> list[Sample]:
    return [
        Sample(
            age_s=60.0 * minute,
            rss_bytes=round((200 + mib_a_minute * minute) * MIB),
            open_files=round(30 + files_a_minute * minute),
        )
        for minute in range(minutes)
    ]


def soak(**changes: Any) -> Soak:
    values: dict[str, Any] = {
        "lasted_s": 1800.0,
        "seed": 1,
        "tally": Tally([WELL] * 1000),
        "done": [Done(mishap=Mishap(at_s=3.0, action="kill", target="mock-1"), trouble="")],
        "samples": {("mock-0", 1): samples(), ("mock-1", 1): samples(minutes=3)},
        "left": {},
        "deaths": {},
        "criteria": criteria(parser().parse_args(["1800"])),
    }
    return Soak(**values | changes)


def test_a_soak_without_a_fault_has_passed() -> None:
    assert soak().passed


def test_one_turn_of_a_thousand_may_be_lost_and_two_may_not() -> None:
    assert soak(tally=Tally([*[WELL] * 999, LOST])).passed
    assert not soak(tally=Tally([*[WELL] * 998, LOST, LOST])).passed


def test_a_soak_in_which_nothing_was_said_has_not_passed() -> None:
    assert not soak(tally=Tally()).passed


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"left": {"mock-0: voiceplane_worker_sessions": 2.0}}, "2"),
        ({"deaths": {"mock-0": [-6]}}, "mock-0"),
        ({"samples": {("mock-0", 1): samples(mib_a_minute=1.0)}}, "mock-0 #1"),
        ({"samples": {("mock-0", 2): samples(files_a_minute=1.0)}}, "mock-0 #2"),
    ],
)
def test_whatever_leaks_fails_one_criterion_and_is_named(changes: dict[str, Any], value: str) -> None:
    found = soak(**changes)
    assert not found.passed
    assert [verdict.value for verdict in found.verdicts() if not verdict.holds] == [value]


def test_a_process_that_did_not_live_long_is_not_judged() -> None:
    found = soak(samples={("mock-0", 1): samples(mib_a_minute=20.0, minutes=4)})
    assert found.passed
    assert [one.is_judged for one in found.generations()] == [False]
    assert "none lived long enough" in [verdict.value for verdict in found.verdicts()]


def test_options_are_the_criteria() -> None:
    generous = ("--max-leaked=2", "--max-growth=1", "--max-growth-mib=60", "--max-growth-files=90")
    found = soak(
        criteria=criteria(parser().parse_args(["60", "--min-availability=50", *generous])),
        tally=Tally([WELL, LOST]),
        left={"mock-0: voiceplane_worker_sessions": 2.0},
        samples={("mock-0", 1): samples(mib_a_minute=2.0, files_a_minute=3.0)},
    )
    assert found.passed


def test_the_report_is_tables_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trouble = Done(mishap=Mishap(at_s=3.0, action="unload"), trouble="MODEL_BUSY")
    found = soak(tally=Tally([*[WELL] * 9, LOST]), done=[trouble, trouble], left={"references": 1.0})
    report = Report()
    for section in found.sections():
        report.show(section)
    report.write(tmp_path / "soak.json", figures=found.figures())
    shown = capsys.readouterr().out
    for word in ("NO_WORKER", "MODEL_BUSY: 2", "references", "DOES NOT HOLD", "FAILED", "mock-0 #1", "/v1/talk"):
        assert word in shown
    written = json.loads((tmp_path / "soak.json").read_text())
    assert len(written["sections"]) == len(found.sections())
    figures = written["figures"]
    assert (figures["turns_begun"], figures["turns_complete"], figures["turns_lost"]) == (10, 9, 1)
    assert (figures["availability_percent"], figures["passed"]) == (90, False)
    assert figures["first_audio_ms"]["/v1/talk"] == {"p50": 40, "p95": 40, "p99": 40}
    assert {one["program"]: one["memory"]["verdict"] for one in figures["processes"]} == {
        "mock-0": "flat",
        "mock-1": "too short",
    }


def test_a_page_that_tells_of_no_sessions_is_no_page_without_sessions() -> None:
    assert open_in(METRICS.replace("_sessions", "_renamed").replace("_utterances", "_renamed"))
    assert not open_in(METRICS.replace(" 2.0", " 0.0").replace(" 1.0", " 0.0"))


def test_of_metrics_only_what_should_be_gone_is_left() -> None:
    assert open_in(METRICS) == {"voiceplane_worker_sessions": 2, "voiceplane_orchestrator_sessions speak": 1}
