"""Step 1 of 7: what a caller may do. The table is ``policies/access.yaml``; what is not in it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from pydantic import Field, StrictBool, StrictInt, StringConstraints, model_validator

from gateway.admission.break_glass import BreakGlass
from gateway.admission.four_eyes import FourEyes
from gateway.admission.issuers import IssuerPolicy  # noqa: TC001 - read when the model is made
from gateway.admission.policy_file import Strict, load_policy
from gateway.errors import Forbidden, InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gateway.admission.principal import Principal

_Scope = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}(:[a-z][a-z0-9-]{0,31})?$")]
_SmartScope = Annotated[str, StringConstraints(pattern=r"^system/[A-Za-z*]{1,64}\.[a-z]{1,8}$")]
_Role = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
_Template = Annotated[
    str, StringConstraints(pattern=r"^(GET|POST|PUT|PATCH|DELETE) /([A-Za-z0-9_.-]+|\{[a-z_]+\}|/)*$")
]

ANY = "any"
"""In place of a scope: a good credential is enough, whatever it may do."""

_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
_SEGMENT = "[A-Za-z0-9_.~-]{1,128}"  # RFC 3986 unreserved: an ID never needs more


class Holder(Protocol):
    """Someone with scopes."""

    @property
    def scopes(self) -> frozenset[str]:
        """What they may do."""


@dataclass(frozen=True, slots=True)
class RouteRule:
    """What one route asks of its caller.

    Attributes:
        route: Its template, ``POST /v1/predict``; what logs and records name, never the raw path.
        scope: The scope that a caller needs; ``ANY`` is any caller who is known, None anyone.
        body: Whether it takes a body.
        cost: What one request is charged to the caller's windows.
        switchable: Whether it is off while everything is switched off.
        session: Whether its credential is the console's session; else it is a key or a token.
    """

    route: str
    scope: str | None
    body: bool = False
    cost: int = 1
    switchable: bool = False
    session: bool = False
    pattern: re.Pattern[str] = field(default=re.compile(""), repr=False, compare=False)


class _Route(Strict):
    route: _Template
    scope: _Scope | None = None
    open: StrictBool = False
    open_when: Literal["docs"] | None = None
    body: StrictBool = False
    cost: StrictInt = Field(default=1, ge=1, le=10_000)
    switchable: StrictBool = False
    session: StrictBool = False

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if self.open == (self.scope is not None):
            raise ValueError(f"{self.route}: needs either a scope or 'open: true'")
        if self.open and self.open_when:
            raise ValueError(f"{self.route}: 'open: true' and 'open_when' exclude each other")
        if self.session and (self.open or self.open_when):
            raise ValueError(f"{self.route}: 'session: true' needs a scope, and is never open")
        return self

    def rule(self, *, docs: bool) -> RouteRule:
        method, path = self.route.split(" ", 1)
        parts = (re.escape(part) for part in _PLACEHOLDER.split(path))
        opened = self.open_when == "docs" and docs
        pattern = re.compile(re.escape(method) + " " + _SEGMENT.join(parts))
        scope = None if opened else self.scope
        return RouteRule(self.route, scope, self.body, self.cost, self.switchable, self.session, pattern)


class _File(Strict):
    scopes: dict[_Scope, str] = Field(min_length=1)
    roles: dict[_Role, tuple[_Scope, ...]] = Field(min_length=1)
    grantable: tuple[_Scope, ...] = ()
    smart_scopes: dict[_SmartScope, _Scope] = Field(default_factory=dict)
    four_eyes: FourEyes = FourEyes()
    break_glass: BreakGlass = BreakGlass()
    issuers: tuple[IssuerPolicy, ...] = ()
    routes: tuple[_Route, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        used = {scope: f"roles.{role}" for role, scopes in self.roles.items() for scope in scopes}
        for issuer in self.issuers:
            used |= dict.fromkeys(issuer.scopes.values.values() if issuer.scopes else (), f"issuers.{issuer.name}")
            for role in issuer.roles.values.values() if issuer.roles else ():
                if role not in self.roles:
                    raise ValueError(f"issuers.{issuer.name}: the role {role!r} is not declared under 'roles'")
        for what in ("name", "issuer"):
            said = [getattr(issuer, what) for issuer in self.issuers]
            if len(set(said)) < len(said):
                raise ValueError(f"issuers: two have the same {what}")
        used |= dict.fromkeys(self.grantable, "grantable")
        used |= dict.fromkeys(self.smart_scopes.values(), "smart_scopes")
        used |= dict.fromkeys(self.four_eyes.scopes, "four_eyes")
        used |= dict.fromkeys(self.break_glass.scopes, "break_glass")
        used |= {route.scope: route.route for route in self.routes if route.scope and route.scope != ANY}
        if ANY in self.scopes:
            raise ValueError(f"scopes: {ANY!r} stands for every good credential, and is no scope")
        for scope, where in used.items():
            if scope not in self.scopes:
                raise ValueError(f"{where}: the scope {scope!r} is not declared under 'scopes'")
        shapes = [_PLACEHOLDER.sub("{}", route.route) for route in self.routes]
        for position, shape in enumerate(shapes):
            if shape in shapes[:position]:
                raise ValueError(f"{self.routes[position].route}: stands twice")
        return self


class AccessPolicy:
    """Roles, scopes and routes.

    Args:
        scopes: Every scope, with what it allows.
        roles: Names for sets of scopes; a key is issued with the scopes of its role.
        grantable: Scopes that whoever may issue keys may give without holding them.
        rules: In the order of the file; the first match holds.
        issuers: Outside issuers whose tokens are taken.
        four_eyes: Which keys need a second pair of eyes.
        break_glass: What a key for an emergency may be.
        smart_scopes: Scopes of SMART App Launch to ours, for clients that ask for tokens by those names.
    """

    def __init__(
        self,
        scopes: dict[str, str],
        roles: dict[str, frozenset[str]],
        grantable: Iterable[str],
        rules: Iterable[RouteRule],
        issuers: Iterable[IssuerPolicy] = (),
        *,
        four_eyes: FourEyes | None = None,
        break_glass: BreakGlass | None = None,
        smart_scopes: dict[str, str] | None = None,
    ) -> None:
        self.scopes = dict(scopes)
        self.roles = dict(roles)
        self.grantable = frozenset(grantable)
        self.four_eyes = four_eyes or FourEyes()
        self.break_glass = break_glass or BreakGlass()
        self.smart_scopes = dict(smart_scopes or {})
        self.issuers = {issuer.name: issuer for issuer in issuers}
        self._rules = tuple(rules)
        # Most requests meet a route without placeholders: a look-up, not a walk.
        self._plain = {rule.route: rule for rule in self._rules if "{" not in rule.route}
        self._templates = tuple(rule for rule in self._rules if "{" in rule.route)

    @classmethod
    def load(cls, path: Path, *, docs: bool = False) -> AccessPolicy:
        """Read ``policies/access.yaml``.

        Args:
            path: The file.
            docs: ``HTTP_DOCS``: open the routes that are marked ``open_when: docs``.

        Raises:
            ValueError: The message names the file and each fault in it.
        """
        file = load_policy(path, _File)
        roles = {role: frozenset(scopes) for role, scopes in file.roles.items()}
        rules = (route.rule(docs=docs) for route in file.routes)
        return cls(
            file.scopes,
            roles,
            file.grantable,
            rules,
            file.issuers,
            four_eyes=file.four_eyes,
            break_glass=file.break_glass,
            smart_scopes=file.smart_scopes,
        )

    def match(self, method: str, path: str) -> RouteRule | None:
        """The rule of this request, or None: what is not listed is refused.

        Args:
            method: As it came, in capitals.
            path: Percent-decoded, as ASGI gives it, without the query.
        """
        wanted = f"{method} {path}"
        if (plain := self._plain.get(wanted)) is not None:
            return plain
        return next((rule for rule in self._templates if rule.pattern.fullmatch(wanted)), None)

    def methods(self, path: str) -> frozenset[str]:
        """The methods that this path has: empty is 404, others than the request's is 405 with ``Allow``."""
        return frozenset(
            method for method in ("GET", "POST", "PUT", "PATCH", "DELETE") if self.match(method, path) is not None
        )

    def __iter__(self) -> Iterator[RouteRule]:
        """All rules, so that a test can hold them against the application's routes."""
        return iter(self._rules)

    def check(self, principal: Principal, rule: RouteRule) -> None:
        """Let the caller pass, or not.

        Raises:
            Forbidden: The rule's scope is missing; the detail names it.
        """
        if rule.scope not in (None, ANY) and rule.scope not in principal.scopes:
            raise Forbidden(f"This needs the scope {rule.scope}", scope=rule.scope)

    def check_grant(self, principal: Holder, scopes: Iterable[str]) -> None:
        """Let the caller hand out these scopes, or not: else ``keys:write`` alone would open every door.

        Giving a key a new secret hands out its scopes as issuing one does.

        Raises:
            Forbidden: The caller does not hold one of them, and it is not grantable; the detail names it.
        """
        for scope in sorted(frozenset(scopes) - self.grantable - principal.scopes):
            raise Forbidden(f"Only a holder of the scope {scope} may give it to a key", scope=scope)

    def may_grant(self, principal: Holder, scopes: Iterable[str]) -> bool:
        """The same as a question."""
        return self.grantable.union(principal.scopes).issuperset(scopes)

    def expand(self, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> frozenset[str]:
        """The scopes of these roles and these scopes together, for a key that is to be issued.

        Raises:
            InvalidParameter: One of them is not declared.
        """
        granted: set[str] = set()
        for role in roles:
            if role not in self.roles:
                raise InvalidParameter(f"No such role; there are: {', '.join(sorted(self.roles))}", parameter="role")
            granted |= self.roles[role]
        for scope in scopes:
            if scope not in self.scopes:
                raise InvalidParameter(f"No such scope; there are: {', '.join(sorted(self.scopes))}", parameter="scope")
            granted.add(scope)
        return frozenset(granted)
