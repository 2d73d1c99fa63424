"""The documents on standards, threats and law name modules and tests that there are, and leave no clause out."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"U/": "tests/unit/", "A/": "tests/api/", "G/": "gateway/"}
TEXT = (ROOT / "docs" / "standards.md").read_text(encoding="utf-8")
ROWS = [
    line.split("|")[1:-1] for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| clause")
]
ROWS = [row for row in ROWS if row[0].strip() not in {"requirement", "section"}]
NAMED = re.compile(r"`([\w./]+\.(?:py|lua))(?:::(\w+))?`")


def path_of(text: str) -> Path:
    for short, long in SHORT.items():
        text = text.replace(short, long, 1) if text.startswith(short) else text
    return ROOT / text


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_what_a_row_names_is_there(row: list[str]) -> None:
    assert len(row) == 4
    clause, asks, code, tests = (cell.strip() for cell in row)
    assert clause
    assert asks
    assert code == "—" or NAMED.search(code), "no module, and no dash that says so"
    assert tests
    if code != "—" and not tests.startswith("—"):
        assert NAMED.search(tests), "no test"
    for text, test in NAMED.findall(code + tests):
        file = path_of(text)
        assert file.is_file(), text
        if test:
            assert test in functions_of(file), f"{text}::{test}"


def test_every_test_is_named_by_its_name() -> None:
    for text, test in NAMED.findall("".join(row[3] for row in ROWS)):
        if text.startswith(("U/", "A/", "tests/")):
            assert test.startswith("test_"), text


@pytest.mark.parametrize(
    ("section", "clauses"),
    [
        ("OWASP API", [f"API{number} " for number in range(1, 11)]),
        ("OWASP ASVS", [f"V{number}" for number in range(1, 18)]),
        ("RFC 8725", [f"3.{number} " for number in range(1, 13)]),
        (
            "45 CFR 164.312",
            ["(a)(1)", "(a)(2)(i) ", "(a)(2)(ii) ", "(a)(2)(iii)", "(a)(2)(iv)", "(b)", "(c)(1)", "(c)(2)", "(d)",
             "(e)(1)", "(e)(2)(i) ", "(e)(2)(ii)"],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_no_clause_is_left_out(section: str, clauses: list[str]) -> None:
    _, _, rest = TEXT.partition(f"## {section}")
    lines = [line[2:] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")]
    for clause in clauses:
        assert any(re.match(re.escape(clause) + r"(?![0-9])", line) for line in lines), clause


THREATS = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
FLOWS = {part.partition("\n")[0]: part for part in THREATS.split("\n## ") if part.startswith("Flow ")}
THREAT_ROWS = [
    (flow, line.split("|")[1:-1])
    for flow, part in FLOWS.items()
    for line in part.splitlines()
    if re.match(r"\| [A-Z] \|", line)
]
A_FILE = re.compile(r"`([\w./-]+\.(?:py|lua|yaml|lock|txt)|deploy/Dockerfile)(?:::(\w+))?`")


@pytest.mark.parametrize(("flow", "row"), THREAT_ROWS, ids=lambda value: value[:6] if isinstance(value, str) else "")
def test_a_threat_has_a_control_and_a_test_that_are_there(flow: str, row: list[str]) -> None:
    assert len(row) == 5, flow
    _, threat, control, tests, left = (cell.strip() for cell in row)
    assert threat
    assert left
    assert A_FILE.search(control), "no module"
    named = A_FILE.findall(tests)
    assert named, "no test"
    assert all(text.startswith(("U/", "A/", "tests/")) for text, _ in named)
    for text, test in A_FILE.findall(control + tests):
        file = path_of(text)
        assert file.is_file(), text
        if test:
            assert test in functions_of(file), f"{text}::{test}"


def test_every_flow_is_looked_at_from_all_six_sides() -> None:
    assert len(FLOWS) == 9
    for flow in FLOWS:
        assert {row[0].strip() for name, row in THREAT_ROWS if name == flow} == set("STRIDE"), flow


LAW = (ROOT / "docs" / "privacy-law.md").read_text(encoding="utf-8")


def test_the_law_is_met_by_what_is_there() -> None:
    for text, test in A_FILE.findall(LAW):
        assert path_of(text).is_file(), text
        assert not test or test in functions_of(path_of(text)), f"{text}::{test}"
    for document in re.findall(r"\]\(([\w./-]+\.md)", LAW + THREATS):
        assert (ROOT / "docs" / document).is_file(), document


@pytest.mark.parametrize(
    "clause",
    ["164.308", "164.310", "164.312", "164.514", *(f"Art. {number}" for number in (6, 25, "26, 28", 30, "33, 34", 35))],
)
def test_each_part_of_the_law_is_spoken_of(clause: str) -> None:
    assert re.search(rf"^(?:## .*|\| ){re.escape(clause)}", LAW, re.MULTILINE)


def test_each_row_of_the_law_says_what_the_operator_must_do() -> None:
    rows = [
        line.split("|")[1:-1] for line in LAW.splitlines() if line.startswith("| ") and not line.startswith("| clause")
    ]
    assert len(rows) > 40
    for row in rows:
        assert len(row) == 4, row
        assert row[3].strip() not in {"", "—"}, row
