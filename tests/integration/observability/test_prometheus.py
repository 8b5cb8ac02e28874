"""A real Prometheus reads real programs, and every query of every panel and every alert is answered by it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import aiohttp
import prometheus_client
import pytest
import yaml
from voiceplane_operator.metrics import Metrics as OperatorMetrics

from scripts.generate_dashboards import DASHBOARDS, RANGE
from tests.support.logged_stack import KEY, Stack, client, say_it_in_every_way, stack, take_a_turn
from tests.support.processes import POLL_S, free_port
from tests.support.promql import asked
from tests.unit.observability.test_alerts import ALERTS, RULES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@contextlib.contextmanager
def an_operator() -> Iterator[int]:
    """The metrics of an operator that has done one of everything; a cluster is not at hand. Yields their port."""
    metrics = OperatorMetrics(api_calls=lambda: 1)
    for kind in ("VoiceModel", "TTSWorkerPool"):
        metrics.declared.labels(kind).set(1)
        metrics.unready.labels(kind).set(0)
        metrics.reconcile_seconds.labels(kind).observe(0.1)
        metrics.queue_wait_seconds.labels(kind).observe(0.1)
        metrics.reconcile_errors.labels(kind).inc()
        metrics.drift.labels(kind).inc()
    metrics.model_calls.labels("load", "ok").inc()
    metrics.model_call_seconds.labels("load").observe(0.1)
    port = free_port()
    server, thread = prometheus_client.start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Prometheus:
    """A running one."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        async with self._http.get("/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def until(self, expression: str) -> None:
        """Return when an expression gives something."""
        while not await self.query(expression):  # noqa: ASYNC110  # no event comes from another process
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def prometheus(folder: Path, running: Stack, *, operator_port: int) -> AsyncIterator[Prometheus]:
    """One that reads a stack and an operator each half second."""
    program = shutil.which("prometheus")
    assert program, "prometheus is missing: scripts/system-packages.sh installs it"
    (folder / "key").write_text(KEY)
    targets = {
        "voiceplane-worker": f"127.0.0.1:{running.metrics_port}",
        "voiceplane-orchestrator": running.url.removeprefix("http://"),
        "voiceplane-operator": f"127.0.0.1:{operator_port}",
    }
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": job,
                "authorization": {"credentials_file": str(folder / "key")},
                "static_configs": [{"targets": [target]}],
            }
            for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    listen = f"127.0.0.1:{free_port()}"
    child = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession(f"http://{listen}") as http:
            while not await _ready(http):  # no event comes from another process
                assert child.returncode is None
                await asyncio.sleep(POLL_S)
            yield Prometheus(http)
    finally:
        child.terminate()
        await child.wait()


async def _ready(http: aiohttp.ClientSession) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with http.get("/-/ready") as response:
            return response.status == 200
    return False


@pytest.mark.timeout(120)
async def test_every_panel_and_every_alert_is_answered_from_what_real_programs_tell(tmp_path: Path) -> None:
    with an_operator() as operator_port:
        async with stack() as running, prometheus(tmp_path, running, operator_port=operator_port) as database:
            await database.until("count(up == 1) == 3")
            await say_it_in_every_way(running.url)
            async with client(running.url, "/v1/talk", sample_rate_hz=16_000) as user:
                await take_a_turn(user)
                # Two readings since the last that has been said, so that everything has a rate.
                await database.until("voiceplane_orchestrator_turns_total == 2")
                await database.until("count_over_time((voiceplane_orchestrator_turns_total == 2)[10s:500ms]) > 2")
                shown = await running.metrics()
                empty, answered = [], 0
                for name, (_, panels) in DASHBOARDS.items():
                    for panel in panels:
                        for expression, _ in panel.queries:
                            series = await database.query(expression.replace(RANGE, "30s"))
                            there = name == "operator" or all(f"\n{metric}" in shown for metric, _ in asked(expression))
                            answered += bool(series)
                            if there and not series:
                                empty.append(f"{name}: {panel.title}: {expression}")
                assert empty == []
                assert answered > 60
                for alert in ALERTS:
                    await database.query(alert["expr"])
                first = await database.query("max(rate(voiceplane_orchestrator_first_audio_seconds_count[30s]))")
                assert float(first[0]["value"][1]) > 0
                assert await database.query('ALERTS{alertstate="firing"}') == []
