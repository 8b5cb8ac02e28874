"""`voiceplane top`: what it reads of a server, what it shows, and how the live view begins and ends."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from voiceplane_cli import top
from voiceplane_cli.output import CliError
from voiceplane_cli.prometheus_metrics import PrometheusMetrics
from voiceplane_orchestrator.metrics import Metrics

from tests.integration.cli.test_commands import VOICEPLANE, url, voiceplane
from tests.support.scripted_server import KEY, model

if TYPE_CHECKING:
    from aiohttp.test_utils import TestServer

    from tests.support.scripted_server import ScriptedServer


def told(*, turns: int = 3) -> Metrics:
    """What an orchestrator tells after some turns."""
    metrics = Metrics()
    metrics.sessions.labels("talk").set(2)
    metrics.sessions_started.labels("talk").inc(turns)
    metrics.sessions_limit.set(64)
    metrics.turns.inc(turns)
    metrics.barge_ins.labels("stopped").inc(2)
    metrics.reroutes.labels("STREAM_ENDED").inc()
    metrics.errors.labels("NO_WORKER").inc(4)
    for _ in range(turns):
        metrics.first_audio.labels("speech").observe(0.4)
        metrics.frame_jitter.observe(0.0015)
    return metrics


def text_of(metrics: Metrics) -> str:
    return prometheus_client.generate_latest(metrics.registry).decode()


async def test_it_is_printed_once_as_tables_and_as_json(scripted: ScriptedServer, server: TestServer) -> None:
    scripted.metrics = text_of(told())
    scripted.models.append(model("far-away", state="absent"))
    shown = (await voiceplane("top", "--once", "--server", url(server))).out.decode()
    assert "2/64 (talk 2)" in shown
    assert "1 (STREAM_ENDED 1)" in shown
    assert "4 (NO_WORKER 4)" in shown
    assert "latency since the start" in shown
    assert "127.0.0.1:7000" in shown
    assert "joe" in shown
    assert "far-away" not in shown, "it is nowhere"
    value = json.loads((await voiceplane("top", "--json", "--server", url(server))).out)
    assert value["sessions"] == {"talk": 2}
    assert value["turns"] == 3
    assert value["barge_ins"] == {"stopped": 2}
    assert value["latencies"]["first audio after speech"] == {"p50_ms": 400.0, "p95_ms": 490.0}
    assert value["latencies"]["recognition"] == {"p50_ms": None, "p95_ms": None}
    assert value["workers"][0]["queue_depth"] == 0
    assert [each["model_id"] for each in value["models"]] == ["joe"]


async def test_a_server_that_requires_a_key_is_reported(scripted: ScriptedServer, server: TestServer) -> None:
    scripted.wants_key = True
    result = await voiceplane("top", "--once", "--server", url(server))
    assert (result.code, "VOICEPLANE_API_KEY" in result.err) == (4, True)
    assert (await voiceplane("top", "--once", "--server", url(server), VOICEPLANE_API_KEY=KEY)).code == 0


async def test_the_live_view_follows_what_happens_and_ends_with_an_interrupt(
    scripted: ScriptedServer, server: TestServer
) -> None:
    scripted.metrics = text_of(told())
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *VOICEPLANE, "--server", url(server), "top", "--interval", "0.2",
        stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm", "COLUMNS": "140", "LINES": "60"},
    )  # fmt: skip
    os.close(theirs)
    screen = ""
    news = asyncio.Event()

    def read() -> None:
        nonlocal screen
        try:
            screen += os.read(ours, 65_536).decode(errors="replace")
        except OSError:  # the other end is closed
            asyncio.get_running_loop().remove_reader(ours)
        news.set()

    async def until(text: str) -> None:
        while text not in screen:
            news.clear()
            await news.wait()

    asyncio.get_running_loop().add_reader(ours, read)
    try:
        async with asyncio.timeout(60):
            await until("2/64 (talk 2)")
            metrics = told(turns=20)
            metrics.sessions.labels("talk").set(7)
            scripted.metrics = text_of(metrics)
            await until("7/64 (talk 7)")
            await until("latency of the last minute")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        assert "Traceback" not in screen
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


def test_percentiles_are_those_of_prometheus_and_of_the_time_since_an_earlier_look() -> None:
    metrics = told()
    before = PrometheusMetrics(text_of(metrics))
    name = "voiceplane_orchestrator_first_audio_seconds"
    assert before.quantile(0.5, name) == pytest.approx(0.4)  # the middle of 0.3 … 0.5
    for _ in range(100):
        metrics.first_audio.labels("text").observe(0.06)
    now = PrometheusMetrics(text_of(metrics))
    assert now.quantile(0.5, name, before=before) == pytest.approx(0.0625)
    assert now.quantile(0.5, name, before=before, after="speech") is None
    assert now.quantile(0.5, name, after="speech") == pytest.approx(0.4)
    metrics.first_audio.labels("text").observe(1000.0)
    assert PrometheusMetrics(text_of(metrics)).quantile(1.0, name) == 10.0, (
        "more is not known of what is beyond the buckets"
    )


def test_labels_with_odd_characters_are_read_and_another_format_is_refused() -> None:
    shown = PrometheusMetrics('# HELP a_total A.\na_total{reason="x\\"}y",kind="k"} 2\na_total{kind="k"} 3e0\nb NaN\n')
    assert shown.total("a_total") == 5
    assert shown.total("a_total", reason='x"}y') == 2
    assert shown.by("kind", "a_total") == {"k": 5}
    with pytest.raises(CliError, match="text format"):
        PrometheusMetrics("<html>nginx</html>\n")


def test_every_metric_that_it_reads_exists() -> None:
    names = {f"voiceplane_orchestrator_{metric}" for metric, _ in top.LATENCIES.values()}
    assert names <= {metric.name for metric in Metrics().registry.collect()}
