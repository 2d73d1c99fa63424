"""De-identification: actions done out of actions asked for, and time a file; ours beside other tools, same files.

    python benchmarks/deid.py                                    140 instances, our engine alone
    python benchmarks/deid.py --full --peers-python PATH         560, beside dicognito, dicom-anonymizer and deid

The corpus is generated (seeded), the answer key is its own: nothing is shared with the engine. Exit status 1 if our
engine left an identifier.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.deid_corpus import report
from benchmarks.deid_corpus.adapters import Ours
from benchmarks.deid_corpus.corpus import FULL, corpus
from benchmarks.deid_corpus.key import OptionSet
from benchmarks.deid_corpus.peers import NAMES, Folder
from benchmarks.deid_corpus.score import Scorer
from benchmarks.deid_corpus.speed import milliseconds

if TYPE_CHECKING:
    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.score import Score

SHORT, TEXT_SHORT, TEXT_FULL = 140, 12, 96
TEXT_KINDS = ("US", "SC", "CR", "DX", "CT", "MR", "MG")
"""Kinds that get burned-in text for the pixel actions."""


def main() -> int:
    choice = _arguments()
    warnings.simplefilter("ignore")
    options = OptionSet.parse(choice.options)
    with tempfile.TemporaryDirectory(dir=choice.scratch) as name:
        scratch = Path(name)
        instances = list(corpus(FULL if choice.full else SHORT, seed=choice.seed))
        folder = Folder(scratch)
        folder.write(instances)
        engine = Ours.load(choice.policy, scratch, pixels=False)

        print(f"Header: {len(instances)} instances, key {options.name}, seed {choice.seed}")
        scores = {"cordon": score_ours(engine, instances, options)}
        if choice.peers_python:
            scores |= {peer: score_peer(folder, peer, choice.peers_python, instances, options) for peer in NAMES}
        print(report.by_type(scores))
        for tool, score in scores.items():
            print(f"\nNot done by {tool}:\n{report.failures(score, None if choice.all_failures else 12)}")

        times = milliseconds(folder, engine, instances, choice.peers_python, 3 if choice.full else 1)
        print("\nCPU time, header only, file to file, one process (floor: pydicom read + write, no value looked at;")
        print(f"decoded: the same, every value looked at)\n{report.speeds(times)}")

        if not choice.no_pixels:
            count = TEXT_FULL if choice.full else TEXT_SHORT
            print(f"\nPixels: {count} instances with and {count} without burned-in text")
            print(report.by_type({"cordon": score_pixels(choice.policy, scratch, count, choice.seed, options)}))
    return 1 if scores["cordon"].leaks else 0


def score_ours(engine: Ours, instances: list[Instance], options: OptionSet) -> Score:
    scorer = Scorer(options)
    for instance in instances:
        scorer.add(instance, engine.deidentify(instance))
    return scorer.finish()


def score_peer(folder: Folder, peer: str, python: str, instances: list[Instance], options: OptionSet) -> Score:
    folder.run(peer, python)
    scorer = Scorer(options)
    for instance in instances:
        scorer.add(instance, folder.output(peer, instance, pixels=False))
    return scorer.finish()


def score_pixels(policy: Path, scratch: Path, count: int, seed: int, options: OptionSet) -> Score:
    """With text, as the policy says; and without, where nothing may be masked."""
    engine = Ours.load(policy, scratch, pixels=True)
    scorer = Scorer(options, header=False)
    for burned_in in (True, False):
        for instance in corpus(count, seed=seed + 1, burned_in=burned_in, kinds=TEXT_KINDS):
            scorer.add(instance, engine.deidentify(instance))
    return scorer.finish()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="all instances, three rounds of the clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--options", default="basic", help="what the key expects, e.g. basic+dates+descriptors")
    parser.add_argument("--policy", type=Path, default=ROOT / "policies" / "deid" / "basic.yaml")
    parser.add_argument("--peers-python", help="interpreter of an environment with the other tools")
    parser.add_argument("--no-pixels", action="store_true", help="leave the look for burned-in text out")
    parser.add_argument("--all-failures", action="store_true", help="list every kind of failure")
    parser.add_argument("--scratch", help="folder for temporary files; the corpus holds invented people only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
