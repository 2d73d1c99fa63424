"""dicom-validator without a download: its checks of modules and types, on the tables of PS3.3 that highdicom ships.

dicom-validator makes its tables from the DocBook of the standard, which it fetches. highdicom has which modules an IOD
has, and which attributes, of which type, a module has, at every depth. Conditions are in neither form: conditional
modules count as optional, and 1C and 2C attributes are checked where they are.
"""

from __future__ import annotations

import json
import logging
import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import tag_for_keyword

if TYPE_CHECKING:
    from pathlib import Path


@cache
def _validator() -> Any:
    from dicom_validator.validator.dicom_file_validator import DicomFileValidator
    from dicom_validator.validator.dicom_info import DicomInfo

    classes, iods, modules = (
        json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text("utf-8"))
        for name in ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    )
    known = {
        uid: {"title": iod, "modules": {row["key"]: _use(row) for row in iods[iod]}, "group_macros": {}}
        for uid, iod in classes.items()
    }
    words = {
        _shown(tag): {"name": row[2], "vr": row[0], "vm": row[1], "prop": ""} for tag, row in DicomDictionary.items()
    }
    info = DicomInfo(words, known, {name: _attributes(rows) for name, rows in modules.items()})
    return DicomFileValidator(info, log_level=logging.CRITICAL, force_read=True)


def _use(row: dict[str, str]) -> dict[str, str]:
    return {"ref": row["key"], "use": "U" if row["usage"] == "C" else row["usage"]}


def _attributes(rows: list[dict[str, Any]]) -> dict[str, Any]:
    places: dict[tuple[str, ...], dict[str, Any]] = {(): {}}
    parents = {tuple(row["path"]) for row in rows}
    for row in sorted(rows, key=lambda row: len(row["path"])):
        tag, above = tag_for_keyword(row["keyword"]), tuple(row["path"])
        if tag is None or above not in places:
            continue
        attribute = places[above][_shown(tag)] = {"name": row["keyword"], "type": row["type"]}
        if (here := (*above, row["keyword"])) in parents:
            attribute["items"] = places[here] = {}
    return places[()]


def _shown(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def errors(path: Path) -> set[tuple[str, str, str]]:
    """Module, tag and kind of every error that dicom-validator finds in a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            (result,) = _validator().validate(path).values()
        finally:
            logging.disable(logging.NOTSET)
    return {
        (module, str(tag), error.code.name)
        for module, found in (result.module_errors or {}).items()
        for tag, error in found.items()
    } | ({("file", "", result.status.name)} if result.status.name not in {"Passed", "Failed"} else set())
