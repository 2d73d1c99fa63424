from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.cli.switches import app

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/cordon.db")
    monkeypatch.setenv("AUDIT_CHAIN_KEY", "a chain key for tests, not for use elsewhere")


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_off_list_on(tmp_path: Path) -> None:
    assert run("off", "all", "--reason", "incident", "--note", "see the runbook").exit_code == 0
    assert run("off", "key:key_7Hq2mXc9RtLa", "--reason", "leak").exit_code == 0
    listed = json.loads(run("list", "--json").stdout)
    assert {(entry["kind"], entry["name"], entry["reason"]) for entry in listed} == {
        ("all", "all", "incident"),
        ("key", "key_7Hq2mXc9RtLa", "leak"),
    }
    assert "see the runbook" in run("list").stdout
    assert "is on" in run("on", "all").stderr
    assert "was not off" in run("on", "all").stderr
    with sqlite3.connect(tmp_path / "cordon.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM audit ORDER BY seq")]
    changes = [(body["name"], body["off"], body["actor"]) for body in bodies if body["type"] == "switch.changed"]
    assert changes == [("all", True, "cli"), ("key_7Hq2mXc9RtLa", True, "cli"), ("all", False, "cli")] * 1 + [
        ("all", False, "cli")
    ]


@pytest.mark.parametrize("target", ["everything", "tenant:", "all:some", "door:front", ""])
def test_a_target_that_is_none_is_told_what_to_write(target: str) -> None:
    result = run("off", target, "--reason", "test")
    assert result.exit_code != 0
    assert "model:NAME" in result.stderr


def test_a_reason_that_is_none_is_told_which_there_are() -> None:
    result = run("off", "all", "--reason", "because")
    assert result.exit_code != 0
    assert "maintenance" in result.stderr


def test_without_the_chain_key_nothing_is_switched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUDIT_CHAIN_KEY")
    result = run("off", "all", "--reason", "test")
    assert result.exit_code != 0
    assert "AUDIT_CHAIN_KEY" in result.stderr
    assert not (tmp_path / "cordon.db").exists()
