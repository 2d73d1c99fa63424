import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.embedded.child import Child
from gateway.embedded.errors import StartFailed
from tests.support.processes import alive, within

ENVIRONMENT = {"PATH": os.defpath}


def start(tmp_path: Path, script: str) -> Child:
    return Child("The child", ["/bin/sh", "-c", script], log=tmp_path / "log", environment=ENVIRONMENT)


def written(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and path.read_text().endswith("\n")


def test_a_child_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    child = start(tmp_path, "echo cannot find the moon >&2; exit 3")
    with pytest.raises(StartFailed, match="cannot find the moon"):
        child.wait_ready(lambda: False, 10)
    child.stop(1)


def test_a_child_that_is_never_ready_is_reported(tmp_path: Path) -> None:
    child = start(tmp_path, "exec sleep 60")
    with pytest.raises(StartFailed, match=r"not ready within 0\.1 s"):
        child.wait_ready(lambda: False, 0.1)
    child.stop(5)
    assert not alive(child.pid)


def test_only_the_last_run_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("an old story\n")
    child = start(tmp_path, "exit 1")
    with pytest.raises(StartFailed) as failure:
        child.wait_ready(lambda: False, 10)
    child.stop(1)
    assert "an old story" not in str(failure.value)
    assert (tmp_path / "log").read_text() == "an old story\n"


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="/nowhere/server"):
        Child("The child", ["/nowhere/server"], log=tmp_path / "log", environment={})


def test_a_polite_child_ends_by_itself(tmp_path: Path) -> None:
    said = tmp_path / "said"
    child = start(
        tmp_path, f"trap 'echo bye > {said}; exit 0' TERM; echo > {tmp_path}/up; while :; do sleep 0.05; done"
    )
    assert within(5, written(tmp_path / "up"))
    assert child.stop(5)
    assert said.read_text() == "bye\n"


def test_a_deaf_child_is_killed(tmp_path: Path) -> None:
    child = start(tmp_path, f"trap '' TERM; echo > {tmp_path}/up; while :; do sleep 0.05; done")
    assert within(5, written(tmp_path / "up"))
    assert not child.stop(0.2)
    assert not alive(child.pid)


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    child = start(tmp_path, f"sleep 60 & echo $! > {tmp_path}/grandchild; wait")
    assert within(5, written(tmp_path / "grandchild"))
    grandchild = int((tmp_path / "grandchild").read_text())
    assert alive(grandchild)
    child.stop(5)
    assert within(5, lambda: not alive(grandchild))


def test_stopping_twice_is_harmless(tmp_path: Path) -> None:
    child = start(tmp_path, "exec sleep 60")
    assert child.stop(5)
    assert child.stop(5)


def test_the_log_is_the_owners_alone(tmp_path: Path) -> None:
    child = start(tmp_path, "exit 0")
    child.stop(5)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_child_sees_the_environment_it_was_given_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEID_KEY", "must not leak")
    child = start(tmp_path, "env")
    assert within(5, lambda: child.exited)
    child.stop(1)
    assert "DEID_KEY" not in (tmp_path / "log").read_text()


def test_a_killed_parent_leaves_no_child(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from gateway.embedded.child import Child
child = Child("x", ["/bin/sleep", "60"], log=Path({str(tmp_path / "log")!r}), environment={{}})
Path({str(tmp_path / "pid")!r}).write_text(f"{{child.pid}}\\n")
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        assert within(20, written(tmp_path / "pid"))
        child = int((tmp_path / "pid").read_text())
        assert alive(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert within(5, lambda: not alive(child))
