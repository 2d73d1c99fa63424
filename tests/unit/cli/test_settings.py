from pathlib import Path

import pytest
from dotenv import dotenv_values

from gateway.cli.settings import env_example
from gateway.embedded.secrets import NAMES
from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def test_the_example_in_the_repository_is_what_the_settings_say() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), "run: cordon settings > .env.example"


def test_only_the_secrets_are_left_to_fill_in() -> None:
    others = {
        "ADMISSION_KEY_PEPPER_PREVIOUS",
        "AUDIT_CHAIN_KEYS_PREVIOUS",
        "AUDIT_SIGNING_KEY",
        "CONSOLE_LOGIN_SECRET",
        "OAUTH_SIGNING_KEY",
        "OAUTH_SIGNING_KEY_PREVIOUS",
    }
    assert set(dotenv_values(ROOT / ".env.example")) == {*NAMES, *others}


def test_the_example_with_every_line_active_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secrets = {name: name.ljust(40, "x") for name in NAMES}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    defaults = Settings()
    active = {
        name: value
        for line in env_example().splitlines()
        if (bare := line.removeprefix("# "))
        and (name := bare.partition("=")[0]).isupper()
        and (value := bare.partition("=")[2])
    }
    assert len(active) > 30
    for name, value in active.items():
        monkeypatch.setenv(name, value)
    assert Settings() == defaults
