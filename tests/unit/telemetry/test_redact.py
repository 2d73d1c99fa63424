"""What may stand in a log line."""

from __future__ import annotations

import enum

import numpy as np
import pytest
from pydicom.dataset import Dataset

from gateway.telemetry.redact import MAX_ITEMS, MAX_TEXT, described, redact, shown

CANARY = "ZqxjKw"


@pytest.mark.parametrize(
    "key", ["authorization", "Authorization", "X-API-Key", "address", "path", "raw_path", "filename", "query", "cookie"]
)
def test_keys_that_are_dropped(key):
    assert redact(None, "info", {"event": "x", key: CANARY, "nested": {key: CANARY}}) == {"event": "x", "nested": {}}


@pytest.mark.parametrize(
    "value", [CANARY.encode(), bytearray(CANARY.encode()), memoryview(CANARY.encode()), object(), ValueError(CANARY)]
)
def test_types_that_are_not_shown(value):
    assert CANARY not in repr(shown(value))


def test_images_and_datasets_are_not_shown():
    dataset = Dataset()
    dataset.PatientName = CANARY
    assert shown(dataset) == "<Dataset>"
    assert shown(np.zeros(3)) == "<ndarray>"
    assert shown([dataset, {"x": dataset}]) == ["<Dataset>", {"x": "<Dataset>"}]


def test_ordinary_values_are_shown():
    class Colour(enum.Enum):
        RED = "red"

    values = {"a": 1, "b": 0.5, "c": None, "d": True, "e": "text", "f": Colour.RED, "g": ["x", ("y",)]}
    assert redact(None, "info", dict(values)) == values | {"f": "red", "g": ["x", ["y"]]}


def test_long_and_deep_values_are_cut():
    assert len(shown("x" * 10_000)) == MAX_TEXT + 1
    assert len(shown(list(range(10_000)))) == MAX_ITEMS
    assert shown(2**60) == "<int>"
    assert shown({"a": {"b": {"c": {"d": CANARY}}}}) == {"a": {"b": {"c": "<dict>"}}}


def test_a_line_cannot_be_forged():
    assert "\n" not in shown('fine\n{"event": "forged"}')
    assert "\x1b" not in shown("\x1b[2J")
    assert shown("\ud800").isprintable()


def test_an_exception_is_its_type_and_places():
    def inner() -> None:
        secret = CANARY  # a local, as a traceback with locals would print
        raise KeyError(secret)

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError(f"bad {CANARY}") from error

    with pytest.raises(ValueError, match=CANARY) as caught:
        outer()
    chain = described(caught.value)
    assert [line.split(" at ")[0] for line in chain] == ["builtins.ValueError", "builtins.KeyError"]
    assert all("test_redact.py:" in line for line in chain)
    assert CANARY not in str(chain)
