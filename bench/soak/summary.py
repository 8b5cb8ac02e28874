"""What a soak has found: verdicts by stated criteria, tables for people, figures for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from bench.report import Section, spread
from bench.soak.trend import Flatness, trend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.soak.chaos import Done
    from bench.soak.trend import Trend
    from bench.soak.turns import Tally
    from bench.soak.watch import Sample

MIB = 2**20
PATHS = ("/v1/talk", "/v1/speak")
SHORT_LIVED = "generations too short to judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """When a soak has passed.

    Attributes:
        min_availability_percent: Complete turns of those that the person did not cut off, at least.
        max_leaked: Sessions, utterances and references that are left when everybody has gone, at most.
        memory: When resident memory, in bytes, is flat.
        open_files: When the number of file descriptors is flat.
    """

    min_availability_percent: float
    max_leaked: int
    memory: Flatness
    open_files: Flatness


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A criterion, and whether it holds."""

    criterion: str
    value: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One process, judged.

    Attributes:
        program: Its name.
        number: How many processes of the program there were by then.
        lived_s: From readiness to its last sample.
        memory: None if it ended in its warm-up; as open_files.
    """

    program: str
    number: int
    lived_s: float
    memory: Trend | None
    open_files: Trend | None

    @property
    def is_judged(self) -> bool:
        """Whether it lived long enough."""
        return self.memory is not None and self.memory.verdict != "too short"


@dataclass(frozen=True, slots=True, kw_only=True)
class Soak:
    """A soak that has ended.

    Attributes:
        lasted_s: While people talked.
        seed: Of mishaps and people.
        tally: The turns.
        done: The mishaps.
        samples: Of each program and generation.
        left: What was left behind, and how many.
        deaths: Exit statuses of processes that ended by themselves, by program.
        criteria: That it is judged by.
    """

    lasted_s: float
    seed: int
    tally: Tally
    done: Sequence[Done]
    samples: Mapping[tuple[str, int], Sequence[Sample]]
    left: Mapping[str, float]
    deaths: Mapping[str, Sequence[int | None]]
    criteria: Criteria

    def generations(self) -> list[Generation]:
        """Every process, judged."""
        return [
            Generation(
                program=program,
                number=number,
                lived_s=samples[-1].age_s,
                memory=trend([(each.age_s, each.rss_bytes) for each in samples], self.criteria.memory),
                open_files=trend([(each.age_s, each.open_files) for each in samples], self.criteria.open_files),
            )
            for (program, number), samples in sorted(self.samples.items())
        ]

    def verdicts(self) -> list[Verdict]:
        """All criteria."""
        criteria, availability = self.criteria, self.tally.availability_percent
        leaked = sum(self.left.values())
        died = [program for program, statuses in self.deaths.items() for _ in statuses]
        found = [
            Verdict(
                criterion=f"availability is at least {criteria.min_availability_percent:g} %",
                value=f"{availability:.3f} %",
                holds=availability >= criteria.min_availability_percent,
            ),
            Verdict(
                criterion=f"at most {criteria.max_leaked} sessions, utterances or references are left",
                value=f"{leaked:g}",
                holds=leaked <= criteria.max_leaked,
            ),
            Verdict(criterion="no process ends by itself", value=", ".join(died) or "none", holds=not died),
        ]
        for name, flatness, unit in (
            ("resident memory", criteria.memory, "MiB"),
            ("file descriptors", criteria.open_files, ""),
        ):
            rising = self._rising(name)
            floor = flatness.growth_floor / (MIB if unit else 1)
            limit = f"{flatness.growth_percent:g} % or {floor:g} {unit}".rstrip()
            criterion = f"{name}: no judged process's line rises by more than {limit}"
            calm = "none does" if any(one.is_judged for one in self.generations()) else "none lived long enough"
            found.append(Verdict(criterion=criterion, value=", ".join(rising) or calm, holds=not rising))
        return found

    def _rising(self, name: str) -> list[str]:
        return [
            f"{one.program} #{one.number}"
            for one in self.generations()
            if (figure := one.memory if name == "resident memory" else one.open_files) and figure.verdict == "not flat"
        ]

    @property
    def passed(self) -> bool:
        """Whether every criterion holds."""
        return all(verdict.holds for verdict in self.verdicts())

    # ---------------------------------------------------------------- for people

    def sections(self) -> list[Section]:
        """The tables."""
        return [self._turns(), self._first_audio(), self._mishaps(), self._processes(), self._left(), self._verdicts()]

    def _turns(self) -> Section:
        tally = self.tally
        rows: list[tuple[str | float, ...]] = [
            (outcome, why, float(times)) for outcome, why, times in tally.by_outcome()
        ]
        rows += [
            ("all", f"begun in {self.lasted_s:.0f} s", float(len(tally.turns))),
            ("complete", "spoken by more than one worker", float(tally.rerouted)),
            ("availability", "complete / begun, without those cut off", f"{tally.availability_percent:.3f} %"),
        ]
        note = "Cut off: by the person, who interrupted or vanished."
        return Section("Turns", ("outcome", "manner, or reason", "turns"), rows, note=note)

    def _first_audio(self) -> Section:
        rows: list[tuple[str | float, ...]] = [
            (path, float(len(values)), *spread(values)) for path in PATHS if (values := self.tally.first_audio_ms(path))
        ]
        note = "From sending the text; reported, not judged. Includes turns that began while a worker was away."
        return Section("First audio, ms", ("endpoint", "turns", "p50", "p95", "p99"), rows, note=note)

    def _mishaps(self) -> Section:
        times: Counter[str] = Counter()
        trouble: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for one in self.done:
            name = f"{one.mishap.action} {one.mishap.target}".strip()
            times[name] += 1
            if one.trouble:
                trouble[name][one.trouble] += 1
        rows: list[tuple[str | float, ...]] = [
            (name, float(count), ", ".join(f"{why}: {n}" for why, n in trouble[name].items()) or "none")
            for name, count in sorted(times.items())
        ]
        return Section("Mishaps", ("what", "times", "trouble"), rows, note=f"seed {self.seed}")

    def _processes(self) -> Section:
        generations = self.generations()
        columns = (
            "process",
            "lived, s",
            "MiB first",
            "last",
            "highest",
            "a hour",
            "",
            "files first",
            "last",
            "a hour",
            " ",
        )
        section = Section("Resident memory and file descriptors", columns)
        for one in generations:
            if one.is_judged and one.memory and one.open_files:
                section.rows.append(
                    (f"{one.program} #{one.number}", one.lived_s, *_cells(one.memory, unit=MIB, peak=True))
                )
                section.rows[-1] += _cells(one.open_files)
        short = sum(not one.is_judged for one in generations)
        memory = self.criteria.memory
        section.note = (
            f"After the first {memory.warm_up_s:g} s of each process; a hour: slope of the line through its floors. "
            f"{short} {SHORT_LIVED} ({memory.min_span_s:g} s after the warm-up)."
        )
        return section

    def _left(self) -> Section:
        rows: list[tuple[str | float, ...]] = [(name, count) for name, count in sorted(self.left.items())]
        return Section("Left behind by people who have gone", ("what", "count"), rows or [("nothing", 0.0)])

    def _verdicts(self) -> Section:
        rows: list[tuple[str | float, ...]] = [
            (verdict.criterion, verdict.value, "holds" if verdict.holds else "DOES NOT HOLD")
            for verdict in self.verdicts()
        ]
        return Section("Verdict: passed" if self.passed else "Verdict: FAILED", ("criterion", "value", ""), rows)

    # ---------------------------------------------------------------- for programs

    def figures(self) -> dict[str, Any]:
        """Everything, under stable names."""
        tally = self.tally
        return {
            "passed": self.passed,
            "lasted_s": self.lasted_s,
            "seed": self.seed,
            "criteria": asdict(self.criteria),
            "verdicts": [asdict(verdict) for verdict in self.verdicts()],
            "turns_begun": len(tally.turns),
            "turns_complete": tally.count("complete"),
            "turns_cut_off": tally.count("cut off"),
            "turns_lost": tally.count("lost"),
            "turns_rerouted": tally.rerouted,
            "availability_percent": tally.availability_percent,
            "outcomes": [dict(zip(("outcome", "why", "turns"), row, strict=True)) for row in tally.by_outcome()],
            "first_audio_ms": {
                path: dict(zip(("p50", "p95", "p99"), spread(values), strict=True))
                for path in PATHS
                if (values := tally.first_audio_ms(path))
            },
            "mishaps": [asdict(one.mishap) | {"trouble": one.trouble} for one in self.done],
            "left": dict(self.left),
            "deaths": {program: list(statuses) for program, statuses in self.deaths.items()},
            "processes": [asdict(one) for one in self.generations()],
            "samples": [
                {"program": program, "number": number, "samples": [asdict(each) for each in samples]}
                for (program, number), samples in sorted(self.samples.items())
            ],
        }


def _cells(figure: Trend, *, unit: int = 1, peak: bool = False) -> tuple[str | float, ...]:
    highest = (figure.highest / unit,) if peak else ()
    return (figure.first / unit, figure.last / unit, *highest, figure.slope_per_hour / unit, figure.verdict)
