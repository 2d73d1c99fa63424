"""``cordon usage``: bars, a table, CSV and JSON of what a real database holds."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from gateway.admission.usage import ANONYMOUS
from gateway.admission.usage_store import UsageStore
from gateway.admission.usage_tables import MEASURES
from gateway.cli.main import app
from gateway.database import create_engine
from gateway.migrations import migrate
from gateway.settings import DatabaseSettings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

TODAY = datetime.now(UTC).date()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite+aiosqlite:///{tmp_path}/usage.db"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "140")
    return url


async def fill(url: str) -> None:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    await migrate(engine)
    rows = []
    for days, tenant, key_id, requests, denied in (
        (0, "a", "key_busy00000001", 4000, 400),
        (1, "a", "key_busy00000001", 2000, 0),
        (1, "b", "key_quiet0000001", 10, 0),
        (3, "", ANONYMOUS, 7, 7),
        (40, "a", "key_busy00000001", 5, 0),
    ):
        counts = {
            "requests": requests,
            "denied_limit": denied,
            "succeeded": requests - denied,
            "ms_50": requests - denied,
        }
        day = TODAY - timedelta(days)
        rows.append((day, tenant, key_id, *(counts.get(name, 0) for name in MEASURES)))
    await UsageStore(engine).add("test", 1, rows)
    await engine.dispose()


@pytest.fixture
def filled(url: str) -> str:
    asyncio.run(fill(url))
    return url


def usage(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["usage", *arguments])


def test_days_are_bars_and_keys_are_rows(filled: str) -> None:
    answer = usage()
    assert answer.exit_code == 0, answer.output
    bars = {line[:10]: line for line in answer.output.splitlines() if line[:4] == str(TODAY)[:4]}
    assert len(bars) == 14
    today, yesterday, empty = (bars[str(TODAY - timedelta(days))] for days in (0, 1, 2))
    assert today.count("█") == 36
    assert today.count("▒") == 4
    assert yesterday.count("█") == 20
    assert "█" not in empty
    keys = [line.split()[0] for line in answer.output.splitlines() if line.startswith(("key_", ANONYMOUS))]
    assert keys == ["key_busy00000001", "key_quiet0000001", ANONYMOUS]


@pytest.mark.parametrize("columns", ["80", "100", "140"])
def test_no_key_id_is_cut_however_narrow_the_terminal(
    filled: str, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    output = usage().output
    assert "key_busy00000001 " in output
    assert max(map(len, output.splitlines())) <= int(columns)


def test_csv_and_json_hold_a_row_a_key_and_day(filled: str) -> None:
    rows = list(csv.DictReader(io.StringIO(usage("--csv").output)))
    assert [(row["day"], row["key_id"], row["requests"]) for row in rows] == [
        (str(TODAY), "key_busy00000001", "4000"),
        (str(TODAY - timedelta(1)), "key_busy00000001", "2000"),
        (str(TODAY - timedelta(1)), "key_quiet0000001", "10"),
        (str(TODAY - timedelta(3)), ANONYMOUS, "7"),
    ]
    lines = [
        json.loads(line) for line in usage("--json", "--from", "90d", "--key", "key_busy00000001").output.splitlines()
    ]
    assert [line["requests"] for line in lines] == [4000, 2000, 5]
    assert lines[0]["denials"]["limit"] == 400


def test_what_is_asked_for_is_what_is_shown(filled: str) -> None:
    yesterday = str(TODAY - timedelta(1))
    output = usage("--tenant", "b", "--from", yesterday, "--to", yesterday).output
    assert "key_quiet0000001" in output
    assert "key_busy" not in output


def test_nothing_is_said_in_a_sentence(filled: str) -> None:
    answer = usage("--to", "2020-01-01")
    assert answer.exit_code == 0
    assert "Nothing was used" in answer.output


@pytest.mark.parametrize("wrong", [["--from", "soon"], ["--from", "0d", "--to", "2020-01-01"]])
def test_days_that_are_none(filled: str, wrong: list[str]) -> None:
    answer = usage(*wrong)
    assert answer.exit_code != 0
    assert "Traceback" not in answer.output


def test_a_database_that_cannot_be_opened_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://u:hidden@127.0.0.1:1/x")
    answer = usage()
    assert answer.exit_code == 1
    assert "DATABASE_URL" in answer.output
    assert "hidden" not in answer.output
