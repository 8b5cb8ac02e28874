"""The runner of all suites: no test is in two of them or in none, and its last line counts all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.support.suites import ROOT, SUITES, Result, command, count, summary

if TYPE_CHECKING:
    from pathlib import Path

REPORT = """<testsuites><testsuite>
<testcase file="tests/a.py" name="test_one" time="1.5"/>
<testcase file="tests/a.py" name="test_two" time="0.5"><failure>no</failure></testcase>
<testcase file="tests/a.py" name="test_three" time="0.1"><error>no</error></testcase>
<testcase file="tests/a.py" name="test_four" time="0"><skipped/></testcase>
</testsuite></testsuites>"""


def within(path: Path, folders: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def test_every_test_is_in_one_suite() -> None:
    tests = [path.relative_to(ROOT) for folder in ("tests", "families") for path in (ROOT / folder).rglob("test_*.py")]
    assert tests
    for test in tests:
        suites = [suite.name for suite in SUITES if within(test, suite.paths) and not within(test, suite.left_out)]
        assert len(suites) == 1, f"{test} is in {suites or 'no suite'}"


def test_every_path_of_a_suite_is_there() -> None:
    for suite in SUITES:
        assert all((ROOT / path).exists() for path in suite.paths + suite.left_out), suite.name


def test_the_last_line_counts_the_tests_of_all_suites(tmp_path: Path) -> None:
    report = tmp_path / "a.xml"
    report.write_text(REPORT)
    first = Result(name="a", code=1, seconds=2.0, cpu_seconds=1.0, output="")
    count(first, report)
    second = Result(name="b", code=0, seconds=1.0, cpu_seconds=1.0, output="", passed=5)
    lines = summary([first, second])
    assert lines[-1] == "6 passed, 2 failed, 1 skipped"
    assert any("tests/a.py::test_one" in line for line in lines)
    assert summary([second])[-1] == "5 passed, 0 failed"


async def test_a_suite_reports_how_it_ended_and_what_it_computed() -> None:
    program = "import time\nwhile time.process_time() < 0.2: pass\nprint('said')\nexit(3)"
    result = await command("a", sys.executable, "-c", program)
    assert (result.code, result.output) == (3, "said\n")
    assert result.cpu_seconds >= 0.2
