"""De-identification benchmark: other tools, in an environment of their own, on the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.deid_corpus.output import Output, frames_of, read_output

if TYPE_CHECKING:
    from benchmarks.deid_corpus.corpus import Instance

NAMES = ("dicognito", "dicom-anonymizer", "deid")
RUNNER = Path(__file__).with_name("peer_runner.py")


@dataclass(frozen=True, slots=True)
class Folder:
    """The corpus as files, and what tools made of it.

    Attributes:
        root: A temporary folder.
    """

    root: Path

    @property
    def source(self) -> Path:
        """The corpus."""
        return self.root / "corpus"

    def write(self, instances: list[Instance]) -> None:
        """Write the corpus."""
        self.source.mkdir()
        for instance in instances:
            (self.source / instance.name).write_bytes(instance.data)

    def run(self, tool: str, python: str = sys.executable, rounds: int = 1, *, seconds: float = 3600) -> dict[str, Any]:
        """Have a tool treat every file; see peer_runner.py for the answer.

        Args:
            tool: One of NAMES, ``floor`` or ``decoded``.
            python: Interpreter of its environment.
            rounds: How often; of more than one, the first is not timed.
            seconds: Longest wait.
        """
        target = self.root / tool
        target.mkdir(exist_ok=True)
        command = [python, str(RUNNER), tool, str(self.source), str(target), str(rounds)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def output(self, tool: str, instance: Instance, *, pixels: bool) -> Output:
        """What a tool made of one instance."""
        file = self.root / tool / instance.name
        before = None
        if pixels and instance.has_image:
            before = frames_of(instance.data)
        if not file.exists():
            return Output(None, "missing", before)
        return read_output(file.read_bytes(), before)
