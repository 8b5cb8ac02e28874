"""Debian's Chromium, headless, with a WAV file for its microphone."""

from __future__ import annotations

import base64
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from selenium.webdriver.chrome.webdriver import WebDriver

RESULTS = Path(__file__).parents[2] / "test-results"
SCREENS = {"wide": (1180, 860), "phone": (390, 844)}
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=BackForwardCache",  # a page that is left lets its connections go
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def browser(*, profile: Path, microphone: Path, flags: Iterable[str] = ()) -> Iterator[WebDriver]:
    """A new browser with a new profile. Fails the test where Chromium is missing.

    Args:
        profile: An empty folder for its user data.
        microphone: The WAV file that is spoken once, from when the page opens the microphone.
        flags: More of Chromium's flags.
    """
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("chromium is not installed: run scripts/system-packages.sh")
    options = Options()
    options.binary_location = chromium
    own = (f"--user-data-dir={profile}", f"--use-file-for-fake-audio-capture={microphone}%noloop")
    for flag in (*FLAGS, *own, *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(executable_path=driver, log_output=os.devnull)
    chrome = webdriver.Chrome(options=options, service=service)
    try:
        chrome.set_page_load_timeout(20)
        chrome.set_script_timeout(20)
        yield chrome
    finally:
        chrome.quit()


def console_errors(chrome: WebDriver) -> list[str]:
    """What the page wrote to its console as an error since the last call."""
    logs: list[dict[str, Any]] = chrome.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in logs if entry["level"] == "SEVERE"]


def looks(chrome: WebDriver, screens: Mapping[str, tuple[int, int]] = SCREENS) -> Iterator[str]:
    """Show the page in light and dark on each screen; yields their names, such as "dark-phone"."""
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for kind, (width, height) in screens.items():
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": kind == "phone"}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            yield f"{scheme}-{kind}"
    chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def screenshot(chrome: WebDriver, name: str, *, folder: Path = RESULTS) -> None:
    """Keep what is seen now, for people, in light, dark and the width of a phone; a phone's page as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for look in looks(chrome):
        whole = look.endswith("phone")
        picture = chrome.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
        (folder / f"page-{name}-{look}.png").write_bytes(base64.b64decode(picture["data"]))
