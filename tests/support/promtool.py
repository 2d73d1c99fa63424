"""Prometheus's own tool, of the system's package ``prometheus``: it checks rules, and runs their tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def promtool(*arguments: str | Path, folder: Path) -> str:
    """Run it; its output. Skips where it is not installed; in CI its absence is a failure."""
    found = shutil.which("promtool")
    if found is None:
        reason = "promtool is not installed: apt install prometheus"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([found, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
