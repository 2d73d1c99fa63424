"""A detector's output becomes boxes: threshold, suppression by label, order, and what is refused."""

from __future__ import annotations

from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadModelAnswer
from gateway.models.spec import DetectionSpec
from gateway.respond.boxes import MOST_CANDIDATES, boxes

RULE = DetectionSpec()
LABELS = 3


def output(*anchors: tuple[tuple[float, float, float, float], tuple[float, ...]]) -> np.ndarray:
    """[4 + labels, anchors] of corners and scores."""
    made = np.zeros((4 + LABELS, len(anchors)), np.float32)
    for column, ((left, top, right, bottom), scores) in enumerate(anchors):
        made[:4, column] = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        made[4:, column] = scores
    return made


def found(made: np.ndarray, rule: DetectionSpec = RULE) -> list[tuple[int, float, list[float]]]:
    answer = boxes(made, rule)
    return [
        (int(label), round(float(score), 3), corners)
        for label, score, corners in zip(answer.labels, answer.scores, answer.corners.tolist(), strict=True)
    ]


BOX, BESIDE, FAR = (10, 10, 50, 50), (12, 10, 52, 50), (100, 100, 140, 180)


def test_the_surest_of_overlapping_boxes_of_a_label_stays():
    made = output((BESIDE, (0.6, 0, 0)), (BOX, (0.9, 0, 0)), (FAR, (0, 0, 0.5)))
    assert found(made) == [(0, 0.9, list(map(float, BOX))), (2, 0.5, list(map(float, FAR)))]


def test_boxes_of_two_labels_do_not_suppress_each_other():
    made = output((BOX, (0.9, 0, 0)), (BESIDE, (0, 0.6, 0)))
    assert [label for label, _, _ in found(made)] == [0, 1]


def test_an_anchor_has_its_best_label_alone():
    assert found(output((BOX, (0.5, 0.7, 0.6)))) == [(1, 0.7, list(map(float, BOX)))]


@pytest.mark.parametrize(("threshold", "count"), [(0.25, 2), (0.4, 1), (0.95, 0)])
def test_the_threshold_is_the_models_own(threshold, count):
    made = output((BOX, (0.9, 0, 0)), (FAR, (0.3, 0, 0)))
    assert len(found(made, DetectionSpec(confidence_threshold=threshold))) == count


@pytest.mark.parametrize(("iou", "count"), [(0.2, 1), (0.33, 1), (0.34, 2), (1.0, 2)])
def test_how_much_may_overlap_is_the_models_own(iou, count):
    """Half of each in common is a third of both together."""
    made = output(((0, 0, 20, 10), (0.9, 0, 0)), ((10, 0, 30, 10), (0.8, 0, 0)))
    assert len(found(made, DetectionSpec(iou_threshold=iou))) == count


def test_no_more_than_the_most_are_said_the_surest_first_and_equal_ones_in_their_order():
    made = output(*[((30 * n, 0, 30 * n + 20, 20), (0.5 + (n == 3) / 10, 0, 0)) for n in range(10)])
    left = [corners[0] for _, _, corners in found(made, DetectionSpec(max_detections=4))]
    assert left == [90, 0, 30, 60]


@pytest.mark.parametrize("size", [(0, 10), (10, -5)])
def test_a_box_without_an_area_is_no_finding(size):
    made = output((BOX, (0.9, 0, 0)))
    made[2:4, 0] = size
    assert found(made) == []


@pytest.mark.parametrize("score", [1.5, -0.2, 40.0])
def test_scores_that_are_no_scores_are_not_believed(score):
    with pytest.raises(BadModelAnswer, match="between 0 and 1"):
        boxes(output((BOX, (0.9, 0, score))), RULE)


def test_half_precision_may_be_a_little_above_one():
    assert found(output((BOX, (1.0004, 0, 0))))[0][1] == 1.0


def test_an_output_in_which_everything_is_sure_costs_bounded_work():
    """All anchors of all sizes pass, and none overlaps another: the worst case, 300 of them said."""
    places = np.stack(np.meshgrid(np.arange(92), np.arange(92)), -1).reshape(-1, 2)[:8400] * 6.9
    made = np.full((84, 8400), 0.9, np.float32)
    made[:2], made[2:4] = places.T, 3
    rule = DetectionSpec(confidence_threshold=0.01, max_detections=300)
    assert len(found(made, rule)) == 300
    assert MOST_CANDIDATES < 8400
    began = process_time()
    boxes(made, rule)
    assert process_time() - began < 0.5  # 20 ms; all 8400 with each other would be 70 million comparisons


@given(st.integers(0, 2**32 - 1))
def test_what_is_said_is_never_said_twice(seed):
    rng = np.random.default_rng(seed)
    made = rng.uniform(0, 1, (4 + LABELS, 60)).astype(np.float32)
    made[:4] *= 100
    answer = boxes(made, RULE)
    assert (np.diff(answer.scores) <= 0).all()
    assert (answer.scores >= RULE.confidence_threshold).all()
    for one in range(len(answer.scores)):
        for other in range(one):
            if answer.labels[one] == answer.labels[other]:
                assert _iou(answer.corners[one], answer.corners[other]) <= RULE.iou_threshold + 1e-9


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - width * height
    return float(width * height / area)
