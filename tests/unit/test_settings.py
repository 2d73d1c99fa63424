"""Settings: secrets are never optional; what would break a promise in production is refused with the line to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from gateway.settings import AdmissionSettings, AuditSettings, DeidSettings, HttpSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

SECRETS = {"ADMISSION_KEY_PEPPER": "p" * 32, "DEID_KEY": "d" * 32, "AUDIT_CHAIN_KEY": "c" * 32}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env, and nothing of this machine's environment."""
    monkeypatch.chdir(tmp_path)
    for name in (*SECRETS, *(f"{name}_FILE" for name in SECRETS), "ENVIRONMENT", "HTTP_DOCS"):
        monkeypatch.delenv(name, raising=False)


def settings(**changes: Any) -> Settings:
    parts = {
        "admission": AdmissionSettings(key_pepper=SECRETS["ADMISSION_KEY_PEPPER"]),
        "deid": DeidSettings(key=SECRETS["DEID_KEY"]),
        "audit": AuditSettings(chain_key=SECRETS["AUDIT_CHAIN_KEY"]),
    }
    return Settings(**(parts | changes))


def test_production_is_what_is_meant_unless_something_else_is_said() -> None:
    made = settings()
    assert made.environment == "production"
    assert made.http.docs is False
    assert made.http.host == "127.0.0.1"
    assert made.admission.limiter_failure == "local"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"admission": AdmissionSettings(key_pepper="short")}, "ADMISSION_KEY_PEPPER needs 32 bytes"),
        ({"deid": DeidSettings(key="")}, "DEID_KEY needs 32 bytes"),
        ({"deid": DeidSettings(key="p" * 32)}, "must differ"),
        ({"http": HttpSettings(docs=True)}, "HTTP_DOCS"),
        (
            {"admission": AdmissionSettings(key_pepper="p" * 32, limiter_failure="open")},
            "ADMISSION_LIMITER_FAILURE=open",
        ),
    ],
)
def test_what_is_unsafe_is_refused_with_the_line_to_change(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as refused:
        settings(**changes)
    assert "pppp" not in str(refused.value)


def test_development_may_show_the_description() -> None:
    assert settings(environment="development", http=HttpSettings(docs=True)).http.docs


def test_secrets_are_read_from_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, secret in SECRETS.items():
        file = tmp_path / name
        file.write_text(f"{secret}\n")
        monkeypatch.setenv(f"{name}_FILE", str(file))
    made = Settings()
    assert made.deid.key.get_secret_value() == SECRETS["DEID_KEY"]
    assert SECRETS["DEID_KEY"] not in repr(made)
