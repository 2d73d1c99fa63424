"""De-identification: actions done out of actions asked for, time a file, memory; ours beside other tools, same files.

    python benchmarks/deid.py                     560 instances under every ready policy and every set of options
    python benchmarks/deid.py --peers             the same, beside dicognito, dicom-anonymizer and deid
    python benchmarks/deid.py --only header --policy policies/deid/research.yaml --all-failures

The corpus is generated (seeded), the answer key is its own: nothing is shared with the engine. Sections end with their
goal, and whether it is met. --peers installs the other tools, once, into an environment of their own. Exit status 1 if
our engine left an identifier in the corpus (header, options); the other vocabularies tell what unseen texts get.
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

from benchmarks.deid_corpus import large_frame, report
from benchmarks.deid_corpus.adapters import Ours
from benchmarks.deid_corpus.codes import CODES, OptionSet
from benchmarks.deid_corpus.corpus import FULL, corpus
from benchmarks.deid_corpus.memory import measure
from benchmarks.deid_corpus.peers import NAMES, Folder
from benchmarks.deid_corpus.peers_environment import NoPeers, interpreter
from benchmarks.deid_corpus.score import Scorer
from benchmarks.deid_corpus.speed import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.deid_corpus.corpus import Instance
    from benchmarks.deid_corpus.score import Score

POLICIES = ROOT / "policies" / "deid"
NOT_POLICIES = {"pixels.yaml"}
SECTIONS = ("header", "held-out", "held-out-2", "options", "speed", "memory", "pixels")
OTHER_WORDS = ("held-out", "held-out-2")
OPTION_SETS = ("basic", *(f"basic+{option}" for option in CODES), "all")
TEXT_KINDS = ("US", "SC", "CR", "DX", "CT", "MR", "MG")
"""Kinds that get burned-in text for the pixel actions."""
TEXT_COUNT = 24


def main() -> int:
    choice = _arguments()
    warnings.simplefilter("ignore")
    try:
        peers = choice.peers_python or (str(interpreter()) if choice.peers else None)
    except NoPeers as missing:
        print(missing, file=sys.stderr)
        return 2
    instances = list(corpus(choice.count, seed=choice.seed))
    limit = None if choice.all_failures else 12
    left = 0
    with tempfile.TemporaryDirectory(dir=choice.scratch) as name:
        scratch = Path(name)
        folder = Folder(scratch)
        folder.write(instances)
        if "header" in choice.only:
            print(
                f"Header: {len(instances)} instances, seed {choice.seed}, file to file, each policy by its own options"
            )
            scores = {policy.stem: score_policy(policy, scratch, instances) for policy in choice.policy}
            _print_scores(scores, limit)
            print(report.goal(scores))
            left += sum(len(score.leaks) for score in scores.values())
            if peers:
                key = OptionSet("basic")
                print(f"\nSide by side, same files, key {key.name}")
                scores = {"cordon": score_options(key, scratch, instances)}
                scores |= {peer: score_peer(folder, peer, peers, instances, key) for peer in NAMES}
                _print_scores(scores, limit)
        for words in (words for words in OTHER_WORDS if words in choice.only):
            seed = choice.seed + 6
            others = list(corpus(choice.count, seed=seed, words=words))
            print(f"\nThe same with other names, places and texts ({words}): {len(others)} instances, seed {seed}")
            scores = {policy.stem: score_policy(policy, scratch, others) for policy in choice.policy}
            _print_scores(scores, limit)
            print(report.goal(scores))
        if "options" in choice.only:
            print(f"\nOptions: {len(instances)} instances, the Basic Profile with each option, and with all of them")
            scores = {said: score_options(OptionSet.parse(said), scratch, instances) for said in OPTION_SETS}
            print(report.by_set(scores))
            print(report.goal(scores))
            for tool, score in scores.items():
                print(f"\nNot done with {tool}:\n{report.failures(score, limit)}")
            left += sum(len(score.leaks) for score in scores.values())
        if "speed" in choice.only:
            engine = Ours.load(POLICIES / "basic.yaml", scratch, pixels=False)
            times = milliseconds(folder, engine, instances, peers, choice.rounds)
            print(
                "\nCPU time, header only, file to file, one process (floor: pydicom read + write, no value looked at;"
            )
            print(f"decoded: the same, every value looked at)\n{report.speeds(times)}")
        if "memory" in choice.only:
            print("\nWhole objects, peak memory and time, in a process of their own")
            print(measure(POLICIES / "basic.yaml", scratch)[0])
            print("\nOne large frame in every transfer syntax, peak memory in decoded sizes, in a process of its own")
            print(large_frame.measure(POLICIES / "basic.yaml", scratch)[0])
        if "pixels" in choice.only:
            print(f"\nPixels: {TEXT_COUNT} instances with and {TEXT_COUNT} without burned-in text, policy basic")
            print(report.by_type({"cordon": score_pixels(POLICIES / "basic.yaml", scratch, choice.seed)}))
    return 1 if left else 0


def score_policy(policy: Path, scratch: Path, instances: list[Instance]) -> Score:
    """A ready policy, against the key for the options that it declares."""
    return _score(Ours.load(policy, scratch, pixels=False), instances, OptionSet.of_policy(policy))


def score_options(said: OptionSet, scratch: Path, instances: list[Instance]) -> Score:
    """The policy ``basic`` with other options."""
    return _score(Ours.load(POLICIES / "basic.yaml", scratch, pixels=False, options=said.options), instances, said)


def _score(engine: Ours, instances: list[Instance], said: OptionSet) -> Score:
    scorer = Scorer(said)
    for instance in instances:
        scorer.add(instance, engine.deidentify(instance))
    return scorer.finish()


def score_peer(folder: Folder, peer: str, python: str, instances: list[Instance], said: OptionSet) -> Score:
    folder.run(peer, python)
    scorer = Scorer(said)
    for instance in instances:
        scorer.add(instance, folder.output(peer, instance, pixels=False))
    return scorer.finish()


def score_pixels(policy: Path, scratch: Path, seed: int) -> Score:
    """With text, as the policy says; and without, where nothing may be masked."""
    engine = Ours.load(policy, scratch, pixels=True)
    scorer = Scorer(OptionSet("basic"), header=False)
    for burned_in in (True, False):
        for instance in corpus(TEXT_COUNT, seed=seed + 1, burned_in=burned_in, kinds=TEXT_KINDS):
            scorer.add(instance, engine.deidentify(instance))
    return scorer.finish()


def ready_policies() -> Iterator[Path]:
    """The policies that the project ships."""
    return (file for file in sorted(POLICIES.glob("*.yaml")) if file.name not in NOT_POLICIES)


def _print_scores(scores: dict[str, Score], limit: int | None) -> None:
    print(report.by_type(scores))
    for tool, score in scores.items():
        print(f"\nNot done by {tool}:\n{report.failures(score, limit)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="these tables alone")
    parser.add_argument(
        "--policy", nargs="+", type=Path, default=list(ready_policies()), help="default: all ready ones"
    )
    parser.add_argument("--peers", action="store_true", help="beside the other tools; installs them once, into .peers")
    parser.add_argument("--peers-python", help="interpreter of an environment that has the other tools already")
    parser.add_argument("--count", type=int, default=FULL, help="how many instances")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of the clock; the median counts")
    parser.add_argument("--all-failures", action="store_true", help="list every kind of failure")
    parser.add_argument("--scratch", help="folder for temporary files; the corpus holds invented people only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
