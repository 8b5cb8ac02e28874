"""The report of `voiceplane compare` in a real browser: it plays, asks for nothing, and meets WCAG 2.1 AA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from voiceplane_cli.comparison.recordings import Script
from voiceplane_cli.comparison.result_files import ResultFiles
from voiceplane_cli.comparison.transcription import Transcription

from tests.support import axe
from tests.support.browser import console_errors, looks
from tests.support.compare_results import result

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

SCREENS = {"wide": (1180, 860), "phone": (320, 640)}
EVIL = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"

MEASURE = """
return [...document.querySelectorAll(".tick, .line, .aim, .shape")].map((part) => {
  const {fill, stroke} = getComputedStyle(part);
  const name = part.getAttribute("class"), around = ground(part.closest("section"));
  return [name, contrast(["tick", "shape"].includes(name) ? fill : stroke, around), name === "tick" ? 4.5 : 3];
});
"""

PLAY = """
const done = arguments[arguments.length - 1];
Promise.all([...document.querySelectorAll("audio")].map((audio) => new Promise((resolve) => {
  audio.onended = () => resolve(audio.duration);
  audio.onerror = () => resolve(`error ${audio.error.code}`);
  audio.play();
}))).then(done);
"""


@pytest.fixture
def page(chrome: WebDriver, tmp_path: Path) -> WebDriver:
    heard = result("a-model-with-a-rather-long-name-as-they-are-on-hubs.int8")
    heard.transcription = Transcription(text=f"hello {EVIL}", word_error_rate=0.5)
    results = ResultFiles(html=tmp_path / "report.html", folder=None)
    results.write([result("joe"), heard, result("amy", firsts_ms=(), error=EVIL)], Script(text=f"Hello. {EVIL}"))
    chrome.get((tmp_path / "report.html").as_uri())
    return chrome


def test_the_report_meets_wcag_aa_in_light_and_dark_wide_and_narrow(page: WebDriver) -> None:
    found: list[str] = []
    for look in looks(page, SCREENS):
        wrong = axe.violations(page, leave_out="svg text")  # it can't tell what lies behind their text
        parts = page.execute_script(axe.CONTRAST + MEASURE)
        assert {name for name, _, _ in parts} == {"tick", "line", "aim", "shape"}
        wrong += [f"contrast of {name}: {found:.1f}" for name, found, least in parts if found < least]
        width = SCREENS[look.partition("-")[2]][0]
        if (wide := page.execute_script("return document.documentElement.scrollWidth")) > width:
            wrong.append(f"{wide} px wide, on a screen of {width}")
        found += [f"{look}: {each}" for each in wrong]
    assert found == []


def test_the_report_plays_by_itself_and_runs_nothing(page: WebDriver) -> None:
    assert page.execute_async_script(PLAY) == [1, 1]
    assert page.title == "Voiceplane: models compared"
    assert (
        page.execute_script("return performance.getEntriesByType('resource').map(({name}) => name.slice(0, 5))") == []
    )
    assert console_errors(page) == []
