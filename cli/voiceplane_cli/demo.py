"""Everything on one box, and the server that `say` and `talk` use when there is none."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from voiceplane_cli.local_stack import Stack, StackOptions, command, free_port, require_components, require_port
from voiceplane_cli.orchestrator_client import DEFAULT_URL, OrchestratorClient
from voiceplane_cli.output import note, stderr

WHAT_TO_TRY = """Voiceplane is ready: {url}
  Open it, press Talk, allow the microphone and speak; interrupt it whenever you like.
  In another terminal:  voiceplane say "Hello there."{server}
                        voiceplane models list{server}
  Stop with Ctrl-C."""


async def run_demo(options: StackOptions, *, open_page: bool) -> None:
    """Start the stack, say what to try, and serve until interrupted.

    Raises:
        CliError: Something is missing, the port is in use, or the stack failed.
    """
    require_components()
    require_port(options.port)
    with interruptible():
        async with Stack(command(options), url=options.url) as stack:
            with progress("starting") as tell:
                await stack.ready(tell)
            print(welcome(options.url), flush=True)  # noqa: T201  # a terminal is this program's output
            if open_page and has_display(os.environ, platform=sys.platform):
                await asyncio.to_thread(webbrowser.open, options.url)
            await stack.ended()


def welcome(url: str) -> str:
    """The text that is printed when the demo is ready."""
    return WHAT_TO_TRY.format(url=url, server="" if url == DEFAULT_URL else f" --server {url}")


def has_display(environ: Mapping[str, str], *, platform: str) -> bool:
    """Whether a browser could show a window here, rather than take over the terminal."""
    return platform in {"darwin", "win32"} or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


@asynccontextmanager
async def reachable(server: str | None, *, api_key: str, model: str = "") -> AsyncIterator[OrchestratorClient]:
    """A client of the server that was named; else of the default one; else of a stack that lives as long as this.

    Args:
        server: From --server; None if it was not given.
        api_key: Empty for none.
        model: The default model of a stack that has to be started.
    """
    async with OrchestratorClient(server or DEFAULT_URL, api_key=api_key) as api:
        if server or await api.is_alive():
            yield api
            return
    require_components()
    options = StackOptions(port=free_port(), model=model)
    note(f"no server at {DEFAULT_URL}: starting one for this command (voiceplane demo keeps one running)")
    with interruptible():
        async with Stack(command(options), url=options.url) as stack, OrchestratorClient(options.url) as api:
            with progress("starting") as tell:
                await stack.ready(tell)
            yield api


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """What goes on, on stderr: a spinner in a terminal, else a line for each change."""
    console = stderr()
    if not console.is_terminal:
        yield lambda now: note(f"  {now} …")
        return
    with console.status(first) as status:
        yield status.update


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the present task as Ctrl-C does, so that children are stopped."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "runs in a task"  # noqa: S101
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
