from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.admission.keys import parse
from gateway.cli.keys import app

if TYPE_CHECKING:
    from click.testing import Result

POLICIES = Path(__file__).resolve().parents[3] / "policies"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/new/keys.db")
    monkeypatch.setenv("AUDIT_CHAIN_KEY", "a chain key for tests, not for use elsewhere")
    monkeypatch.setenv("ADMISSION_KEY_PEPPER", "a pepper for tests, not for use elsewhere")
    monkeypatch.setenv("ADMISSION_ACCESS_POLICY", str(POLICIES / "access.yaml"))
    monkeypatch.setenv("ADMISSION_PLANS_POLICY", str(POLICIES / "plans.yaml"))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def issue(*words: str) -> Result:
    return run("issue", "--owner", "Radiology PACS", "--tenant", "st-mary", *words)


def listed() -> list[dict[str, object]]:
    return json.loads(run("list", "--json").stdout)


def test_issue_writes_the_key_alone_to_stdout_and_the_rest_to_stderr() -> None:
    result = issue("--role", "clinician", "--scope", "audit:read", "--from", "192.0.2.0/24", "--note", "why")

    assert result.exit_code == 0, result.stderr
    presented = parse(result.stdout.strip())
    assert presented is not None
    assert presented.key_id in result.stderr
    assert result.stdout.strip() not in result.stderr
    (record,) = listed()
    assert record["key_id"] == presented.key_id
    assert record["scopes"] == ["audit:read", "docs:read", "predict"]
    assert (record["plan"], record["addresses"], record["note"]) == ("standard", ["192.0.2.0/24"], "why")
    assert (record["status"], record["created_by"]) == ("active", "cli")


def test_a_key_ends_after_a_year_unless_told_otherwise() -> None:
    issue("--role", "admin")
    issue("--role", "admin", "--expires", "never")
    lives = {str(record["expires_at"])[:4] if record["expires_at"] else None for record in listed()}
    assert None in lives
    assert len(lives) == 2


def test_list_shows_no_secret_and_filters_by_tenant() -> None:
    secret = issue("--role", "admin").stdout.strip()
    run("issue", "--owner", "Other", "--tenant", "acme", "--role", "admin")

    shown = run("list", "--tenant", "st-mary").stdout

    assert "st-mary" in shown
    assert "acme" not in shown
    assert secret[17:] not in shown + run("list", "--json").stdout


def test_rotate_keeps_the_id_and_prints_a_new_key() -> None:
    old = issue("--role", "admin").stdout.strip()
    key_id = str(listed()[0]["key_id"])

    result = run("rotate", key_id, "--overlap", "24h")

    new = parse(result.stdout.strip())
    assert result.exit_code == 0
    assert new is not None
    assert (new.key_id, new.text == old) == (key_id, False)


def test_revoke_needs_no_policy_file(monkeypatch: pytest.MonkeyPatch) -> None:
    issue("--role", "admin")
    monkeypatch.setenv("ADMISSION_ACCESS_POLICY", "nowhere.yaml")
    assert run("revoke", str(listed()[0]["key_id"])).exit_code == 0


def test_revoke_ends_it() -> None:
    issue("--role", "admin")
    key_id = str(listed()[0]["key_id"])
    assert run("revoke", key_id).exit_code == 0
    assert listed()[0]["status"] == "revoked"
    assert run("rotate", key_id).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--role", "root"), "admin"),
        (("--scope", "everything"), "predict"),
        ((), "scopes"),
        (("--role", "admin", "--plan", "gold"), "standard"),
        (("--role", "admin", "--expires", "soon"), "90d"),
        (("--role", "admin", "--from", "here"), "192.0.2.0/24"),
    ],
)
def test_a_wrong_word_is_a_sentence_and_no_traceback(words: tuple[str, ...], says: str) -> None:
    result = issue(*words)
    assert result.exit_code in {1, 2}
    assert says in result.stderr
    assert result.stdout == ""
    assert not isinstance(result.exception, ValueError)


def test_an_unknown_key_is_said_so() -> None:
    result = run("revoke", "key_000000000000")
    assert (result.exit_code, "No such key" in result.stderr) == (1, True)


@pytest.mark.parametrize("url", ["postgresql+asyncpg://u:hidden@127.0.0.1:1/x", "hidden"])
def test_a_database_that_is_not_there_names_the_setting_and_hides_its_value(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    result = run("list")
    assert result.exit_code == 1
    assert "DATABASE_URL" in result.stderr
    assert "hidden" not in result.output


def test_a_short_pepper_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMISSION_KEY_PEPPER", "short-one")
    result = issue("--role", "admin")
    assert result.exit_code == 1
    assert "ADMISSION_KEY_PEPPER" in result.stderr
    assert "short-one" not in result.output


@pytest.mark.parametrize("command", ["issue", "list", "rotate", "revoke"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert f"cordon keys {command}" in " ".join(run(command, "--help").stdout.split())


def test_every_change_is_on_record(tmp_path: Path) -> None:
    key_id = parse(issue("--role", "clinician").stdout.strip()).key_id  # type: ignore[union-attr]
    assert run("rotate", key_id, "--overlap", "1h").exit_code == 0
    assert run("revoke", key_id).exit_code == 0
    with sqlite3.connect(tmp_path / "new" / "keys.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM audit ORDER BY seq")]
    database.close()
    assert [(body["type"], body["key"], body["actor"]) for body in bodies] == [
        (kind, key_id, "cli") for kind in ("key.issued", "key.rotated", "key.revoked")
    ]
    assert bodies[0]["scopes"] == ["docs:read", "predict"]


def test_without_the_audit_log_no_key_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUDIT_CHAIN_KEY")
    result = issue("--role", "clinician")
    assert result.exit_code == 1
    assert "AUDIT_CHAIN_KEY" in result.stderr
    assert not result.stdout
    assert not (tmp_path / "new" / "keys.db").exists()
