"""When a model server is started anew, and after what pause: real child processes, and a clock in the test's hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gateway.embedded.child import Child
from gateway.embedded.keeper import HANG_SECONDS, Keeper, has_dead_child
from tests.support.processes import alive, descendants, within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Server:
    """A child that does nothing, in the place of Triton."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.healthy = True
        self.started = 0
        self.restart()

    def restart(self) -> None:
        self.child = Child("Triton", ["/bin/sleep", "60"], log=self.folder / "log", environment={})
        self.started += 1

    def kill(self) -> None:
        self.child.stop(0.0)

    def answers(self, question: str = "ready") -> bool:
        return self.healthy


class Rig:
    def __init__(self, folder: Path) -> None:
        self.at = 100.0
        self.said: list[str] = []
        self.server = Server(folder)
        self.keeper = Keeper(self.server, self.said.append, now=lambda: self.at)  # type: ignore[arg-type]

    def watch(self, seconds: float = 0.0) -> None:
        self.at += seconds
        self.keeper.watch()

    def ends(self) -> None:
        os.kill(self.server.child.pid, 9)
        assert within(5, lambda: self.server.child.exited)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.server.kill()


def test_one_that_was_well_is_started_again_at_once(rig: Rig) -> None:
    rig.watch(3)
    rig.watch(60)
    rig.ends()
    rig.watch()
    rig.watch()
    assert rig.server.started == 2
    rig.watch(3)
    assert rig.said[-1] == "Triton is ready again."
    assert rig.keeper.restarts == 1


def test_one_that_ends_again_and_again_is_started_after_longer_and_longer_pauses(rig: Rig) -> None:
    rig.server.healthy = False
    pauses = []
    for _ in range(7):
        rig.ends()
        rig.watch()
        began, started = rig.at, rig.server.started
        while rig.server.started == started:
            rig.watch(0.5)
        pauses.append(rig.at - began)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_one_that_does_not_answer_is_killed(rig: Rig) -> None:
    rig.watch(3)
    rig.watch(20)
    pid = rig.server.child.pid
    rig.server.healthy = False
    for _ in range(int(HANG_SECONDS / 2) - 1):
        rig.watch(2)
    assert alive(pid)
    rig.server.healthy = True  # a word is enough
    rig.watch(2)
    rig.server.healthy = False
    while rig.server.child.pid == pid:
        rig.watch(2)
    assert not alive(pid)
    assert "not answered for 20 s" in rig.said[0]


def test_one_that_is_starting_has_longer(rig: Rig) -> None:
    rig.server.healthy = False
    for _ in range(20):
        rig.watch(4)
    assert rig.server.started == 1
    for _ in range(4):
        rig.watch(4)
    assert rig.server.started == 2


def test_a_child_that_ended_and_was_not_waited_for_is_seen() -> None:
    code = "import subprocess, sys; subprocess.Popen(['/bin/sleep', sys.argv[1]]); print(flush=True); input()"
    for seconds, dead in (("60", False), ("0", True)):
        command = [sys.executable, "-c", code, seconds]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            if dead:
                assert within(5, lambda pid=parent.pid: has_dead_child(pid))
            else:
                time.sleep(0.1)
                assert not has_dead_child(parent.pid)
            for child in descendants(parent.pid):
                os.kill(child, 9)
            parent.kill()
    assert not has_dead_child(2**22 + 1)
