from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.cli.model import app

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[3]
MODEL = "brain_mri_resnet50"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/cordon.db")
    monkeypatch.setenv("AUDIT_CHAIN_KEY", "a chain key for tests, not for use elsewhere")
    monkeypatch.setenv("MODELS_POLICY", str(ROOT / "policies" / "models.yaml"))
    monkeypatch.setenv("MODELS_REPOSITORY", str(ROOT / "model_repository"))
    monkeypatch.setenv("TRITON_URL", "127.0.0.1:1")  # nobody is there


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_roll_over_and_back_on_record(tmp_path: Path) -> None:
    done = run("rollback", MODEL, "--to", "2", "--reason", "release", "--note", "after a week")
    assert done.exit_code == 0, done.output
    assert "rollback by cli" in done.stderr
    assert "release: after a week" in done.stderr
    [listed] = json.loads(run("list", "--json").stdout)
    assert [(each["version"], each["share"], each["loaded"]) for each in listed["versions"]] == [
        ("1", 0, None),
        ("2", 100, None),
    ]
    assert (listed["changed_by"], listed["reason"], listed["note"]) == ("cli", "release", "after a week")
    assert run("rollback", MODEL, "--to", "1", "--reason", "incident").exit_code == 0
    assert "100 %" in run("list").stdout
    with sqlite3.connect(tmp_path / "cordon.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM audit ORDER BY seq")]
    changes = [(each["shares"], each["reason"], each["actor"]) for each in bodies if each["type"] == "model.changed"]
    assert changes == [({"2": 100}, "release", "cli"), ({"1": 100}, "incident", "cli")]
    assert "after a week" not in str(bodies)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("canary", MODEL, "10", "--reason", "canary"), "Write MODEL@VERSION"),
        (("canary", f"{MODEL}@2", "10", "--reason", "because"), "--reason is one of: release, canary"),
        (("canary", f"{MODEL}@2", "10", "--reason", "canary"), "The model server cannot be reached"),
        (("warm", MODEL), "The model server cannot be reached"),
        (("rollback", "other", "--reason", "test"), "No model of that name"),
        (("unload", f"{MODEL}@1", "--reason", "test"), "Version 1 answers"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(words: tuple[str, ...], told: str) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_a_reason_is_compulsory_and_the_help_has_examples() -> None:
    assert run("rollback", MODEL).exit_code == 2
    told = run("--help").stdout
    assert "cordon model canary brain_mri_resnet50@2 10 --reason canary" in told
    for name in ("list", "load", "unload", "warm", "canary", "shadow", "rollback", "export", "check"):
        assert name in told
