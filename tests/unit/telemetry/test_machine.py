"""Memory and disk, as the kernel tells them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from gateway.telemetry.machine import children_of, container_memory, free_share, resident_bytes

if TYPE_CHECKING:
    from pathlib import Path


def test_resident_memory_is_what_another_reader_finds() -> None:
    assert resident_bytes(os.getpid()) == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)
    assert resident_bytes(2**22 + 1) == 0  # no such process


def test_children_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children_of(os.getpid())
        child.communicate(b"\n")
    assert child.pid not in children_of(os.getpid())


def test_memory_of_a_container(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("6442450944\n")
    (tmp_path / "memory.current").write_text("5000000000\n")
    (tmp_path / "memory.stat").write_text("anon 3000000000\ninactive_file 1500000000\n")
    assert container_memory(tmp_path) == (6442450944, 3500000000)
    (tmp_path / "memory.max").write_text("max\n")
    assert container_memory(tmp_path) == (0, 3500000000)
    assert container_memory(tmp_path / "none") == (0, 0)


def test_free_share(tmp_path: Path) -> None:
    told = psutil.disk_usage(str(tmp_path))
    assert free_share(tmp_path) == pytest.approx(told.free / told.total, abs=0.05)
