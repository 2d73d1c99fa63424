import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.local import use_local_state
from gateway.cli.main import app
from gateway.cli.serve import listen, listen_for_metrics
from gateway.embedded.secrets import NAMES, ensure_secrets
from gateway.embedded.state import StateFolder
from gateway.settings import MetricsSettings

ROOT = Path(__file__).resolve().parents[3]
SERVED = ("HTTP_HOST", "HTTP_PORT", "HTTP_WORKERS")
NAMED = ("DATABASE_URL", *NAMES, *(f"{name}_FILE" for name in NAMES))


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No installation is named: an empty working directory, no variables; what a test sets is put back."""
    monkeypatch.chdir(tmp_path)
    for name in (*NAMED, *SERVED):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def test_help_lists_every_command_with_what_it_does() -> None:
    answer = CliRunner().invoke(app, ["--help"])
    assert answer.exit_code == 0
    commands = re.findall(r"^│ (\w+) +[A-Z]\w+", answer.output, re.MULTILINE)
    expected = {
        "up",
        "demo",
        "serve",
        "settings",
        "metrics",
        "api",
        "doctor",
        "version",
        "keys",
        "clients",
        "switches",
        "usage",
        "audit",
        "deid",
        "policy",
        "model",
    }
    assert set(commands) == expected
    assert "cordon up --port 0" in answer.output


@pytest.mark.parametrize("command", ["keys", "clients", "switches", "usage", "audit", "deid", "model"])
def test_a_subcommand_has_help_of_its_own(command: str) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0
    assert f"cordon {command}" in answer.output


def test_an_unknown_command_is_refused() -> None:
    answer = CliRunner().invoke(app, ["kyes"])
    assert answer.exit_code == 2
    assert "No such command" in answer.output


def test_starting_the_servers_waits_for_no_import_that_it_does_not_need() -> None:
    program = "import sys, gateway.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"sqlalchemy", "fastapi", "pydicom", "onnxruntime", "tritonclient"} & set(loaded.stdout.split())


def test_serve_refuses_missing_secrets_and_names_them(clean: Path) -> None:
    answer = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert answer.exit_code == 1
    assert "ADMISSION_KEY_PEPPER" in answer.output
    assert "Traceback" not in answer.output


def test_a_secret_that_is_too_short_is_not_repeated(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEID_KEY", "hunter2")
    answer = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert answer.exit_code == 1
    assert "hunter2" not in answer.output


def test_metrics_take_another_port_if_nobody_named_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("METRICS_PORT", "METRICS_HOST", "METRICS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        unnamed = MetricsSettings.model_construct(enabled=True, host="127.0.0.1", port=port, _fields_set=set())
        with listen_for_metrics(unnamed, or_anywhere=True) or socket.socket() as other:
            assert other.getsockname()[1] not in {0, port}
        for settings, anywhere in ((unnamed, False), (MetricsSettings(port=port), True)):
            with pytest.raises(typer.Exit):
                listen_for_metrics(settings, or_anywhere=anywhere)
    assert listen_for_metrics(MetricsSettings(enabled=False)) is None


def test_a_busy_port_names_itself_and_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(typer.Exit):
            listen("127.0.0.1", port)
    said = capsys.readouterr().err
    assert f"Port {port}" in said
    assert "--port" in said


def test_a_bound_port_refuses_callers_until_the_gateway_listens() -> None:
    with listen("127.0.0.1", 0) as listener, socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(listener.getsockname())


def test_keys_and_audit_find_the_local_state(clean: Path) -> None:
    with StateFolder(clean / "state") as state:
        secrets = ensure_secrets(state)
        use_local_state(clean / "state")
        assert os.environ["DATABASE_URL"] == state.database_url
        assert {name: os.environ[name] for name in secrets} == secrets


def test_an_installation_that_is_named_is_never_mixed_with_the_local_one(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StateFolder(clean / "state") as state:
        ensure_secrets(state)
    (clean / ".env").write_text("DATABASE_URL=postgresql+asyncpg://db/cordon\n")
    use_local_state(clean / "state")
    assert not set(NAMED) & set(os.environ)


def test_without_a_local_state_nothing_is_set(clean: Path) -> None:
    use_local_state(clean / "state")
    assert not set(NAMED) & set(os.environ)
