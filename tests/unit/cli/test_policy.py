"""``cordon policy``: what whoever signs a policy reads, and what stops a wrong one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from gateway.cli.policy import app
from gateway.deid.engine import DeidEngine
from tests.support.deid import KEY

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).resolve().parents[3]
POLICIES = ROOT / "policies" / "deid"
READY = ("basic", "research", "safe-harbor", "longitudinal", "internal-qa")


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def ready(name: str) -> Path:
    return POLICIES / f"{name}.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Any:
    """Writes ``basic`` with other fields into a folder, and says where."""
    shutil.copy(POLICIES / "pixels.yaml", tmp_path)

    def write(**fields: object) -> Path:
        document = yaml.safe_load(ready("basic").read_text("utf-8")) | fields
        file = tmp_path / f"{document['name']}.yaml"
        file.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return file

    return write


def test_every_ready_policy_and_the_templates_are_right() -> None:
    result = run("check", *sorted(POLICIES.glob("*.yaml")))
    assert result.exit_code == 0, result.output
    assert {name for name in READY if f": {name}, 113100 with" in result.stdout} == set(READY)
    assert "region templates" in result.stdout


def test_the_digest_that_is_signed_is_the_one_that_reports_state() -> None:
    digest = DeidEngine.load(ready("research"), KEY).policy_digest
    assert json.loads(run("show", ready("research"), "--json").stdout)["digest"] == digest
    assert digest[:16] in run("check", ready("research")).stdout


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"options": ["113101", "113199"]}, "options"),
        ({"options": ["113101", "113106", "113107"], "dates": {"least_days": 1, "most_days": 400}}, "113106"),
        ({"options": ["113101", "113107"]}, "113107"),
        ({"age_cap": 120}, "age_cap"),
        ({"rules": [{"tag": "(0010,0010)", "action": "keep"}]}, "why"),
        ({"coffee": True}, "coffee"),
    ],
)
def test_an_error_names_file_and_line_and_the_rest_is_checked_too(changed: Any, fields: dict, said: str) -> None:
    wrong = changed(**fields)
    result = run("check", wrong, ready("basic"))
    assert result.exit_code == 1
    assert f"{wrong} line " in result.stderr
    assert said in result.stderr
    assert f"{ready('basic')}: basic" in result.stdout


def test_two_policies_of_one_name_are_an_error(changed: Any) -> None:
    result = run("check", ready("basic"), changed())
    assert result.exit_code == 1
    assert "has the same name" in result.stderr


def test_what_ought_to_be_known_is_noted(changed: Any) -> None:
    rule = {"tag": "(0008,0080)", "action": "keep", "why": "the study names its hospitals"}
    result = run("check", changed(name="own", rules=[rule]), ready("internal-qa"))
    assert result.exit_code == 0
    assert "(0008,0080)" in result.stdout
    assert "does not conform" in result.stdout
    assert "113106" in result.stdout
    assert "113110" in result.stdout


def rules(*words: object) -> dict[str, dict[str, str]]:
    found = json.loads(run("show", *words, "--json").stdout)["rules"]
    return {rule["tag"]: rule for rule in found if rule["tag"] != "any"}


def test_show_says_what_is_done_and_who_says_so() -> None:
    found = rules(ready("research"), "--tag", "0008,1030")
    assert found.keys() == {"(0008,1030)"}
    assert found["(0008,1030)"]["code"] == "C"
    assert found["(0008,1030)"]["source"] == "option 113105"
    assert rules(ready("basic"), "--find", "study description")["(0008,1030)"]["code"] == "X"
    assert {rule["code"] for rule in rules(ready("basic"), "--action", "u").values()} == {"U"}
    whole = run("show", ready("basic"))
    assert whole.exit_code == 0
    assert "not claimed" in whole.stdout


def test_show_of_nothing_says_so() -> None:
    result = run("show", ready("basic"), "--find", "no such attribute")
    assert result.exit_code == 1
    assert "No rule fits" in result.stderr


def test_diff_of_a_policy_with_itself_is_empty_and_of_two_names_what_changes(changed: Any) -> None:
    assert "Nothing differs" in run("diff", ready("basic"), changed()).stdout
    answer = json.loads(run("diff", ready("basic"), ready("research"), "--json").stdout)
    assert [change["what"][:6] for change in answer["options"]] == ["113103", "113104", "113105", "113107", "113108"]
    assert {change["what"] for change in answer["settings"]} == {
        "accession",
        "dates",
        "text",
        "pixels.whole.keep_markers",
    }
    by_name = {change["what"]: change for change in answer["attributes"]}
    assert by_name["(0008,0020) Study Date"]["old"].startswith("Z")
    assert by_name["(0008,0020) Study Date"]["new"].startswith("C")
    assert "(0010,0010) Patient's Name" not in by_name
    short, whole = (run("diff", ready("basic"), ready("research"), *more).stdout for more in ([], ["--all"]))
    assert "(0040,2400)" not in short
    assert "(0040,2400)" in whole


def test_diff_shows_an_own_rule(changed: Any) -> None:
    rule = {"tag": "(0018,1030)", "action": "keep", "why": "protocol names are agreed with the study"}
    answer = json.loads(run("diff", ready("basic"), changed(name="own", rules=[rule]), "--json").stdout)
    (change,) = answer["attributes"]
    assert change["what"] == "(0018,1030) Protocol Name"
    assert "agreed with the study" in change["new"]


def test_the_committed_document_is_what_the_policies_say() -> None:
    made = run("show", *(ready(name) for name in READY), "--markdown").stdout
    assert (ROOT / "docs" / "deidentification" / "rules.md").read_text("utf-8") == made, "run: make docs"


def test_no_cell_of_the_document_is_left_out() -> None:
    rows = [
        line.split(" | ") for line in run("show", *(ready(name) for name in READY), "--markdown").stdout.splitlines()
        if line.startswith("| (")
    ]  # fmt: skip
    assert len(rows) > 900
    assert all(len(row) == 2 + len(READY) and "-" not in (cell.strip(" |") for cell in row) for row in rows)
