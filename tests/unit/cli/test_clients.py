from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.cli.clients import app
from tests.support.issuer import SigningKey

if TYPE_CHECKING:
    from click.testing import Result

POLICIES = Path(__file__).resolve().parents[3] / "policies"
KEY, OTHER = SigningKey("one", "ES384"), SigningKey("two", "RS384")
URL = "https://pacs.example/keys"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # no .env of the developer's
    monkeypatch.setenv("DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/clients.db")
    monkeypatch.setenv("AUDIT_CHAIN_KEY", "a chain key for tests, not for use elsewhere")
    monkeypatch.setenv("ADMISSION_ACCESS_POLICY", str(POLICIES / "access.yaml"))
    monkeypatch.setenv("ADMISSION_PLANS_POLICY", str(POLICIES / "plans.yaml"))
    (tmp_path / "public.json").write_text(json.dumps({"keys": [KEY.jwk]}))
    return tmp_path


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, words, input=stdin)


def register(*words: str, **options: Any) -> Result:
    return run("register", "--owner", "Radiology PACS", "--tenant", "st-mary", "--role", "clinician", *words, **options)


def shown(client_id: str) -> dict[str, Any]:
    return dict(json.loads(run("show", client_id).stdout))


def test_a_client_from_its_registration_to_its_end(folder: Path) -> None:
    result = register("--jwks", "public.json", "--note", "link")
    assert result.exit_code == 0, result.stderr
    client_id = result.stdout.strip()
    assert re.fullmatch(r"client_[0-9A-Za-z]{12}", client_id)
    assert "Radiology PACS" in result.stderr
    client = shown(client_id)
    assert (client["status"], client["jwks"], client["note"]) == ("active", {"keys": [KEY.jwk]}, "link")
    assert client["scopes"] == ["docs:read", "predict"]
    assert client["expires_at"]

    assert run("disable", client_id).exit_code == 0
    assert "disabled" in run("list").stdout
    assert run("enable", client_id).exit_code == 0
    assert run("keys", client_id, "--jwks-url", URL).exit_code == 0
    client = shown(client_id)
    assert (client["status"], client["jwks"], client["jwks_url"]) == ("active", None, URL)
    assert run("remove", client_id).exit_code == 0
    assert json.loads(run("list", "--json").stdout) == []
    assert run("enable", client_id).exit_code == 1

    with sqlite3.connect(folder / "clients.db") as database:
        kinds = [kind for (kind,) in database.execute("SELECT type FROM audit ORDER BY seq")]
    database.close()
    assert kinds == ["client.registered", *["client.changed"] * 4]


def test_keys_from_stdin() -> None:
    result = register("--jwks", "-", "--expires", "never", stdin=json.dumps({"keys": [OTHER.jwk]}))
    assert result.exit_code == 0, result.stderr
    assert shown(result.stdout.strip())["expires_at"] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "either as a JWK set or by a URL"),
        (("--jwks", "nothing.json"), "cannot be read"),
        (("--jwks", "text.json"), "cannot be read"),
        (("--jwks", "list.json"), "no JWK set"),
        (("--jwks", "private.json"), "private"),
        (("--jwks-url", URL, "--plan", "none"), "No such plan"),
        (("--jwks-url", URL, "--expires", "soon"), "90d"),
    ],
    ids=str,
)
def test_what_cannot_be_registered(folder: Path, words: tuple[str, ...], says: str) -> None:
    (folder / "text.json").write_text("{")
    (folder / "list.json").write_text("[]")
    (folder / "private.json").write_text(json.dumps({"keys": [KEY.jwk | {"d": "AQAB"}]}))
    result = register(*words)
    assert result.exit_code in {1, 2}
    assert result.stdout == ""
    assert says in " ".join(result.stderr.split())


@pytest.mark.parametrize("command", ["show", "remove"])
def test_a_client_that_is_none(command: str) -> None:
    result = run(command, "client_000000000000")
    assert (result.exit_code, "No such client" in result.stderr) == (1, True)
