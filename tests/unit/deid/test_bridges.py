"""A short gap within a line of print is masked with it; what is no line is left alone."""

from __future__ import annotations

import pytest

from gateway.deid.bridges import bridges
from gateway.deid.regions import TextRegion


def region(left: float, top: float, right: float, bottom: float, *, standing: bool = False) -> TextRegion:
    box = (left, top, right, bottom) if not standing else (top, left, bottom, right)
    width, height = box[2] - box[0], box[3] - box[1]
    return TextRegion((box[0] + width / 2, box[1] + height / 2), (width, height), 0.0, 0.9)


LINE = (10, 100, 110, 120)


@pytest.mark.parametrize("standing", [False, True])
def test_a_gap_shorter_than_two_heights_is_bridged(standing: bool) -> None:
    [made] = bridges([region(*LINE, standing=standing), region(140, 102, 160, 121, standing=standing)])
    corners = made.corners()
    left, top, right, bottom = (*corners.min(0).tolist(), *corners.max(0).tolist())
    assert (left, top, right, bottom) == pytest.approx((100, 110, 121, 140) if standing else (110, 100, 140, 121))


@pytest.mark.parametrize(
    "other",
    [
        (160, 100, 260, 120),  # too far along
        (130, 112, 230, 132),  # another line, below
        (130, 100, 230, 140),  # print of another size
        (100, 100, 200, 120),  # they touch
    ],
)
def test_what_is_no_gap_within_a_line_is_not(other: tuple[int, int, int, int]) -> None:
    assert bridges([region(*LINE), region(*other)]) == []


def test_two_single_letters_are_no_line() -> None:
    assert bridges([region(10, 100, 25, 120), region(40, 100, 55, 120)]) == []
