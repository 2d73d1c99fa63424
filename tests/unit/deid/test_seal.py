"""The type check behind the privacy promise: only gateway.deid.engine makes a SanitizedImage or SanitizedObject."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gateway.deid.image import Pseudonyms, SanitizedImage, SanitizedObject
from gateway.deid.report import DeidReport
from gateway.ingest.upload import MediaType

ROOT = Path(__file__).parents[3]
SOURCES = [path for package in ("gateway", "inference_client") for path in (ROOT / package).rglob("*.py")]


def _names(path: Path) -> set[str]:
    """Every name that a module reads, imports or reaches for by attribute or string."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                found.add(name)
            case ast.Constant(value=str(text)) if text.isidentifier():
                found.add(text)
    return found


def _calls(path: Path) -> set[str]:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return {
        func.id if isinstance(func, ast.Name) else func.attr
        for func in calls
        if isinstance(func, ast.Name | ast.Attribute)
    }


def _where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_only_the_engine_takes_the_seal():
    assert len(SOURCES) > 20
    assert {_where(path) for path in SOURCES if "_SEAL" in _names(path)} == {
        "gateway/deid/image.py",
        "gateway/deid/engine.py",
    }


@pytest.mark.parametrize("kind", ["SanitizedImage", "SanitizedObject"])
def test_only_the_engine_constructs_one(kind):
    assert {_where(path) for path in SOURCES if kind in _calls(path)} == {"gateway/deid/engine.py"}


def test_nothing_copies_or_unpickles_its_way_around_the_seal():
    users = {
        _where(path)
        for path in SOURCES
        if _names(path) & {"SanitizedImage", "SanitizedObject"} and _calls(path) & {"replace", "copy", "__new__"}
    }
    assert users == set()


@pytest.mark.parametrize("seal", [None, object(), "seal"])
def test_another_seal_is_refused(seal):
    with pytest.raises(TypeError, match=r"only gateway\.deid\.engine"):
        SanitizedImage((), (), 0, None, None, Pseudonyms(), DeidReport("p", "d"), None, (), seal)
    with pytest.raises(TypeError, match=r"only gateway\.deid\.engine"):
        SanitizedObject(b"", MediaType.PNG, None, Pseudonyms(), DeidReport("p", "d"), seal)
