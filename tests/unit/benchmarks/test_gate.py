"""The gate on ratios lets through what is within its bounds, and nothing else."""

from __future__ import annotations

import json

import pytest

from benchmarks import gate


def _bounds() -> dict[str, dict[str, float]]:
    return json.loads(gate.RATIOS.read_text(encoding="utf-8"))


def test_every_ratio_has_a_bound_near_what_was_seen():
    bounds = _bounds()
    assert set(bounds) == set(gate.MEASURES)
    for bound in bounds.values():
        assert bound["seen"] < bound["at_most"] <= 1.5 * bound["seen"]


def test_what_was_seen_passes_and_half_as_much_again_does_not():
    bounds = _bounds()
    seen = {name: bound["seen"] for name, bound in bounds.items()}
    assert all(gate.judge(seen, bounds).values())
    assert not any(gate.judge({name: 1.51 * ratio for name, ratio in seen.items()}, bounds).values())


def test_a_ratio_without_a_bound_does_not_pass():
    assert gate.judge({"new": 0.1}, _bounds()) == {"new": False}


@pytest.mark.parametrize(("factor", "status"), [(0.25, 1), (4.0, 0)])
def test_it_fails_on_a_doctored_bound_and_passes_on_a_generous_one(tmp_path, capsys, monkeypatch, factor, status):
    """Really measured; fewer rounds, as the bounds are far off."""
    monkeypatch.setattr(gate, "ROUNDS", 2)
    monkeypatch.setattr(gate, "CALLS", 5)
    bounds = _bounds()
    bounds["steps"]["at_most"] = factor * bounds["steps"]["seen"]
    doctored = tmp_path / "ratios.json"
    doctored.write_text(json.dumps(bounds), encoding="utf-8")
    assert gate.main(["--only", "steps", "--ratios", str(doctored)]) == status
    assert ("too high" in capsys.readouterr().out) is bool(status)
