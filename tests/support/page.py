"""The page on a scripted server, and what a user does with it in a browser."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from voiceplane_orchestrator.transports.http.page import CONTENT_TYPES, PAGE_HEADERS

from tests.support.browser import console_errors
from tests.support.scripted_server import ScriptedServer, model

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver.chrome.webdriver import WebDriver

DEADLINE_S = 40


def page_server() -> ScriptedServer:
    """A scripted server with the page, and models in several states."""

    async def page(request: web.Request) -> web.Response:
        name = request.match_info.get("name")
        folder = files("voiceplane_orchestrator").joinpath("web")
        path = folder.joinpath("assets", name) if name else folder.joinpath("index.html")
        suffix = path.name[path.name.rfind(".") :]
        return web.Response(body=path.read_bytes(), content_type=CONTENT_TYPES[suffix], headers=PAGE_HEADERS)

    server = ScriptedServer()
    server.models = [
        model("joe", state="resident"),
        model("amy", state="loading"),
        model("broken", state="failed", message="the file is cut short"),
    ]
    server.app.add_routes([web.get("/", page), web.get("/assets/{name}", page)])
    return server


def text_of(chrome: WebDriver, selector: str) -> str:
    """What is shown there; empty if nothing is."""
    found = chrome.find_elements(By.CSS_SELECTOR, selector)
    return str(found[0].text) if found else ""


def until(chrome: WebDriver, condition: Callable[[WebDriver], Any], *, deadline_s: float = DEADLINE_S) -> None:
    """Wait for something to be so."""
    WebDriverWait(chrome, deadline_s, poll_frequency=0.05).until(condition)


def open_page(chrome: WebDriver, url: str) -> None:
    """Load the page, and wait until its program has started; before that a click does nothing."""
    chrome.get(url)
    started = "return 'voiceplane' in window"
    try:
        until(chrome, lambda c: c.execute_script(started))
    except TimeoutException:
        pytest.fail(f"the page at {url} does not start: {console_errors(chrome)}")


def stats(chrome: WebDriver) -> dict[str, float]:
    """What the page counts."""
    values: dict[str, float] = chrome.execute_script("return window.voiceplane.stats")
    return values


def choose(chrome: WebDriver, select_id: str, value: str) -> None:
    """Choose an option of a list."""
    option = f"#{select_id} option[value='{value}']"
    until(chrome, lambda c: c.find_elements(By.CSS_SELECTOR, option))
    chrome.find_element(By.CSS_SELECTOR, option).click()
