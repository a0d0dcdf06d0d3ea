"""The dashboard and the alerts of `deploy/`: Prometheus takes them, and a real server has every metric they name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import LiveServer
from tests.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "lingting.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "lingting.json"
METRIC = re.compile(r"\b(?:lingting|process)_[a-z_]+")


def promtool(*arguments: str | Path, folder: Path = ROOT) -> str:
    """What promtool prints; the test fails with it where promtool does."""
    command = [require_program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> list[str]:
    """Those of all panels, as Prometheus gets them from Grafana."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [expr.replace("$__rate_interval", "5m").replace("$instance", ".*") for expr in found]


def test_prometheus_takes_the_rules() -> None:
    assert re.search(r"SUCCESS: 1[0-9] rules found", promtool("check", "rules", RULES))


def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    for file in (RULES, Path(__file__).with_name("alerts.yml")):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", "alerts.yml", folder=tmp_path)


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": expr} for n, expr in enumerate(expressions())]
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_has_a_place_for_each_panel_and_asks_for_its_source() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert {variable["name"] for variable in board["templating"]["list"]} == {"source", "instance"}
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    assert len(places) == len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${source}"}


@pytest.mark.engine
def test_a_real_server_has_every_metric_that_they_and_the_documents_name(live_server: LiveServer) -> None:
    shown = requests.get(live_server.url + "/metrics", timeout=10).text
    has: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", shown, re.MULTILINE):
        has |= {name + suffix for suffix in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    named = set(METRIC.findall(RULES.read_text() + "\n".join(expressions())))
    assert len(named) > 20
    assert named <= has
    for page in ("docs/operator/monitoring.md", "docs/zh/operator/monitoring.md"):
        table = set(re.findall(r"(?<=`)lingting_[a-z_]+", (ROOT / page).read_text()))
        bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in has if name.startswith("lingting_")}
        assert table == bare, page


@pytest.mark.engine
def test_a_real_server_tells_the_memory_of_its_model(live_server: LiveServer) -> None:
    shown = requests.get(live_server.url + "/metrics", timeout=10).text
    memory = re.search(r'^lingting_model_memory_bytes\{model="whisper-base"\} (\S+)$', shown, re.MULTILINE)
    assert memory and float(memory[1]) > 50_000_000
