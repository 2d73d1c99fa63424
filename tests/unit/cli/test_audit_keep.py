"""``cordon audit truncate``, ``pseudonym`` and ``send``, as an operator runs them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.audit.store import AuditStore
from gateway.cli.audit import app
from gateway.deid.uids import StandIns
from gateway.migrations import migrate
from tests.support.audit import CHAIN_KEY, RING, engine_of, finished, recorded, sqlite_url
from tests.support.syslog_receiver import receiver

if TYPE_CHECKING:
    from click.testing import Result

DEID_KEY = "d" * 32
CANARY = "ZqxjKwDoe4711"


def run(*arguments: str, entered: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=entered)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log of five records of seven years ago and three of now."""
    url = sqlite_url(tmp_path / "audit.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("AUDIT_CHAIN_KEY", CHAIN_KEY)
    monkeypatch.setenv("DEID_KEY", DEID_KEY)
    monkeypatch.setenv("AUDIT_RETENTION_POLICY", str(tmp_path / "retention.yaml"))
    policy(6 * 366)

    async def write() -> None:
        engine = engine_of(url)
        await migrate(engine)
        now = datetime.now(UTC)
        for age, number in ((7 * 366, 5), (0, 3)):
            store = AuditStore(engine, RING, now=lambda age=age: now - timedelta(days=age))  # type: ignore[misc]
            await store.append([finished(f"r{age}-{each}") for each in range(number)])
            await store.close()
        await engine.dispose()

    asyncio.run(write())
    return url


def policy(days: int, *, unattended: bool = False) -> None:
    text = f"audit:\n  keep_days: {days}\n  unattended: {str(unattended).lower()}\n"
    Path("retention.yaml").write_text(text, encoding="utf-8")


def numbers(url: str) -> list[int]:
    return [said["seq"] for said in asyncio.run(recorded(url))]


def test_a_dry_run_names_what_would_go_and_does_nothing(url: str) -> None:
    result = run("truncate", "--dry-run")

    assert result.exit_code == 0, result.output
    assert "#1 to #5" in result.stdout
    assert numbers(url) == list(range(1, 9))


@pytest.mark.parametrize("arguments", [(), ("--confirm", "4"), ("--confirm", "8"), ("--unattended",)])
def test_without_a_fitting_confirmation_nothing_goes(url: str, arguments: tuple[str, ...]) -> None:
    result = run("truncate", *arguments)

    assert result.exit_code == 1
    assert numbers(url) == list(range(1, 9))


def test_confirmed_the_old_ones_go_and_the_log_is_whole(url: str) -> None:
    result = run("truncate", "--confirm", "5")

    assert result.exit_code == 0, result.output
    assert numbers(url) == [6, 7, 8, 9]
    verified = run("verify")
    assert verified.exit_code == 0, verified.output
    assert "Records up to #5 were given up" in verified.stdout
    assert "nothing to give up" in run("truncate", "--dry-run").stdout


def test_a_policy_may_let_a_timer_ask(url: str) -> None:
    policy(6 * 366, unattended=True)

    assert run("truncate", "--unattended").exit_code == 0
    assert numbers(url) == [6, 7, 8, 9]


def test_less_than_six_years_is_said(url: str) -> None:
    policy(30)

    assert "less than six years" in run("truncate", "--dry-run").stderr


@pytest.mark.parametrize("text", ["", "audit: {keep_days: 0}", "audit: {keep_days: 30, delete: true}", "{"])
def test_a_policy_with_a_mistake_is_named(url: str, text: str) -> None:
    Path("retention.yaml").write_text(text, encoding="utf-8")

    result = run("truncate", "--dry-run")
    assert result.exit_code == 1
    assert "retention.yaml" in result.stderr.replace("\n", "")


def test_a_pseudonym_is_computed_and_the_id_is_nowhere(url: str, tmp_path: Path) -> None:
    result = run("pseudonym", "--tenant", "st-mary", entered=f"{CANARY}\n")

    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == StandIns.of(DEID_KEY.encode(), "st-mary").patient(CANARY, "")
    said = asyncio.run(recorded(url))[-1]
    assert (said["type"], said["patient"]) == ("audit.patient", result.stdout.strip())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_records_are_sent_to_a_receiver(url: str, tmp_path: Path) -> None:
    async def go() -> Result:
        async with receiver(tmp_path) as received:
            to = f"tls://localhost:{received.port}"
            result = await asyncio.to_thread(run, "send", "--to", to, "--ca", str(received.authority), "--since", "1h")
            assert len(received.messages) == 3
            return result

    result = asyncio.run(go())
    assert result.exit_code == 0, result.output
    assert "3 records sent; go on with --after 8" in result.stderr


def test_where_no_receiver_is_it_says_so(url: str) -> None:
    assert run("send", "--to", "udp://x").exit_code == 1
    result = run("send", "--to", "tls://localhost:9")
    assert result.exit_code == 1
    assert "cannot be reached" in result.stderr
