"""docs/api.md is what the application says of itself, and leads to all that it names."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.cli.api import description, reference
from gateway.cli.main import app

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "api.md"


@cache
def described() -> dict[str, Any]:
    return description()


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(described()), "make docs"


def test_every_route_and_every_link_has_its_heading() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    headings = re.findall(r"^#{2,3} (.+)$", text, re.MULTILINE)
    routes = [f"{method.upper()} {path}" for path, found in described()["paths"].items() for method in found]
    assert set(routes) < set(headings)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_the_description_can_be_had_without_a_gateway() -> None:
    done = CliRunner().invoke(app, ["api", "--openapi"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["openapi"].startswith("3.1")
