"""Structured fields as RFC 9651 writes them."""

from __future__ import annotations

import pytest

from gateway.respond.fields import CUT, MAX_BYTES, dictionary, digest


@pytest.mark.parametrize(
    ("members", "written"),
    [
        ({"policy": "basic"}, 'policy="basic"'),
        ({"quoted": 'a "b" \\ c'}, 'quoted="a \\"b\\" \\\\ c"'),
        ({"frames": 3, "none": 0}, "frames=3, none=0"),
        ({"share": 0.0312, "all": 1.0, "half": 0.5}, "share=0.031, all=1.0, half=0.5"),
        ({"yes": True, "no": False}, "yes, no=?0"),
        ({"methods": ["113100", "113101"]}, 'methods=("113100" "113101")'),
        ({"actions": {"removed": 31, "uid": 6}}, 'actions=("removed";n=31 "uid";n=6)'),
        ({"empty": [], "nothing": {}}, "empty=(), nothing=()"),
        ({"absent": None, "there": 1}, "there=1"),
        ({}, ""),
    ],
)
def test_each_type_in_its_form(members, written):
    assert dictionary(members) == written


@pytest.mark.parametrize("value", ["Müller", "two\nlines", "\x7f", 10**15, 1e12, object(), [["nested"]]])
def test_what_a_field_cannot_hold_is_an_error_and_not_sent(value):
    with pytest.raises(ValueError, match="cannot hold"):
        dictionary({"member": value})


def test_a_field_is_never_longer_than_its_bound_and_says_what_it_left_out():
    for groups in range(0, 700, 7):
        members = {"policy": "basic", "groups": {f"{group:04X}": group for group in range(groups)}, "regions": 2}
        written = dictionary(members)
        assert len(written) <= MAX_BYTES
        if written.endswith(CUT):
            assert written == 'policy="basic", cut'
        else:
            assert written.endswith("regions=2")
    assert written.endswith(CUT)


def test_a_digest_is_a_byte_sequence():
    # RFC 9530, appendix: of the empty content
    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert digest(empty) == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
