"""Step 2: which frames are wanted."""

import pickle

import pytest

from gateway.errors import ImageTooLarge, InvalidParameter
from gateway.ingest.frames import FrameSelection


@pytest.mark.parametrize(
    ("text", "total", "numbers"),
    [
        (None, 3, (1, 2, 3)),
        ("all", 1, (1,)),
        ("middle", 1, (1,)),
        ("middle", 2, (1,)),
        ("middle", 9, (5,)),
        ("middle", 10, (5,)),
        ("9,1,5,5", 9, (1, 5, 9)),
        ("7", 7, (7,)),
    ],
)
def test_a_wish_becomes_frame_numbers(text: str | None, total: int, numbers: tuple[int, ...]) -> None:
    assert FrameSelection.parse(text).resolve(total, limit=16) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ALL",
        "0",
        "01",
        "-1",
        "1,",
        ",1",
        "1,,2",
        "1 ,2",
        "1;2",
        "1-3",
        "1.5",
        "²",
        "\u0661",
        "1" * 7,
        "1," * 200 + "1",
        "all\n",
    ],
)
def test_anything_else_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        FrameSelection.parse(text)
    assert refusal.value.detail == "frames takes: all, middle, or frame numbers from 1 such as 1,5,9"


def test_a_frame_beyond_the_last_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        FrameSelection.parse("2").resolve(1, limit=16)


def test_all_of_too_many_says_how_to_choose() -> None:
    with pytest.raises(ImageTooLarge, match="frames=middle"):
        FrameSelection.parse("all").resolve(2**40, limit=16)


def test_too_many_named_frames_are_refused() -> None:
    with pytest.raises(ImageTooLarge):
        FrameSelection.parse("1,2,3").resolve(3, limit=2)


def test_a_selection_can_be_a_key_and_travel_between_processes() -> None:
    selection = FrameSelection.parse("5,1")
    assert pickle.loads(pickle.dumps(selection)) == selection
    assert len({selection, FrameSelection.parse("1,5")}) == 1
