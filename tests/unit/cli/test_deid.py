"""``cordon deid``: what is refused before a file is read, and where policy and key come from."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.batch.errors import CannotStart
from gateway.cli.deid_plan import find_policy, make_plan
from gateway.cli.main import app
from tests.support.deid import KEY, POLICY
from tests.support.scans import scan_bytes

if TYPE_CHECKING:
    from click.testing import Result

    from gateway.batch.job import Plan


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one scan in ``in``; no key is set."""
    monkeypatch.chdir(tmp_path)
    for name in ("DEID_KEY", "DEID_KEY_FILE", "DEID_POLICY", "CORDON_STATE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "scan.dcm").write_bytes(scan_bytes(1))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["deid", *words])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("in",), "name the folder for the results"),
        (("nothing", "-o", "out"), "does not exist"),
        (("in", "-o", "in/out"), "lies in the input"),
        (("in/scan.dcm", "-o", "in"), "lies in the output"),
        (("in", "-o", "out", "--policy", "nonsense"), "There are: "),
        (("in", "-o", "out", "--policy", "./none.yaml"), "no policy file"),
        (("in", "-o", "out", "--key-file", "short"), "32 bytes or more"),
        (("in", "-o", "out", "--key-file", "none"), "cannot be read"),
        (("in", "-o", "out", "--failed", "out/list.csv"), "outside of the results"),
        (("in", "-o", "out", "--json", "in/scan.dcm"), "lies in an input"),
        (("in", "-o", "out", "--jobs", "0"), "--jobs"),
        (("inspect", "none.dcm"), "does not exist"),
        (("inspect", "in/scan.dcm", "-o", "short"), "is there already"),
        (("inspect", "in"), "is a directory"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(folder: Path, words: tuple[str, ...], says: str) -> None:
    (folder / "short").write_text("hunter2")
    result = run(*words)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())
    assert "hunter2" not in result.output
    assert sorted(path.name for path in folder.iterdir()) == ["in", "short"]
    assert (folder / "in" / "scan.dcm").read_bytes() == scan_bytes(1)


def test_help_has_examples_of_both() -> None:
    for words, example in ((("--help",), "cordon deid scans/ --dry-run"), (("inspect", "-h"), "deid inspect scan.dcm")):
        result = run(*words)
        assert result.exit_code == 0
        assert example in result.output


def plan(folder: Path, **named: object) -> Plan:
    said: list[str] = []
    defaults = {"policy": None, "key_file": None, "tenant": "t", "jobs": None, "seconds": 9.0, "say": said.append}
    return make_plan([folder / "in"], state=folder / "state", **(defaults | named))  # type: ignore[arg-type]


def key(made: Plan) -> str:
    return made.deid.key.get_secret_value()


def test_without_a_key_one_is_made_once_and_kept_for_its_owner(folder: Path) -> None:
    said: list[str] = []
    first = plan(folder, say=said.append)
    again = plan(folder, say=said.append)
    assert key(first) == key(again)
    assert len(said) == 1
    file = folder / "state" / "secrets" / "deid_key"
    assert str(file) in said[0]
    assert key(first) not in said[0]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_where_nothing_leaves_no_key_is_made(folder: Path) -> None:
    assert key(plan(folder, say=None)) != key(plan(folder, say=None))
    assert not (folder / "state").exists()


def test_a_named_key_comes_before_the_settings_and_those_before_the_machines_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan(folder)
    monkeypatch.setenv("DEID_KEY", KEY.decode())
    assert key(plan(folder)) == KEY.decode()
    (folder / "key").write_bytes(b"yet another key of the tests, long enough\n")
    assert key(plan(folder, key_file=folder / "key")) == "yet another key of the tests, long enough"
    monkeypatch.setenv("DEID_KEY_FILE", str(folder / "key"))
    monkeypatch.delenv("DEID_KEY")
    assert key(plan(folder)) == "yet another key of the tests, long enough"


def test_key_and_tenant_change_the_terms_and_the_policy_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEID_KEY", KEY.decode())
    own = folder / "own.yaml"
    own.write_text(POLICY.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    terms = {plan(folder).terms, plan(folder, tenant="u").terms, plan(folder, policy=str(own)).terms}
    monkeypatch.setenv("DEID_KEY", KEY.decode()[::-1])
    terms.add(plan(folder).terms)
    assert len(terms) == 4


def test_a_policy_is_found_by_its_name_beside_the_installations_own_first(folder: Path) -> None:
    own = folder / "policies" / "site.yaml"
    own.parent.mkdir()
    own.write_text("profile: x", encoding="utf-8")
    assert find_policy("site", own) == own
    assert find_policy("basic", own).samefile(POLICY)
    assert find_policy(None, Path("policies/deid/basic.yaml")).samefile(POLICY)
    with pytest.raises(CannotStart, match=r"basic.*site"):
        find_policy("none", own)


def test_a_broken_policy_names_its_file(folder: Path) -> None:
    (folder / "own.yaml").write_text("name: own\n", encoding="utf-8")
    result = run("in", "-o", "out", "--policy", "own.yaml", "--key-file", "in/scan.dcm")
    assert result.exit_code == 2
    (folder / "key").write_bytes(KEY)
    result = run("in", "-o", "out", "--policy", "own.yaml", "--key-file", "key")
    assert (result.exit_code, "own.yaml" in result.output) == (2, True)
    assert not (folder / "out").exists()
