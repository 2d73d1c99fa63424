"""cordon keys show, update, break-glass and requests."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from gateway.admission.key_request import KeyRequest
from gateway.admission.key_requests import KeyRequests
from gateway.admission.keys import parse
from gateway.cli.keys import app
from gateway.database import create_engine
from gateway.settings import DatabaseSettings
from tests.support.keys import MAKER, new_key

if TYPE_CHECKING:
    from click.testing import Result

POLICIES = Path(__file__).resolve().parents[3] / "policies"


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/keys.db")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")  # nobody is there: it must not be needed
    monkeypatch.setenv("AUDIT_CHAIN_KEY", "a chain key for tests, not for use elsewhere")
    monkeypatch.setenv("ADMISSION_KEY_PEPPER", "a pepper for tests, not for use elsewhere")
    monkeypatch.setenv("ADMISSION_ACCESS_POLICY", str(POLICIES / "access.yaml"))
    monkeypatch.setenv("ADMISSION_PLANS_POLICY", str(POLICIES / "plans.yaml"))


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def issued(*words: str) -> str:
    """The ID of a new key."""
    result = run("issue", "--owner", "PACS", "--tenant", "st-mary", "--role", "clinician", *words)
    assert result.exit_code == 0, result.stderr
    presented = parse(result.stdout.strip())
    assert presented is not None
    return presented.key_id


def shown(key_id: str) -> dict[str, object]:
    return json.loads(run("show", key_id, "--json").stdout)


def records(folder: Path) -> list[dict[str, object]]:
    with sqlite3.connect(folder / "keys.db") as database:
        bodies = [json.loads(row[0]) for row in database.execute("SELECT body FROM audit ORDER BY seq")]
    database.close()
    return bodies


def test_show_says_what_a_person_asks() -> None:
    key_id = issued("--limit", "minute=900", "--limit", "inflight=16", "--note", "night import")
    text = run("show", key_id).stdout
    assert "minute 900/60s (its own; the plan's is 300)" in text
    assert "inflight 16 (its own; the plan's is 8)" in text
    assert "burst 20/1s," in text
    assert "night import" in text
    assert run("show", "key_000000000000").exit_code == 1
    assert "standard*" in run("list").stdout


def test_update_changes_what_is_named(tmp_path: Path) -> None:
    key_id = issued("--from", "192.0.2.0/24")
    words = (
        "--plan",
        "partner",
        "--limit",
        "minute=600",
        "--note",
        "more",
        "--expires",
        "never",
        "--owner",
        "New PACS",
    )
    result = run("update", key_id, *words)
    assert result.exit_code == 0, result.stderr
    key = shown(key_id)
    assert (key["plan"], key["limits"], key["note"], key["expires_at"]) == ("partner", {"minute": 600}, "more", None)
    assert (key["owner"], key["addresses"], key["revision"]) == ("New PACS", ["192.0.2.0/24"], 2)
    assert run("update", key_id, "--role", "exporter", "--scope", "predict", "--from", "anywhere").exit_code == 0
    key = shown(key_id)
    assert (key["scopes"], key["addresses"]) == (["deidentify", "docs:read", "predict"], [])
    changes = [record["changed"] for record in records(tmp_path) if record["type"] == "key.updated"]
    assert [set(change) for change in changes] == [  # type: ignore[call-overload]
        {"plan", "limits", "note", "expires_at", "owner"},
        {"scopes", "addresses"},
    ]


def test_limits_go_back_to_the_plans() -> None:
    key_id = issued("--limit", "minute=900", "--limit", "day=7", "--limit", "inflight=16")
    assert run("update", key_id, "--limit", "minute=plan").exit_code == 0
    assert shown(key_id)["limits"] == {"day": 7, "inflight": 16}
    assert run("update", key_id, "--limit", "plan").exit_code == 0
    assert shown(key_id)["limits"] == {}
    assert "nothing" in run("update", key_id, "--limit", "plan").stderr


def test_a_wrong_word_changes_nothing_and_is_explained() -> None:
    key_id = issued()
    for words, says in (
        ((), "--plan"),
        (("--limit", "minute"), "minute=600"),
        (("--limit", "hour=5"), "burst, minute, day, inflight"),
        (("--limit", "minute=0"), "between 1"),
        (("--plan", "gold"), "standard"),
        (("--scope", "everything"), "predict"),
        (("--from", "here"), "192.0.2.0/24"),
        (("--expires", "soon"), "90d"),
        (("--owner", " "), "owner"),
    ):
        result = run("update", key_id, *words)
        assert result.exit_code in {1, 2}, words
        assert says in result.stderr, words
    assert shown(key_id)["revision"] == 1


def test_a_key_for_an_emergency(tmp_path: Path) -> None:
    words = ("--owner", "Dr. Sato", "--tenant", "st-mary", "--reason", "downtime", "--note", "login provider is down")
    result = run("break-glass", *words)
    assert result.exit_code == 0, result.stderr
    presented = parse(result.stdout.strip())
    assert presented is not None
    key = shown(presented.key_id)
    assert (key["break_glass"], key["note"]) == ("downtime", "login provider is down")
    life = datetime.fromisoformat(str(key["expires_at"])) - datetime.now(UTC)
    assert timedelta(minutes=58) < life <= timedelta(hours=1)
    assert "admission.break-glass" in result.stderr
    assert "critical" in result.stderr
    (record,) = records(tmp_path)
    assert (record["type"], record["reason"], record["actor"]) == ("key.break-glass", "downtime", "cli")
    assert run("update", presented.key_id, "--expires", "90d").exit_code == 1
    assert run("rotate", presented.key_id).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--reason", "because", "--note", "login provider is down"), "downtime"),
        (("--reason", "downtime", "--note", "short"), "sentence"),
        (("--reason", "downtime", "--note", "login provider is down", "--minutes", "241"), "240"),
        (("--reason", "downtime", "--note", "login provider is down", "--scope", "keys:write"), "keys:write"),
        (("--reason", "downtime"), "--note"),
        (("--note", "login provider is down"), "--reason"),
    ],
)
def test_what_no_key_for_an_emergency_may_be(words: tuple[str, ...], says: str) -> None:
    result = run("break-glass", "--owner", "Dr. Sato", "--tenant", "st-mary", *words)
    assert result.exit_code in {1, 2}
    assert says in result.stderr
    assert result.stdout == ""


def asked_over_http(folder: Path, requester: str, number: int) -> str:
    """A request as the gateway would have stored it."""
    made, now = MAKER.issue(), datetime.now(UTC)
    request = KeyRequest(
        request_id=f"req_{number:012d}",
        kind="issue",
        key_id=made.key_id,
        new=new_key(owner="Auditor", scopes=frozenset({"predict"})),
        changed=(),
        overlap=timedelta(0),
        revision=0,
        requested_by=requester,
        person="Ann",
        requested_at=now,
        expires_at=now + timedelta(hours=1),
        digest=made.digest,
    )

    async def add() -> None:
        engine = create_engine(DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{folder}/keys.db")))
        await KeyRequests(engine).add(request)
        await engine.dispose()

    asyncio.run(add())
    return made.key_id


def test_the_operator_is_the_second_pair_of_eyes(tmp_path: Path) -> None:
    ann = issued("--scope", "keys:write")
    assert "Nothing waits" in run("requests", "list").stderr
    first, second = (asked_over_http(tmp_path, ann, number) for number in (1, 2))
    waiting = json.loads(run("requests", "list", "--json").stdout)
    assert {(each["request_id"], each["key_id"]) for each in waiting} == {
        ("req_000000000001", first),
        ("req_000000000002", second),
    }
    assert run("requests", "approve", "req_000000000001").exit_code == 0
    assert run("requests", "reject", "req_000000000002").exit_code == 0
    assert shown(first)["status"] == "active"
    assert run("show", second).exit_code == 1
    assert run("requests", "approve", "req_000000000002").exit_code == 1
    assert "Nothing waits" in run("requests", "list").stderr
    decided = json.loads(run("requests", "list", "--all", "--json").stdout)
    assert {(each["status"], each["decided_by"]) for each in decided} == {("approved", "cli"), ("rejected", "cli")}
    assert [record["type"] for record in records(tmp_path)][-3:] == [
        "key.request-decided",
        "key.issued",
        "key.request-decided",
    ]


@pytest.mark.parametrize("command", [("show",), ("update",), ("break-glass",), ("requests", "list")])
def test_every_command_explains_itself_with_an_example(command: tuple[str, ...]) -> None:
    assert f"cordon keys {' '.join(command)}" in " ".join(run(*command, "--help").stdout.split())
