"""Policy files: read strictly, complaints that name the field."""

from __future__ import annotations

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
        ("upright: 384", "upright: 20", "pixels.single_frame.upright: "),
        ('profile: "113100"', 'profile: "113110"', "profile: "),
        ("name: basic", "name: [", "not YAML"),
    ],
)
def test_a_bad_line_is_named(tmp_path, old, new, complaint):
    path = _changed(tmp_path, old, new)
    with pytest.raises(ValueError, match=complaint) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)


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
