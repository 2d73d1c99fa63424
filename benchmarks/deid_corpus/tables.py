"""De-identification benchmark: its data files, read once where they are needed."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of ``data/NAME.csv``, by column."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def vocabulary(name: str = "vocabulary") -> dict[str, Any]:
    """The words of the corpus, or other ones: ``held-out``, ``held-out-2``."""
    return tomllib.loads((DATA / f"{name}.toml").read_text("utf-8"))
