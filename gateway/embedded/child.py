"""The one-machine stack: a child process that cannot outlive its parent.

Three things hold that. The kernel sends the child SIGTERM when the thread that started it ends, however it ends
(``PR_SET_PDEATHSIG``, prctl(2)). The child leads a process group of its own, so Ctrl-C in the terminal reaches the
parent alone, which then stops its children in order. And after the child's end its whole group is killed: helpers that
it started and forgot go with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from gateway.embedded.errors import StartFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 12

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends. Call in the child.

    Args:
        parent: The parent's process ID, to notice that it ended before this call.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """One running program.

    Start it from a thread that lives as long as it should: the kernel watches the thread, not the process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            name: What to call it in messages.
            command: Program and arguments.
            log: File that its output is added to; made with mode 0600.
            environment: All of its environment.
            pass_fds: File descriptors that it inherits.

        Raises:
            StartFailed: The program cannot be run.
        """
        self.name = name
        self.log = log
        parent = os.getpid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._log_start = os.fstat(output).st_size
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - one C call, and no thread holds a lock here
            )
        except OSError as error:
            raise StartFailed(f"{name} cannot be started: {error.strerror} ({command[0]})") from error
        finally:
            os.close(output)
        self.pid = self._process.pid
        self._asked = False

    @property
    def exited(self) -> bool:
        """Whether it has ended by itself. It is not reaped before ``stop``, so its process ID stays its own."""
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait_ready(self, probe: Callable[[], bool], seconds: float) -> None:
        """Ask ``probe`` until it says yes.

        Raises:
            StartFailed: It ended first, or time ran out; with the last lines of its log.
        """
        deadline = time.monotonic() + seconds
        while not probe():
            if self.exited:
                raise StartFailed(f"{self.name} ended while it was starting.{self._tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready within {seconds:g} s.{self._tail()}")
            time.sleep(_POLL_SECONDS)

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once. ``stop`` still has to follow."""
        if self._process.returncode is None and not self._asked:
            os.kill(self.pid, signal.SIGTERM)  # once: to some servers a second one means "at once"
            self._asked = True

    def stop(self, grace: float) -> bool:
        """Ask it to end, wait, then kill its group. Idempotent.

        Args:
            grace: Seconds it gets to end by itself.

        Returns:
            Whether it ended by itself in that time.
        """
        if self._process.returncode is not None:
            return True
        deadline = time.monotonic() + grace
        self.ask_to_stop()
        while not self.exited and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        graceful = self.exited
        os.killpg(self.pid, signal.SIGKILL)  # not yet reaped, so the group's number cannot be another's
        self._process.wait()
        return graceful

    def describe_exit(self) -> str:
        """Why it ended, with the last lines of its log. For a child that ended unasked."""
        return f"{self.name} ended unexpectedly.{self._tail()}"

    def _tail(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]
        shown = "".join(f"\n    {line}" for line in lines)
        return f" The last lines of {self.log}:{shown}" if lines else f" It wrote nothing to {self.log}."
