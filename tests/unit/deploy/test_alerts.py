"""Every alert fires when it should and not while all is well, says what to do, and rests on metrics that there are."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from gateway.cli.main import app
from gateway.telemetry.catalogue import FAMILIES
from tests.support.promtool import promtool

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
BOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

OF_OTHERS = {"up"}
"""Prometheus's own."""
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OURS = {family.name + suffix for family in FAMILIES for suffix in SUFFIXES[family.kind]}
LABELS = {family.name + suffix: set(family.labels) for family in FAMILIES for suffix in SUFFIXES[family.kind]}


def panels(board: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(board.read_text())["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Every PromQL expression, rules first; Grafana's variables as Prometheus would get them."""
    shown = [target["expr"] for board in BOARDS for panel in panels(board) for target in panel["targets"]]
    filled = [query.replace("$__rate_interval", "1m").replace("$instance", ".+") for query in shown]
    return [rule["expr"] for rule in RULES] + filled


def test_the_rules_and_the_configuration_are_well_formed(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
    promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_each_alert_fires_when_it_should_and_none_while_all_is_well() -> None:
    promtool("test", "rules", "alerts_test.yml", folder=FOLDER)


def test_no_alert_is_left_out_of_the_tests() -> None:
    well, *ill = ([(each["alertname"], bool(each["exp_alerts"])) for each in test["alert_rule_test"]] for test in TESTS)
    assert sorted(well) == sorted((alert, False) for alert in ALERTS)
    assert {each for test in ill for each in test} == {(alert, True) for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_what_is_seen_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
    section = RUNBOOK.partition(f"\n## {alert}\n")[2].partition("\n## ")[0]
    assert "**Seen.**" in section
    assert "**Means.**" in section
    assert "\n1. " in section


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALERTS)
    for link in re.findall(r"\]\(#(\w+)\)", RUNBOOK):
        assert link in {alert.lower() for alert in ALERTS}


def test_the_runbooks_commands_are_there() -> None:
    lines = [line.strip() for line in RUNBOOK.splitlines() if line.startswith("    ")]
    said = {re.split(r"[;|]", part)[0] for line in lines for part in re.findall(r"\bcordon [a-z].*", line)}
    inline = set(re.findall(r"`(cordon [a-z][^`]*)`", RUNBOOK))
    assert said
    for command in said | inline:
        words = shlex.split(command)[1:]
        place: Any = typer.main.get_command(app)
        context = click.Context(place)
        while words and hasattr(place, "get_command") and (found := place.get_command(context, words[0])) is not None:
            place, words = found, words[1:]
        assert not hasattr(place, "list_commands"), f"no such command: {command}"
        options = {option for parameter in place.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, command


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    bare = re.sub(r'"[^"]*"', '""', query)
    for name, selector in re.findall(r"\b(cordon_\w+|up)\b(\{[^}]*\})?", bare):
        assert name in OURS | OF_OTHERS, name
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert asked <= LABELS.get(name, set()) | {"instance", "job", "le"}, (name, asked)


def test_grafana_gets_queries_that_prometheus_can_read(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "queries.yml", folder=tmp_path)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.stem)
def test_a_board_can_be_provisioned(board: Path) -> None:
    told = json.loads(board.read_text())
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert told["uid"] == board.stem
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    for panel in panels(board):
        assert panel["title"]
        assert panel["targets"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_each_metric_is_in_a_rule_or_on_a_board_or_explains_another() -> None:
    asked = " ".join(queries())
    unseen = {family.name for family in FAMILIES if family.name not in asked}
    assert unseen == {"cordon_http_received_bytes_total", "cordon_model_info"}  # for joining, and for other questions
