"""Every state of the page against WCAG 2.1 AA: by axe-core, and by what axe-core does not compute."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support import axe
from tests.support.browser import looks
from tests.support.page_states import STATES, stages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from selenium.webdriver.chrome.webdriver import WebDriver

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

# The narrowest screen of WCAG's reflow, and a desk's.
SCREENS = {"wide": (1180, 860), "phone": (320, 640)}
LEAST_TARGET_PX = 44
LEAST_OUTLINE_PX = 2
TEXT_CONTRAST = 4.5
PART_CONTRAST = 3.0

# What a user sees that axe-core leaves out: text of pseudo-elements, edges of controls, parts of plots and meters.
MEASURE = """
const shown = (selector) => [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
const found = {text: {}, parts: {}, targets: {}};
for (const input of shown("input")) {
  found.text[`placeholder of ${input.id}`] = contrast(getComputedStyle(input, "::placeholder").color, ground(input));
}
for (const list of shown("#transcript:empty")) {
  found.text.hint = contrast(getComputedStyle(list, "::before").color, ground(list));
}
for (const control of shown("button:enabled, select:enabled, input")) {
  const {borderTopColor} = getComputedStyle(control), around = ground(control.parentElement);
  const best = Math.max(contrast(borderTopColor, around), contrast(ground(control), around));
  found.parts[control.id || control.textContent] = best;
}
for (const value of shown(".plot .value")) {
  const {fill, stroke} = getComputedStyle(value), row = value.closest("[data-latency]");
  found.parts[row.dataset.latency] = contrast(fill === "none" ? stroke : fill, ground(row));
}
for (const bar of shown(".bar")) found.parts[bar.ariaLabel] = contrast(ground(bar.firstElementChild), ground(bar));
for (const line of shown("#connection")) {
  found.parts.state = contrast(getComputedStyle(line, "::before").backgroundColor, ground(line));
}
for (const target of shown("button, select, input, summary")) {
  const {width, height} = (target.closest("label") ?? target).getBoundingClientRect();
  found.targets[target.id || target.textContent] = Math.min(width, height);
}
found.width = document.documentElement.scrollWidth;
return found;
"""


@pytest.fixture
async def enter(chrome: WebDriver) -> AsyncIterator[Callable[[str], AbstractAsyncContextManager[None]]]:
    async with stages(chrome) as enter:
        yield enter


def problems(chrome: WebDriver, name: str) -> list[str]:
    """What is wrong with what is shown now, in every look."""
    chrome.execute_script("document.querySelector('details').open = true")  # what is folded away is judged, too
    found: list[str] = []
    for look in looks(chrome, SCREENS):
        measured = chrome.execute_script(axe.CONTRAST + MEASURE)
        wrong = axe.violations(chrome)
        wrong += [f"contrast of {k}: {v:.1f}" for k, v in measured["text"].items() if v < TEXT_CONTRAST]
        wrong += [f"contrast of {k}: {v:.1f}" for k, v in measured["parts"].items() if v < PART_CONTRAST]
        wrong += [f"size of {k}: {v} px" for k, v in measured["targets"].items() if v < LEAST_TARGET_PX]
        width = SCREENS[look.partition("-")[2]][0]
        if measured["width"] > width:
            wrong.append(f"{measured['width']} px wide, on a screen of {width}")
        found += [f"{name}, {look}: {each}" for each in wrong]
    return found


async def test_every_state_meets_wcag_aa_in_light_and_dark_wide_and_narrow(chrome: WebDriver, enter: Any) -> None:
    found: list[str] = []
    for name in STATES:
        async with enter(name):
            found += await asyncio.to_thread(problems, chrome, name)
    assert not found, json.dumps(found, indent=1)


async def test_every_control_is_reached_by_the_keyboard_and_shows_its_focus(chrome: WebDriver, enter: Any) -> None:
    def walk() -> list[str]:
        reached = []
        for _ in range(40):
            chrome.switch_to.active_element.send_keys(Keys.TAB)
            focused = chrome.switch_to.active_element
            if focused.tag_name != "body":
                assert focused.value_of_css_property("outline-style") == "solid"
                assert float(focused.value_of_css_property("outline-width").removesuffix("px")) >= LEAST_OUTLINE_PX
            reached.append(focused.get_attribute("id") or focused.get_attribute("aria-label") or focused.text)
        return reached

    def controls() -> set[str]:
        shown = chrome.find_elements(By.CSS_SELECTOR, "button, select, input, summary, [tabindex]")
        return {
            each.get_attribute("id") or each.get_attribute("aria-label") or each.text
            for each in shown
            if each.is_displayed() and each.is_enabled()
        }

    async with enter("listening"):
        reached, there = await asyncio.to_thread(walk), await asyncio.to_thread(controls)
    assert {"talk", "mute", "interrupt", "disconnect", "microphone", "speaker", "model", "transcript"} <= there
    assert there <= set(reached)
