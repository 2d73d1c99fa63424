from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.keys import KeyMaker, parse
from tests.support.keys import MAKER


def test_an_issued_key_is_well_formed_and_matches_its_digest() -> None:
    issued = MAKER.issue()
    presented = parse(issued.text)

    assert re.fullmatch(r"cdn_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", issued.text)
    assert presented is not None
    assert presented.key_id == issued.key_id
    assert re.fullmatch(r"key_[0-9A-Za-z]{12}", issued.key_id)
    assert MAKER.matches(presented, issued.digest)


def test_no_two_keys_are_alike() -> None:
    keys = [MAKER.issue() for _ in range(200)]
    assert len({key.key_id for key in keys}) == len({key.text for key in keys}) == 200


def test_the_digest_is_hmac_sha256_under_the_pepper() -> None:
    pepper = b"p" * 32
    issued = KeyMaker(pepper).issue()
    assert issued.digest == hmac.new(pepper, issued.text.encode(), hashlib.sha256).digest()


def test_another_pepper_does_not_match() -> None:
    issued = MAKER.issue()
    presented = parse(issued.text)
    assert presented is not None
    assert not KeyMaker(b"another pepper of thirty-two bytes!").matches(presented, issued.digest)


def test_rotation_keeps_the_public_id_and_changes_the_secret() -> None:
    first = MAKER.issue()
    second = MAKER.issue(first.key_id)
    assert second.key_id == first.key_id
    assert second.text != first.text
    assert second.digest != first.digest


def test_no_repr_shows_the_secret() -> None:
    issued = MAKER.issue()
    presented = parse(issued.text)
    shown = repr(issued) + repr(presented) + str(issued) + repr(MAKER)
    assert issued.text not in shown
    assert issued.text[17:29] not in shown
    assert "pepper" not in shown


def test_a_short_pepper_is_refused_with_the_name_of_its_setting() -> None:
    with pytest.raises(ValueError, match="ADMISSION_KEY_PEPPER"):
        KeyMaker(b"p" * 31)


@given(st.integers(0, 65), st.sampled_from("0123456789ABCxyz_-"))
def test_a_key_with_one_character_changed_is_refused(position: int, character: str) -> None:
    text = MAKER.issue().text
    changed = text[:position] + character + text[position + 1 :]
    assert (parse(changed) is not None) == (changed == text)


@given(st.text(max_size=80))
def test_other_text_is_refused(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("change", ["{}\n", " {}", "{}x", "{}\0", "{}{}"])
def test_a_key_with_anything_around_it_is_refused(change: str) -> None:
    text = MAKER.issue().text
    assert parse(change.format(text, text)) is None


def test_a_key_with_foreign_digits_is_refused() -> None:
    text = MAKER.issue().text
    assert parse(text[:20] + "\u0663" + text[21:]) is None
