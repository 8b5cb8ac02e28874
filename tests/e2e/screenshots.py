"""Write pictures of each state of the page: `python -m tests.e2e.screenshots [FOLDER]`."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.support.browser import RESULTS, browser, screenshot
from tests.support.page_states import STATES, stages, talkative_microphone


async def take(folder: Path) -> None:
    """Bring the page into each state, and take its pictures: light and dark, wide and on a phone."""
    with tempfile.TemporaryDirectory() as temporary:
        microphone = talkative_microphone(Path(temporary) / "microphone.wav")
        with browser(profile=Path(temporary) / "profile", microphone=microphone) as chrome:
            async with stages(chrome) as enter:
                for name in STATES:
                    async with enter(name):
                        await asyncio.to_thread(screenshot, chrome, name, folder=folder)
                    print(f"{name}: 4 pictures")
    print(f"The pictures are in {folder}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write pictures of each state of the page.")
    parser.add_argument("folder", type=Path, nargs="?", default=RESULTS / "screenshots")
    asyncio.run(take(parser.parse_args().folder))
