"""Step 3 of 7: what de-identification did. Counts, tag groups and codes; never a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DeidReport:
    """Goes into the answer, and into the audit record.

    Attributes:
        policy: Name of the policy.
        policy_digest: SHA-256 of the policy file and the tables it rests on, hex.
        methods: CID 7050 codes of what was applied, e.g. ``113100``.
        actions: Action name (``removed``, ``emptied``, ``replaced``, ``uid``, ``private``, ``overlay``, ``metadata``,
            ...) to how many elements (for rasters: metadata segments).
        groups: Tag group in hex (``0010``) or raster segment kind (``exif``) to how many elements it lost or had
            changed.
        text_found: Kind of identifier (``name``, ``id``, ``date``, ...) to how many were taken out of free text.
        frames_looked_at: Distinct frames that the text detector saw.
        regions_masked: Text regions masked in them.
        masked_share: Largest share of one frame's area that was masked, 0 to 1.
        seconds_text: Time that the look for text took.
    """

    policy: str
    policy_digest: str
    methods: tuple[str, ...] = ()
    actions: dict[str, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    text_found: dict[str, int] = field(default_factory=dict)
    frames_looked_at: int = 0
    regions_masked: int = 0
    masked_share: float = 0.0
    seconds_text: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self) | {
            "methods": list(self.methods),
            "masked_share": round(self.masked_share, 4),
            "seconds_text": round(self.seconds_text, 4),
        }
