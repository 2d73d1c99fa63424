"""The schema of audit messages: DICOM PS3.15 A.5.1.1."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("dicom_audit.rng")))
