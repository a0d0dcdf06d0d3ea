"""The dashboard and the alerts of `deploy/`: Prometheus takes them, and a real server has every metric they name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import LiveServer, free_port
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


Ask = Callable[..., dict[str, Any]]


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Ask]:
    """A Prometheus with the rules of `deploy/` that asks this server every second, and what asks it in turn."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "lingting", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    url = f"127.0.0.1:{free_port()}"
    command = [require_program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={url}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(what: str, **parameters: str) -> dict[str, Any]:
        answer = requests.get(f"http://{url}/api/v1/{what}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data

    def ready() -> bool:
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        with suppress(requests.ConnectionError):
            return requests.get(f"http://{url}/-/ready", timeout=30).ok
        return False

    try:
        wait_until(ready)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


def rules_of(ask: Ask) -> list[dict[str, Any]]:
    """All rules that Prometheus has loaded."""
    return [rule for group in ask("rules")["groups"] for rule in group["rules"]]


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once it is; a test fails where it is not within so long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


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
def test_a_real_prometheus_asks_a_real_server_and_evaluates_the_rules_and_every_panel(
    live_server: LiveServer, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {live_server.key}"}
    assert requests.get(live_server.url + "/v1/models", headers=headers, timeout=30).status_code == 200
    with prometheus(live_server.url.removeprefix("http://"), tmp_path) as ask:
        wait_until(lambda: [target["health"] for target in ask("targets")["activeTargets"]] == ["up"])
        wait_until(lambda: all(rule["health"] == "ok" for rule in rules_of(ask)))
        assert len(rules_of(ask)) > 10
        for expr in expressions():
            assert ask("query", query=expr)["resultType"] == "vector", expr
        (up,) = ask("query", query='up{job="lingting"}')["result"]
        assert up["value"][1] == "1"
        answered = ask("query", query='lingting_requests_total{interface="models", outcome="ok"}')["result"]
        assert float(answered[0]["value"][1]) >= 1
        assert "LingtingDown" not in {alert["labels"]["alertname"] for alert in ask("alerts")["alerts"]}


@pytest.mark.engine
def test_a_real_server_tells_the_memory_of_its_model(live_server: LiveServer) -> None:
    shown = requests.get(live_server.url + "/metrics", timeout=10).text
    memory = re.search(r'^lingting_model_memory_bytes\{model="whisper-base"\} (\S+)$', shown, re.MULTILINE)
    assert memory and float(memory[1]) > 50_000_000
