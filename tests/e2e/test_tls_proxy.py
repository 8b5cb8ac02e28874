"""The page behind examples/tls-proxy, from a network of its own: over WebRTC, and where only port 443 is open."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.cluster.binaries import system_program
from tests.support.browser import browser, console_errors
from tests.support.impaired_network import NEAR_ADDRESS, RoughPath, inside, rough_path
from tests.support.livekit import KEY, SECRET, LiveKitServer, tone
from tests.support.orchestrators import ScriptedRecognizer, orchestrator
from tests.support.page import open_page
from tests.support.tls_proxy import NAME, TURN_NAME, Site, host_and_port, nginx, orchestrator_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

# The first one may build LiveKit.
pytestmark = pytest.mark.timeout(600)

API_KEY = "a-key-of-this-test"
HEARD = "this is what was heard"
DEADLINE_S = 40
LOUD = 0.02
# What a strict network lets out: web pages.
ONLY_443 = """
table inet strict {
    chain out {
        type filter hook output priority 0; policy drop;
        oifname lo accept
        tcp dport 443 counter accept
        counter drop
    }
}
"""


@pytest.fixture
def path() -> Iterator[RoughPath]:
    with rough_path() as path:
        yield path


@pytest.fixture
def strict_path(path: RoughPath) -> RoughPath:
    """A line whose far end may open web pages, and nothing else."""
    nft = ["ip", "netns", "exec", path.namespace, system_program("nft"), "-f", "-"]
    subprocess.run(nft, input=ONLY_443, text=True, check=True)
    return path


@pytest.fixture
def microphone(tmp_path: Path) -> Path:
    """A sound every 9 s: on a busy machine the first may come before anybody listens."""
    sounds = [np.concatenate([np.zeros(4 * 48_000, np.int16), tone(0.8), np.zeros(4 * 48_000, np.int16)])] * 4
    file = tmp_path / "microphone.wav"
    with wave.open(str(file), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(48_000)
        wav.writeframes(np.concatenate(sounds).tobytes())
    return file


@contextlib.asynccontextmanager
async def site(folder: Path, path: RoughPath) -> AsyncIterator[tuple[Site, Path]]:
    """The example with everything behind it, at the address that the far end reaches; and nginx's logs."""
    place = Site(folder=folder, address=NEAR_ADDRESS, https_port=443)
    async with LiveKitServer(folder, settings=place.livekit_settings(path.device)) as server:
        sections = orchestrator_settings(server.url)
        sections["livekit"] |= {"api_key": KEY, "api_secret": SECRET}
        async with orchestrator(
            recognizer=ScriptedRecognizer(HEARD), auth={"api_keys": [API_KEY]}, **sections
        ) as running:
            await running.wait_in_rooms(timeout_s=20)
            here = place.before(host_and_port(running.url))
            async with nginx(here) as logs:
                yield here, logs


def shown(chrome: WebDriver, selector: str) -> str:
    found = chrome.find_elements(By.CSS_SELECTOR, selector)
    return str(found[0].text) if found else ""


def stats(chrome: WebDriver) -> dict[str, float]:
    found: dict[str, float] = chrome.execute_script("return window.voiceplane.stats")
    return found


def converse(site: Site, *, profile: Path, microphone: Path) -> list[str]:
    """Open the page, give the key, speak and be answered; the console's errors."""
    with browser(profile=profile, microphone=microphone, flags=site.chromium_flags) as chrome:
        wait = WebDriverWait(chrome, DEADLINE_S, poll_frequency=0.05)
        open_page(chrome, f"https://{NAME}/")
        chrome.find_element(By.TAG_NAME, "summary").click()
        chrome.find_element(By.ID, "key").send_keys(API_KEY + Keys.TAB)
        chrome.find_element(By.ID, "talk").click()
        wait.until(lambda c: shown(c, "#transport"), "no room and no session")
        assert shown(chrome, "#transport") == "WebRTC"
        wait.until(lambda c: HEARD in shown(c, "#transcript .user"), "the microphone was not heard")
        wait.until(lambda c: stats(c)["loudest"] > LOUD, "no answer was heard")
        return console_errors(chrome)


async def test_a_user_talks_over_webrtc_at_a_tls_address(tmp_path: Path, path: RoughPath, microphone: Path) -> None:
    async with site(tmp_path, path) as (here, logs):
        errors = await asyncio.to_thread(
            inside, path.namespace, lambda: converse(here, profile=tmp_path / "profile", microphone=microphone)
        )
        assert [error for error in errors if "/v1/models" not in error] == []  # refused before the key was there
        assert "GET /rtc" in (logs / "access.log").read_text()


async def test_where_only_port_443_is_open_audio_comes_by_turn(
    tmp_path: Path, strict_path: RoughPath, microphone: Path
) -> None:
    async with site(tmp_path, strict_path) as (here, logs):
        await asyncio.to_thread(
            inside, strict_path.namespace, lambda: converse(here, profile=tmp_path / "profile", microphone=microphone)
        )
    assert TURN_NAME in (logs / "names.log").read_text()
