"""Step 5 of 7: which version of a model answers, and which one is given a copy.

    key ─▶ a point from 0 to 99 ─▶ the version whose share the point lies in

The key is what must always meet the same version, a patient for example: no clock and no chance is in it, so every
process picks alike, and the same picture asked for again is answered alike. The newest version's share begins at 0:
when it grows, whoever met that version before still does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """How one model's requests are spread over its versions.

    Attributes:
        shares: Version to percent of the keys, together 100.
        shadow: Version that is given copies; empty for none.
        shadow_share: Percent of the requests that are copied.
    """

    shares: dict[str, int]
    shadow: str = ""
    shadow_share: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError if the shares are not 100 together, or one is out of range."""
        if sum(self.shares.values()) != 100 or any(share < 0 for share in self.shares.values()):
            raise ValueError("the shares must be 0 or more, and 100 together")
        if not 0 <= self.shadow_share <= 100:
            raise ValueError("the shadow's share must be 0 to 100")

    @property
    def serving(self) -> dict[str, int]:
        """The versions that answer somebody, the newest first."""
        return {
            version: self.shares[version]
            for version in sorted(self.shares, key=int, reverse=True)
            if self.shares[version]
        }

    @property
    def main(self) -> str:
        """The version that answers most; of equals the older one."""
        return max(reversed(self.serving.items()), key=lambda each: each[1])[0]

    def pick(self, model: str, key: str) -> str:
        """The version that answers for this key.

        Another newest version draws another order of the keys, so that not the same ones go first each time.
        """
        serving = self.serving
        if len(serving) == 1:
            return self.main
        left = _point("serve", model, next(iter(serving)), key)
        for version, share in serving.items():
            if left < share:
                return version
            left -= share
        raise AssertionError("the shares are 100 together")

    def copies(self, model: str, request_id: str, answered_by: str) -> bool:
        """Whether the shadow is given a copy of this request."""
        if not self.shadow or self.shadow == answered_by:
            return False
        return _point("shadow", model, self.shadow, request_id) < self.shadow_share


def _point(*words: str) -> int:
    """Evenly from 0 to 99."""
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") * 100 >> 64
