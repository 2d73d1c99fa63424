"""Numbers of several processes: added up, kept when one ends, gone when all do."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry.shared_folder import VARIABLE, SharedNumbers, shared_folder
from tests.support.metrics import numbers

ROOT = Path(__file__).resolve().parents[3]
PROCESS = """
import sys
from gateway.telemetry.meter import Meter
from gateway.telemetry import catalogue as of
meter = Meter()
counter, running = meter.counter(of.TURNED_AWAY), meter.gauge(of.PROCESSES)
least, most = meter.gauge(of.CHANGES_HEARD), meter.gauge(of.AUDIT_LAG)
counter.inc(by=int(sys.argv[1])); running.set(1); least.set(int(sys.argv[1])); most.set(int(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


def process(folder: Path, number: int) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(number)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {VARIABLE: str(folder)},
    )
    assert started.stdout is not None
    return started


def test_what_processes_count_is_added_up_and_outlives_them(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with shared_folder(tmp_path) as folder:
        registry.register(SharedNumbers(folder))
        assert folder.stat().st_mode & 0o777 == 0o700
        two = [process(folder, number) for number in (3, 5)]
        for each in two:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        both = numbers(generate_latest(registry).decode())
        two[0].kill()
        two[0].wait()
        one = numbers(generate_latest(registry).decode())
        two[1].communicate()
        none = numbers(generate_latest(registry).decode())
    wanted = ("cordon_turned_away_total", "cordon_processes", "cordon_changes_heard", "cordon_audit_lag_seconds")
    assert [both.get(name) for name in wanted] == [8, 2, 3, 5]
    assert [one.get(name) for name in wanted] == [8, 1, 5, 5]
    assert [none.get(name) for name in wanted] == [8, None, None, None]
    two[0].communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_owner_was_killed_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    left, used = tmp_path / "cordon-metrics-left", tmp_path / "cordon-metrics-used"
    for folder in (left, used):
        folder.mkdir()
        (folder / "owner").touch()
        (folder / "counter_1.db").touch()
    with (used / "owner").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with shared_folder(tmp_path) as folder:
            assert sorted(tmp_path.iterdir()) == sorted([used, folder])
