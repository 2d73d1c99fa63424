"""The catalogue in the documents is the code's."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from gateway.cli.main import app

ROOT = Path(__file__).resolve().parents[3]


def test_the_document_is_what_the_command_prints() -> None:
    answer = CliRunner().invoke(app, ["metrics"])
    assert answer.output == (ROOT / "docs" / "observability" / "metrics.md").read_text(), "run: make docs"
