"""All tests, several suites at a time.

`python -m tests.support.suites` runs every suite, or those that are named, and ends with a line that counts all tests.
The programs that some suites need are built meanwhile, at idle priority. `--lint` adds the linters and the docs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
AT_ONCE = 3
"""Suites that run side by side. Most of what they take is the time that speech, processes and pods take."""
SLOWEST = 20
END_TIMEOUT_S = 30.0
TAIL_LINES = 25


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One run of pytest.

    Attributes:
        name: What it is called in the output.
        paths: Its folders and files.
        left_out: What lies under its paths and belongs to another suite.
        programs: It needs the programs that are built from Go modules.
    """

    name: str
    paths: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    programs: bool = False


CLUSTER = ("tests/e2e/kubernetes", "tests/e2e/test_cluster.py", "tests/e2e/test_compose.py")
CONTROL_PLANE = (
    "tests/integration/chart",
    "tests/integration/cluster",
    "tests/integration/operator",
    "tests/integration/orchestrator/test_kubernetes_discovery.py",
)
# In the order in which they begin: first those that need no programs, which are built meanwhile, then the longest.
SUITES = (
    Suite(name="families", paths=("tests/contract/test_families.py",)),
    Suite(name="contract", paths=("tests/contract", "families"), left_out=("tests/contract/test_families.py",)),
    Suite(name="unit", paths=("tests/unit",)),
    Suite(name="servers", paths=("tests/integration",), left_out=CONTROL_PLANE, programs=True),
    Suite(name="cluster", paths=CLUSTER, programs=True),
    Suite(name="browser", paths=("tests/e2e",), left_out=CLUSTER, programs=True),
    Suite(name="control-plane", paths=CONTROL_PLANE, programs=True),
)


@dataclass(kw_only=True)
class Result:
    """What a run says.

    Attributes:
        name: The suite's.
        code: The exit code; 5 if there was no test.
        seconds: How long it took.
        cpu_seconds: What it and the processes that it waited for computed; daemons are not in it.
        output: What it printed.
        passed: Tests that passed.
        failed: Tests that failed, or erred outside of a test.
        skipped: Tests that were skipped.
        durations: Seconds by test.
    """

    name: str
    code: int
    seconds: float
    cpu_seconds: float
    output: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    durations: dict[str, float] = field(default_factory=dict)


def count(result: Result, report: Path) -> None:
    """Add what a JUnit report counts."""
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  # pytest has just written it
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            result.failed += 1
        elif "skipped" in kinds:
            result.skipped += 1
        else:
            result.passed += 1
        name = f"{case.get('file') or case.get('classname')}::{case.get('name')}"
        result.durations[name] = result.durations.get(name, 0.0) + float(case.get("time", 0.0))


class Runner:
    """Runs suites side by side, and prints what each said as soon as it has ended.

    Args:
        folder: For reports.
        at_once: How many run side by side.
    """

    def __init__(self, folder: Path, at_once: int) -> None:
        self._folder = folder
        self._room = asyncio.Semaphore(at_once)

    async def run_all(self, suites: Sequence[Suite], *, lint: bool) -> list[Result]:
        """Run them. Returns their results, and those of the linters and of the build."""
        async with asyncio.TaskGroup() as group:
            build = group.create_task(self._build() if any(suite.programs for suite in suites) else nothing())
            linters = group.create_task(self._lint() if lint else nothing())
            runs = [group.create_task(self._run(suite, build)) for suite in suites]
        results = [build.result(), linters.result(), *(run.result() for run in runs)]
        return [result for result in results if result is not None]

    async def _build(self) -> Result:
        # At idle priority it takes what the suites leave, which is all cores if they wait for it.
        build = ("chrt", "--idle", "0", sys.executable, "-m", "tests.e2e.cluster", "build")
        return report(await command("programs", *build))

    async def _lint(self) -> Result:
        async with self._room:
            return report(await command("lint", "just", "lint", "docs"))

    async def _run(self, suite: Suite, build: asyncio.Task[Result | None]) -> Result:
        if suite.programs:
            await build
        async with self._room:
            counts = self._folder / f"{suite.name}.xml"
            ignored = [f"--ignore={path}" for path in suite.left_out]
            # The cache of a folder is not made for several runs at a time.
            options = [
                "-p",
                "no:cacheprovider",
                "--quiet",
                f"--junitxml={counts}",
                "--override-ini=junit_family=xunit1",
            ]
            result = await command(suite.name, sys.executable, "-m", "pytest", *options, *ignored, *suite.paths)
        if counts.exists():
            count(result, counts)
        if result.code and not result.failed:
            result.failed = 1  # it has ended before it could report
        return report(result)


async def nothing() -> None:
    """What is done where there is nothing to do."""


_running: set[subprocess.Popen[str]] = set()


async def command(name: str, *arguments: str) -> Result:
    """Run a program; returns when it has ended, with nothing counted."""
    return await asyncio.to_thread(_command, name, arguments)


def _command(name: str, arguments: Sequence[str]) -> Result:
    began = time.monotonic()
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    _running.add(process)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    _running.discard(process)
    return Result(
        name=name,
        code=process.returncode,
        seconds=time.monotonic() - began,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        output=output,
    )


def end_all(signal_number: int, _frame: object) -> None:
    """Interrupt what runs until it has ended with the servers that it has started, and exit."""
    until = time.monotonic() + END_TIMEOUT_S
    while _running:
        late = time.monotonic() > until
        for process in list(_running):
            process.send_signal(signal.SIGKILL if late else signal.SIGINT)
        time.sleep(1.0)  # asyncio takes the first interrupt as the end of one test
    sys.exit(128 + signal_number)


def report(result: Result) -> Result:
    """Print how it ended: all that it printed if it failed, else the end of that."""
    lines = result.output.splitlines()
    print(f"\n===== {result.name}: {'FAILED' if result.code else 'passed'} after {result.seconds:.0f} s =====")
    print("\n".join(lines if result.code else lines[-TAIL_LINES:]), flush=True)
    return result


def summary(results: Sequence[Result]) -> list[str]:
    """The lines below everything; the last one counts the tests of all suites."""
    durations = Counter[str]()
    for result in results:
        durations.update(result.durations)
    lines = ["", f"===== the {SLOWEST} slowest tests ====="]
    lines += [f"{seconds:7.1f} s {name}" for name, seconds in durations.most_common(SLOWEST)]
    lines += ["", "===== all suites ====="]
    lines += [
        f"{result.seconds:7.0f} s ({result.cpu_seconds:.0f} s of CPU) {result.name}: "
        f"{result.passed} passed, {result.failed} failed" + ("" if not result.code else f", exit code {result.code}")
        for result in results
    ]
    passed, failed, skipped = (
        sum(getattr(result, kind) for result in results) for kind in ("passed", "failed", "skipped")
    )
    return [*lines, f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")]


def main() -> int:
    """Run what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.suites", description=__doc__)
    names = [suite.name for suite in SUITES]
    parser.add_argument("names", nargs="*", metavar="SUITE", help=f"all if none is named: {', '.join(names)}")
    parser.add_argument("--lint", action="store_true", help="run the linters beside them")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="how many run side by side (%(default)s)")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    suites = [suite for suite in SUITES if suite.name in (arguments.names or names)]
    signal.signal(signal.SIGTERM, end_all)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would pass on to ignore it
    with tempfile.TemporaryDirectory(prefix="voiceplane-suites-") as folder:
        results = asyncio.run(Runner(Path(folder), arguments.at_once).run_all(suites, lint=arguments.lint))
    print("\n".join(summary(results)), flush=True)
    return 1 if any(result.code for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
