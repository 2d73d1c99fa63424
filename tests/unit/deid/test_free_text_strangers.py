"""Names that no list has, and addresses as other countries write them."""

from __future__ import annotations

import pytest

from gateway.deid.free_text import REMOVED, FreeText
from gateway.deid.identifiers import Identifiers

TEXT = FreeText()


def clean(text: str, *names: str) -> str:
    known = Identifiers(words={name.casefold() for name in names})
    return TEXT.clean(text, known).text.replace(REMOVED, "_")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("no acute finding, QWOBTARI MEHLVIS", "no acute finding, _"),
        ("seen with Mehlvis Al-Qwobtari", "seen with _"),
        ("CT THORAX PRV, QWOBTARI", "CT THORAX PRV, QWOBTARI"),
        ("status unchanged PRV, MEHLVIS", "status unchanged PRV, _"),
    ],
)
def test_what_stands_beside_the_instances_own_name_is_its_other_part(text, cleaned):
    assert clean(text, "Mehlvis") == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Bell palsy; images requested for Qwobtari again", "Bell palsy; images requested for _ again"),
        ("stable lesion Qwobtari", "stable lesion _"),
        ("T. Qwobtari: low-grade glioma", "_: low-grade glioma"),
        ("lesion near the Qwobtari ligament", "lesion near the Qwobtari ligament"),
        ("pointing to the A. Qwobtaria", "pointing to the A. Qwobtaria"),
        ("NHC 1533K. Qwobtari de Foley", "NHC _. Qwobtari de Foley"),
    ],
)
def test_a_capital_in_the_middle_of_prose_is_a_name_unless_medicine_follows(text, cleaned):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "address",
    [
        "P.O. Box 6476, Qwobheim",
        "Postfach 1201",
        "Qwobkuja 9 B 12, 11949 Mehlborg",
        "Qwob Road 27, Mehlborg",
        "Qwobkuja, 32, 4466-201 Mehlborg",
    ],
)
def test_addresses_go_however_they_are_written(address):
    assert clean(f"no fracture, letter to {address}").startswith("no fracture, letter to _")
    assert "ehlborg" not in clean(f"no fracture, letter to {address}")


def test_measures_between_words_are_no_address():
    for text in ("TE 12, 1500 msec", "Kernel 3, 2048 matrix", "echo train 9, 5000 readings"):
        assert clean(text) == text
