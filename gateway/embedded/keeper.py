"""The one-machine stack: a model server that ends, hangs or loses a model's process is started anew, on its own ports.

    ended                                  started at once if it had been well; else after 1, 2, 4, … 30 s
    no answer for 20 s                     killed, then the same
    a model's process has died             killed, then the same: Triton does not start one anew, and says it is ready

Requests that come meanwhile are told 503 by the gateway's circuit breaker, which finds out by itself when it is back.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

from gateway.embedded.triton import READY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.embedded.triton import Triton

LONGEST_PAUSE_SECONDS = 30.0
HANG_SECONDS = 20.0
_PROBE_SECONDS = 2.0
_PROC = Path("/proc")


class Keeper:
    """Watches one Triton. Called from the thread that started it: the kernel ends it with that thread.

    Args:
        triton: The server; ready, or starting.
        say: Told what happened, in a sentence.
        stable_seconds: Who was ready for so long was well: it is started again without a pause.
        now: A monotonic clock, seconds.

    Attributes:
        restarts: How often it was started anew.
    """

    def __init__(
        self,
        triton: Triton,
        say: Callable[[str], None],
        *,
        stable_seconds: float = 10.0,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.restarts = 0
        self._triton = triton
        self._say = say
        self._stable = stable_seconds
        self._now = now
        self._state: Literal["starting", "ready", "pausing"] = "starting"
        self._since = self._answered = self._probed = now()
        self._pause = 0.0
        self._dead = False

    def watch(self) -> None:
        """One look. Takes no longer than a probe of the server, a second."""
        now = self._now()
        if self._state == "pausing":
            if now - self._since >= self._pause:
                self._triton.restart()
                self.restarts += 1
                self._enter("starting")
            return
        if self._triton.child.exited:
            self._ended(self._triton.child.describe_exit())
        elif now - self._probed >= _PROBE_SECONDS:
            self._probed = now
            self._look()

    def _look(self) -> None:
        if self._triton.answers("ready" if self._state == "starting" else "live"):
            self._answered = self._now()
            if self._state == "starting":
                self._enter("ready")
                if self.restarts:
                    self._say("Triton is ready again.")
            else:
                before, self._dead = self._dead, has_dead_child(self._triton.child.pid)
                if before and self._dead:  # one that was unloaded is seen so for a moment
                    self._ended("A model's process has died.")
            return
        patience = READY_SECONDS if self._state == "starting" else HANG_SECONDS
        if self._now() - max(self._answered, self._since) >= patience:
            self._ended(f"Triton has not answered for {patience:g} s.")

    def _ended(self, why: str) -> None:
        well = self._state == "ready" and self._now() - self._since >= self._stable
        self._pause = 0.0 if well else min(max(1.0, 2 * self._pause), LONGEST_PAUSE_SECONDS)
        self._triton.kill()
        when = f"in {self._pause:g} s" if self._pause else "at once"
        self._say(f"Triton is started again {when}: {why}")
        self._enter("pausing")

    def _enter(self, state: Literal["starting", "ready", "pausing"]) -> None:
        self._state, self._since, self._dead = state, self._now(), False


def has_dead_child(pid: int) -> bool:
    """Whether a process that this one started has ended and nobody has taken note: its state is Z (proc_pid_stat(5)).

    Triton takes note of a model's process when it unloads the model.
    """
    for folder in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            children = folder.read_text().split()
            states = [(_PROC / child / "stat").read_text().rpartition(")")[2].split()[0] for child in children]
        except OSError:  # it ended meanwhile: the next look will tell
            continue
        if "Z" in states:
            return True
    return False
