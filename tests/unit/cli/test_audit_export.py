"""Exports as an auditor takes and checks them: with the file, its proof and the public key alone."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.audit.describe import events_markdown
from gateway.audit.events import EVENT_TYPES
from gateway.cli.audit import app
from tests.support.audit import CHAIN_KEY, finished, recorded, recording, sqlite_url, tamper

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[3]
NUMBER = 12


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with a checkpoint over every fourth record, more or less."""
    database = tmp_path / "audit.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url(database))
    monkeypatch.setenv("AUDIT_CHAIN_KEY", CHAIN_KEY)
    monkeypatch.setenv("COLUMNS", "200")

    async def write() -> None:
        for start in range(0, NUMBER, 4):
            async with recording(sqlite_url(database)) as recorder:
                for number in range(start, start + 4):
                    await recorder.record(finished(f"=r{number}", actor="key_a" if number % 3 else "key_b"))

    asyncio.run(write())
    return database


@pytest.fixture
def public(database: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return run("public-key").stdout.strip()


def away(monkeypatch: pytest.MonkeyPatch) -> None:
    """At another machine: no database, no key."""
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.delenv("AUDIT_CHAIN_KEY")


def test_ndjson_is_verified_off_line(database: Path, public: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("export", "-o", "log.ndjson").exit_code == 0
    away(monkeypatch)

    result = run("verify", "log.ndjson", "--public-key", public)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("good") == 4
    assert f"{NUMBER} records, #1 to #{NUMBER}; checkpoints vouch for them up to #{NUMBER}" in result.stdout


def test_the_checkpoints_alone_vouch_for_what_they_cover(
    database: Path, public: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run("export").stdout_bytes.splitlines(keepends=True)
    Path("records").write_bytes(b"".join(lines[:NUMBER]))
    Path("short").write_bytes(b"".join(lines[:6]))
    away(monkeypatch)

    whole = run("verify", "records", "--proof", f"{database}.checkpoints", "--public-key", public)
    assert whole.exit_code == 0, whole.output
    short = run("verify", "short", "--proof", f"{database}.checkpoints", "--public-key", public)
    assert re.search(r"completeness +BAD +1 +#5", short.stdout)


@pytest.mark.parametrize("line", [0, 5, NUMBER - 1])
def test_every_changed_record_is_found_and_named(database: Path, public: str, line: int) -> None:
    lines = run("export").stdout_bytes.splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"status":200', b'"status":201')
    Path("changed").write_bytes(b"".join(lines))

    result = run("verify", "changed", "--public-key", public)
    assert result.exit_code == 1
    assert re.search(r"integrity +BAD +\d+ +#1 ", result.stdout)  # the bytes are not those that went out
    proof = b"".join(each for each in lines if b"cordon.audit.export" not in each)
    Path("changed").write_bytes(proof)
    assert re.search(rf"integrity +BAD +\d+ +#{line + 1} ", run("verify", "changed", "--public-key", public).stdout)


@pytest.mark.parametrize("attack", ["removed", "swapped", "cut", "doubled"])
def test_what_was_done_to_an_export_is_found(database: Path, public: str, attack: str) -> None:
    lines = run("export").stdout_bytes.splitlines(keepends=True)
    match attack:
        case "removed":
            del lines[5]
        case "swapped":
            lines[5], lines[6] = lines[6], lines[5]
        case "cut":
            del lines[9 : NUMBER + 1]
        case "doubled":
            lines.insert(5, lines[5])
    Path("changed").write_bytes(b"".join(lines))

    assert run("verify", "changed", "--public-key", public).exit_code == 1


def test_another_key_did_not_sign_it(database: Path) -> None:
    Path("log").write_bytes(run("export").stdout_bytes)

    result = run("verify", "log", "--public-key", "00" * 32)
    assert result.exit_code == 1
    assert re.search(r"checkpoints +BAD", result.stdout)


def test_a_selection_is_vouched_for_by_its_statement(
    database: Path, public: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = run("export", "--actor", "key_b").stdout_bytes.splitlines(keepends=True)
    Path("some").write_bytes(b"".join(lines))
    Path("fewer").write_bytes(b"".join(lines[1:]))
    away(monkeypatch)

    assert run("verify", "some", "--public-key", public).exit_code == 0
    assert "a selection by: actor" in run("verify", "some", "--public-key", public).stdout
    assert run("verify", "fewer", "--public-key", public).exit_code == 1


@pytest.mark.parametrize("form", ["csv", "fhir", "dicom"])
def test_other_forms_are_verified_with_their_proof(
    database: Path, public: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("export", "--format", form, "-o", "out").exit_code == 0
    away(monkeypatch)

    assert run("verify", "out", "--proof", "out.proof", "--public-key", public).exit_code == 0
    whole = Path("out").read_bytes()
    Path("out").write_bytes(whole.replace(b"192.0.2.7", b"192.0.2.8", 1))
    assert run("verify", "out", "--proof", "out.proof", "--public-key", public).exit_code == 1


def test_no_cell_is_a_formula(database: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("export", "--format", "csv").stdout)))

    assert [row["request_id"] for row in rows][:3] == ["'=r0", "'=r1", "'=r2"]
    assert json.loads(rows[0]["details"])["milliseconds"] == {"infer": 40, "ingest": 3}


def test_an_export_of_altered_records_says_so(database: Path, public: str) -> None:
    tamper(database, "UPDATE audit SET body = replace(body, 'success', 'refused') WHERE seq = 3")
    Path("log").write_bytes(run("export", "--format", "csv").stdout_bytes)
    run("export", "--format", "csv", "--proof", "proof", "-o", "log2")

    result = run("verify", "log2", "--proof", "proof", "--public-key", public)
    assert "1 of the records were not what had been hashed" in result.stdout
    assert result.exit_code == 1


def test_an_export_is_on_record_with_what_went_out(database: Path) -> None:
    run("export", "--actor", "key_b", "--format", "csv", "-o", "out.csv")

    *_, read, exported = asyncio.run(recorded(sqlite_url(database)))
    assert (read["type"], read["action"], read["filters"]) == ("audit.read", "export", ["actor"])
    assert (exported["type"], exported["records"], exported["format"]) == ("audit.exported", 4, "csv")
    assert exported["bytes"] == Path("out.csv").stat().st_size
    assert "key_b" not in exported.values()


def test_an_output_that_exists_is_not_written_over(database: Path) -> None:
    Path("kept").write_text("mine", encoding="utf-8")

    assert run("export", "-o", "kept").exit_code == 1
    assert Path("kept").read_text(encoding="utf-8") == "mine"


def test_the_list_of_events_is_what_the_types_say() -> None:
    written = (ROOT / "docs/audit/events.md").read_text(encoding="utf-8")

    assert written == events_markdown(EVENT_TYPES.values()), "run: make docs"
