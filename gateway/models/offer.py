"""Around step 5 of 7: one model with all of its versions, as ``policies/models.yaml`` offers it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import UnknownVersion

if TYPE_CHECKING:
    from gateway.models.spec import ModelSpec
    from inference_client.routing import Route


@dataclass(frozen=True, slots=True)
class Offer:
    """One model.

    Attributes:
        name: Its name.
        versions: Version to what is known of it.
        route: Who answers, as the file says; what holds now is ``routes.py``'s to say.
    """

    name: str
    versions: dict[str, ModelSpec]
    route: Route

    @property
    def main(self) -> ModelSpec:
        """The version that answers most by the file; input, labels, task and fitness are the same for all."""
        return self.versions[self.route.main]

    def version(self, wanted: str) -> ModelSpec:
        """One version. Raises UnknownVersion for one that is not on offer."""
        found = self.versions.get(wanted)
        if found is None:
            raise UnknownVersion("That version of the model is not on offer")
        return found

    @property
    def digest(self) -> str:
        """SHA-256, hex, of what the file says about versions: another one is another decision of its writer."""
        said = {
            "versions": {version: [spec.digest, self.route.shares[version]] for version, spec in self.versions.items()},
            "shadow": [self.route.shadow, self.route.shadow_share],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
