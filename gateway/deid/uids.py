"""Step 3 of 7: stand-ins that are the same on every worker and after every restart, with no stored map.

Every stand-in is HMAC-SHA-256 (RFC 2104) under a key of its tenant and purpose, derived from the one secret
``DEID_KEY`` in the manner of HKDF-Expand (RFC 5869 §2.3): the same input under the same key gives the same output; two
tenants' outputs cannot be linked; without the key nothing can be turned back or tried out.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, field

from pydicom._uid_dict import UID_dictionary

_LABEL = b"cordon de-identification 1"
MIN_KEY_BYTES = 32


def _expand(key: bytes, *info: bytes) -> bytes:
    """32 bytes for one purpose. Every part is preceded by its length, so that no two lists of parts read alike."""
    message = b"".join([len(part).to_bytes(4, "big") + part for part in (_LABEL, *info)])
    return hmac.digest(key, message + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class StandIns:
    """One tenant's stand-ins."""

    _uid_key: bytes = field(repr=False)
    _patient_key: bytes = field(repr=False)
    _accession_key: bytes = field(repr=False)
    _shift_key: bytes = field(repr=False)
    _device_key: bytes = field(repr=False)

    @classmethod
    def of(cls, key: bytes, tenant: str) -> StandIns:
        """Derive a tenant's keys from the installation's."""
        tenant_key = _expand(key, b"tenant", tenant.encode())
        purposes = (b"uid", b"patient", b"accession", b"date shift", b"device")
        return cls(*(_expand(tenant_key, purpose) for purpose in purposes))

    def uid(self, original: str) -> str:
        """A UID of the form ``2.25.`` and a 128-bit number (PS3.5 B.2); one of the standard's own is kept as it is.

        The standard's own (SOP classes, transfer syntaxes, well-known frames of reference) say what, not whose.
        """
        original = original.strip(" \0")
        if not original or original in UID_dictionary:
            return original
        return f"2.25.{int.from_bytes(_expand(self._uid_key, original.encode())[:16], 'big')}"

    def patient(self, patient_id: str, issuer: str) -> str | None:
        """24 characters for a Patient ID and its issuer; None without an ID."""
        patient_id, issuer = patient_id.strip(" \0"), issuer.strip(" \0")
        if not patient_id:
            return None
        return base64.b32encode(_expand(self._patient_key, patient_id.encode(), issuer.encode())[:15]).decode()

    def accession(self, number: str) -> str:
        """16 characters, which is what SH can hold, for an Accession Number; none for none."""
        number = number.strip(" \0")
        return base64.b32encode(_expand(self._accession_key, number.encode())[:10]).decode() if number else ""

    def device(self, title: str) -> str:
        """An AE title of 16 characters for one that may name its place; none for none."""
        title = title.strip(" \0")
        return base64.b32encode(_expand(self._device_key, title.encode())[:10]).decode() if title else ""

    def days(self, patient_id: str, issuer: str, least: int, most: int) -> int:
        """How many days a patient's dates move back: ``least`` to ``most``, each as likely as the others."""
        drawn = _expand(self._shift_key, patient_id.strip(" \0").encode(), issuer.strip(" \0").encode())
        return least + int.from_bytes(drawn, "big") % (most - least + 1)
