"""axe-core in a real browser: what of WCAG 2.1 AA a page that is open does not meet."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

AXE = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}

# Functions for what axe-core leaves out: the contrast of two colours, and the colour behind an element.
CONTRAST = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = (color) => channels(color).slice(0, 3)
  .map((value) => value / 255).map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
  .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0);
const contrast = (one, two) => {
  const [low, high] = [luminance(one), luminance(two)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const isClear = (color) => (channels(color)[3] ?? 1) === 0;
const ground = (element) => {
  const color = getComputedStyle(element).backgroundColor;
  return isClear(color) && element.parentElement ? ground(element.parentElement) : color;
};
"""

JUDGE = """
const axe = arguments[0], exclude = arguments[1], done = arguments[arguments.length - 1];
const named = ({id, nodes}) => nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`);
window.axe.run({include: [["html"]], exclude}, axe).then(({violations, incomplete}) => done([
  ...violations.flatMap(named), ...incomplete.filter(({id}) => id === "color-contrast").flatMap(named),
]));
"""


def violations(chrome: WebDriver, *, leave_out: str = "") -> list[str]:
    """What is wrong with what is shown now; a contrast that axe-core can't tell counts as wrong.

    Args:
        chrome: Shows the page.
        leave_out: A selector of what is judged in another way.
    """
    if not chrome.execute_script("return Boolean(window.axe)"):
        chrome.execute_script(AXE)
    found: list[str] = chrome.execute_async_script(JUDGE, RULES, [[leave_out]] if leave_out else [])
    return found
