"""What a report says, and what it must not be able to say."""

from __future__ import annotations

from gateway.deid.report import DeidReport


def test_groups_of_the_standard_and_kinds_of_segments_are_named():
    groups = {"0008": 3, "0010": 7, "6002": 1, "5000": 1, "FFFA": 1, "exif": 2, "text": 1}
    assert DeidReport("basic", "", groups=groups).as_json()["groups"] == groups


def test_group_numbers_that_the_sender_chose_are_counted_and_not_told():
    groups = {f"{number:04X}": 1 for number in range(0x0009, 0xFFFF)}
    said = DeidReport("basic", "", groups=groups).as_json()["groups"]
    assert said["private"] == sum(number % 2 for number in range(0x0009, 0xFFFF))
    assert said["unknown"] > 30_000
    assert len(said) < 120
    assert sum(said.values()) == len(groups)
    assert "7714" not in said
