"""``cordon audit`` as an operator runs it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.cli.audit import app
from tests.support.audit import CHAIN_KEY, finished, recorded, recording, sqlite_url, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of six records, and an environment that names it."""
    database = tmp_path / "audit.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url(database))
    monkeypatch.setenv("AUDIT_CHAIN_KEY", CHAIN_KEY)
    monkeypatch.setenv("COLUMNS", "200")

    async def write() -> None:
        async with recording(sqlite_url(database)) as recorder:
            for number in range(6):
                await recorder.record(finished(f"r{number}", outcome="refused" if number % 2 else "success"))

    asyncio.run(write())
    return database


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_verify_of_a_whole_log_exits_with_0(database: Path) -> None:
    result = run("verify")

    assert result.exit_code == 0
    assert result.stdout.count("good") == 4
    assert "6 records; sealed up to #6" in result.stdout


@pytest.mark.parametrize(
    ("attack", "question", "place"),
    [
        ("UPDATE audit SET actor = 'x' WHERE seq = 2", "integrity", "#2"),
        ("DELETE FROM audit WHERE seq = 3", "order", "#3"),
        ("DELETE FROM audit WHERE seq > 4", "completeness", "#5"),
        ("UPDATE audit_checkpoints SET size = 5", "checkpoints", "#5"),
    ],
)
def test_verify_names_what_is_wrong_and_exits_with_1(database: Path, attack: str, question: str, place: str) -> None:
    tamper(database, attack)
    result = run("verify")

    assert result.exit_code == 1
    line = next(line for line in result.stdout.splitlines() if line.startswith(question))
    assert "BAD" in line
    assert place in line


def test_list_filters_and_is_itself_on_record(database: Path) -> None:
    result = run("list", "--outcome", "refused", "--json")

    lines = [json.loads(line)["record"] for line in result.stdout.splitlines()]
    assert [line["request_id"] for line in lines] == ["r5", "r3", "r1"]
    last = asyncio.run(recorded(sqlite_url(database)))[-1]
    assert (last["type"], last["action"], last["filters"]) == ("audit.read", "list", ["outcome"])
    assert run("verify").exit_code == 0


def test_list_is_a_table_for_people(database: Path) -> None:
    result = run("list", "--since", "1h", "--type", "request.finished", "-n", "2")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3
    assert "request.finished" in result.stdout
    assert "192.0.2.7" not in result.stdout


def test_tail_shows_the_newest_last(database: Path) -> None:
    result = run("tail", "-n", "2", "--tenant", "st-mary", "--json")

    assert [json.loads(line)["record"]["request_id"] for line in result.stdout.splitlines()] == ["r4", "r5"]


def test_an_export_can_be_checked_with_the_key_alone(database: Path) -> None:
    result = run("export", "--actor", "key_abc")

    lines = result.stdout_bytes.splitlines()
    assert [json.loads(line)["type"] for line in lines[6:]] == ["cordon.audit.checkpoint", "cordon.audit.export"]
    for line in lines[:6]:
        stored = json.loads(line)["hash"]
        body = line[len('{"hash":"') + 64 + len('","record":') : -1]
        assert hmac.new(CHAIN_KEY.encode(), body, hashlib.sha256).hexdigest() == stored


@pytest.mark.parametrize(
    "arguments", [("list", "--since", "yesterday"), ("list", "--type", "nonsense"), ("list", "-n", "0")]
)
def test_a_wrong_option_is_explained(database: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_without_the_key_or_the_database_it_says_so(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url(database.parent / "none.db"))
    missing = run("verify")
    monkeypatch.delenv("AUDIT_CHAIN_KEY")
    keyless = run("verify")

    assert missing.exit_code == keyless.exit_code == 1
    assert "no database" in missing.stderr
    assert "AUDIT_CHAIN_KEY" in keyless.stderr
    assert not (database.parent / "none.db").exists()
