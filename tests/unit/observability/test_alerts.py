"""Each alert fires when it should and not otherwise, asks for metrics that there are, and has a runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.alerts import CASES
from tests.support.promql import problems

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts" / "voiceplane" / "rules" / "voiceplane.yaml"
RUNBOOKS = (ROOT / "docs" / "how-to" / "runbooks.md").read_text(encoding="utf-8")
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
NAMES = [alert["alert"] for alert in ALERTS]


def promtool(*arguments: str | Path) -> str:
    """What it prints; it must be content."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: scripts/system-packages.sh installs it"
    result = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_asks_for_what_there_is_and_has_a_runbook(alert: dict[str, Any]) -> None:
    assert problems(alert["expr"]) == []
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == "docs/how-to/runbooks.md"
    assert anchor == alert["alert"].lower()
    assert f"\n## {alert['alert']}\n" in RUNBOOKS
    assert alert["labels"]["severity"] in {"critical", "warning"}


def test_every_runbook_has_an_alert_and_links_lead_somewhere() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE) == NAMES
    assert {link.lower() for link in re.findall(r"\]\(#(\w+)\)", RUNBOOKS)} <= {name.lower() for name in NAMES}


def test_the_rules_and_the_example_are_valid(tmp_path: Path) -> None:
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", RULES)
    text = (ROOT / "examples" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    key = tmp_path / "key"
    key.write_text("k")
    here = text.replace("/etc/prometheus/voiceplane-rules.yaml", str(RULES)).replace(
        "/run/secrets/voiceplane-api-key", str(key)
    )
    assert here.count(str(RULES)) == here.count(str(key)) == 1
    (tmp_path / "prometheus.yml").write_text(here)
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_each_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    assert sorted(CASES) == sorted(NAMES)

    def one(name: str, series: dict[str, str], *, at: str, fires: bool) -> dict[str, Any]:
        labels = f'ALERTS{{alertname="{name}"}}'
        expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else []
        return {
            "interval": "1m",
            "input_series": [{"series": each, "values": values} for each, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count by (alertname) ({labels} and ALERTS{{alertstate="firing"}})',
                    "eval_time": at,
                    "exp_samples": expected,
                }
            ],
        }

    tests = [
        one(name, series, at=case.at, fires=fires)
        for name, case in CASES.items()
        for series, fires in ((case.firing, True), (case.quiet, False))
    ]
    file = tmp_path / "alerts.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", file)


def test_the_compose_example_adds_to_services_that_there_are_and_mounts_files_that_there_are() -> None:
    base = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    added = yaml.safe_load((ROOT / "examples" / "prometheus" / "compose.yaml").read_text(encoding="utf-8"))
    assert set(added["services"]) - set(base) == {"prometheus"}
    assert set(added["services"]["prometheus"]["depends_on"]) <= set(base)
    sources = [each.split(":")[0] for each in added["services"]["prometheus"]["volumes"]]
    assert all((ROOT / source).is_file() for source in sources if source.startswith("."))
    targets = re.findall(r'targets: \["(\w+):(\d+)"\]', (ROOT / "examples/prometheus/prometheus.yml").read_text())
    port = added["services"]["piper"]["environment"]["VOICEPLANE_WORKER__METRICS_PORT"]
    assert targets == [("piper", port), ("orchestrator", "8080")]
