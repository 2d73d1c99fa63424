"""Policy files: read strictly, complaints that name the field."""

from __future__ import annotations

import re

import pytest

from gateway.deid.engine import DeidEngine
from gateway.deid.policy import load_policy
from tests.support.deid import KEY, POLICY


def _changed(tmp_path, old, new):
    text = POLICY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "policy.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_the_shipped_policy_loads_and_refuses_when_the_detector_fails():
    policy, _ = load_policy(POLICY)
    assert (policy.name, policy.profile, policy.pixels.look, policy.pixels.on_failure) == (
        "basic",
        "113100",
        True,
        "refuse",
    )


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("patient: pseudonym", "patient: keep", "patient: "),
        ("patient: pseudonym", "", "patient: Field required"),
        ("name: basic", "name: basic\nretain: everything", "retain: Extra inputs"),
        ("share_cap: 0.4", "share_cap: 40", "pixels.share_cap: "),
        ("share_cap: 0.4", "share_cap: '0.4'", "pixels.share_cap: "),
        ("on_failure: refuse", "on_failure: pass", "pixels.on_failure: "),
        ("upright: 512", "upright: 20", "pixels.single_frame.upright: "),
        ('profile: "113100"', 'profile: "113110"', "profile: "),
        ("name: basic", "name: [", "not YAML"),
        ("name: basic", "name: basic\nname: other", "name: stands twice"),
        ('options: ["113101"]', "options: [113101]", "options.0: "),
        ('options: ["113101"]', 'options: ["113101", "113199"]', "options.1: "),
        ('options: ["113101"]', 'options: ["113105", "113101"]', "options: must be in ascending order"),
        ('options: ["113101"]', 'options: ["113101", "113106", "113107"]', "only one of the two"),
        ('options: ["113101"]', 'options: ["113101", "113107"]', "113107 must be there if dates"),
        ('options: ["113101"]', "options: []", "113101 must be there if pixels.look is true"),
        ('options: ["113101"]', 'options: ["113101", "113102"]', "visible_features: must be 'refuse'"),
        ("age_cap: 89", "age_cap: 110", "age_cap: "),
        ("rules: []", "rules: [{tag: '0010,0010', action: keep, why: because I like it}]", "rules.0.tag: "),
        ("rules: []", "rules: [{tag: '(0009,1001)', action: keep, why: because I like it}]", "is private"),
        ("rules: []", "rules: [{tag: '(0010,0010)', action: keep, why: because I like it}]", "VR PN, which 'keep'"),
        ("rules: []", "rules: [{tag: '(0028,0010)', action: uid, why: because I like it}]", "VR US, which 'uid'"),
        ("rules: []", "rules: [{tag: '(0008,0020)', action: clean, why: because I like it}]", "needs option 113107"),
        (
            "rules: []",
            "rules: [{tag: '(0028,FFF0)', action: keep, why: because I like it}]",
            "not in the data dictionary",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path, old, new, complaint):
    path = _changed(tmp_path, old, new)
    with pytest.raises(ValueError, match=complaint) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    line = int(re.search(r" line (\d+):", str(caught.value))[1])
    field = complaint.partition(":")[0].split(".")[-1]
    written = path.read_text(encoding="utf-8").splitlines()[line - 1]
    assert field in written or complaint.startswith("patient: Field") or not field.isalpha() or " " in field


def test_a_shift_that_could_be_guessed_is_no_shift(tmp_path):
    path = _changed(
        tmp_path,
        'options: ["113101"]',
        'options: ["113101", "113107"]\ndates: {least_days: 30, most_days: 31}',
    )
    with pytest.raises(ValueError, match=r"line \d+: dates: most_days must be at least"):
        load_policy(path)


def test_a_file_that_is_missing_or_no_mapping_is_named(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- name: basic\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must be a mapping"):
        load_policy(tmp_path / "list.yaml")


def test_a_short_key_is_refused_and_not_quoted():
    with pytest.raises(ValueError, match="32 bytes") as caught:
        DeidEngine.load(POLICY, b"secret-too-short")
    assert "secret" not in str(caught.value)


def test_the_digest_covers_every_byte_of_the_policy(tmp_path):
    commented = _changed(tmp_path, "name: basic", "name: basic # signed")
    assert DeidEngine.load(POLICY, KEY).policy_digest == DeidEngine.load(POLICY, KEY).policy_digest
    assert DeidEngine.load(commented, KEY).policy_digest != DeidEngine.load(POLICY, KEY).policy_digest
