"""The de-identification policies on offer: the installation's own, and those that the access policy has a scope for.

A request may name a policy. The scope ``deidentify`` allows the installation's own one, ``DEID_POLICY``; another one
needs a scope of its own as well: ``deidentify:research`` allows the file ``research.yaml`` beside it. A policy without
a scope in ``policies/access.yaml`` is not offered, whoever asks; so nobody picks a weaker one than was granted.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Self

from gateway.deid.policy import load_policy
from gateway.errors import Forbidden, InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gateway.settings import DeidSettings

SCOPE = "deidentify"


class DeidPolicies:
    """Names to settings.

    Args:
        own: Name of the installation's own policy, which is meant where a request names none.
        named: Name to settings, the own one included.
        contents: Name to the file's bytes.
    """

    def __init__(self, own: str, named: Mapping[str, DeidSettings], contents: Mapping[str, bytes]) -> None:
        self.own = own
        self.contents = dict(contents)
        self.digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        self._named = dict(named)

    @property
    def files(self) -> dict[str, Path]:
        """Name to file."""
        return {name: settings.policy for name, settings in self._named.items()}

    @classmethod
    def load(cls, settings: DeidSettings, scopes: Iterable[str]) -> Self:
        """Read and check every policy on offer, so that a mistake in one stops the start and not a request.

        Args:
            settings: With the path of the installation's own policy.
            scopes: All that the access policy declares.

        Raises:
            ValueError: Names the file and what is wrong in it, or the scope that has no file.
        """
        own, content = load_policy(settings.policy)
        named, contents = {own.name: settings}, {own.name: content}
        for name in sorted(scope.removeprefix(f"{SCOPE}:") for scope in scopes if scope.startswith(f"{SCOPE}:")):
            if name == own.name:  # its scope is declared, and not needed: it is this installation's own
                continue
            path = settings.policy.with_name(f"{name}.yaml")
            policy, contents[name] = load_policy(path)
            if policy.name != name:
                raise ValueError(f"{path}: name: must be {name}, as the file and the scope {SCOPE}:{name} say")
            named[name] = settings.model_copy(update={"policy": path})
        return cls(own.name, named, contents)

    def resolve(self, name: str | None, scopes: frozenset[str]) -> DeidSettings:
        """The policy that is asked for.

        Args:
            name: As the caller gave it; None is the installation's own.
            scopes: The caller's.

        Raises:
            InvalidParameter: It is not offered here.
            Forbidden: The caller lacks its scope; the detail names it.
        """
        if name is None or name == self.own:
            return self._named[self.own]
        if name not in self._named:
            offered = ", ".join(sorted(self._named))
            raise InvalidParameter(f"There is no such policy; there are: {offered}", parameter="policy")
        scope = f"{SCOPE}:{name}"
        if scope not in scopes:
            raise Forbidden(f"This policy needs the scope {scope}", scope=scope)
        return self._named[name]
