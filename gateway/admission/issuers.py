"""Step 1 of 7: the outside issuers whose tokens are taken, as ``policies/access.yaml`` names them.

A token says who its bearer is to its issuer. What that bearer may do here, for which tenant and by which plan, is for
this house's policy alone to say: a scope that is not mapped is not held, a tenant that is not mapped is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StrictInt, StringConstraints, model_validator

from gateway.admission.policy_file import Strict
from gateway.admission.tokens import ALGORITHMS, MAX_LEEWAY_SECONDS, Expected

if TYPE_CHECKING:
    from collections.abc import Mapping

_Text = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?$")]
_Algorithm = Literal["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Mapped(Strict):
    """A claim whose values are translated; one that is not in the table counts as absent.

    Attributes:
        claim: Its name. A string that is not in the table as a whole is split at blanks (RFC 8693 §4.2), a list is
            taken as it is.
        values: Value of the claim to what it means here.
    """

    claim: _Text
    values: dict[_Text, _Text] = Field(min_length=1)

    def read(self, members: Mapping[str, Any]) -> tuple[str, ...]:
        """What the claim's values mean here, in their order, each once."""
        said = members.get(self.claim)
        if isinstance(said, str):
            said = [said] if said in self.values else said.split()
        values = said if isinstance(said, list) else ()
        return tuple(dict.fromkeys(self.values[v] for v in values if isinstance(v, str) and v in self.values))


def _checked_url(url: str, what: str) -> None:
    parsed = urlsplit(url)
    if parsed.scheme != "https" and not (parsed.scheme == "http" and parsed.hostname in _LOOPBACK):
        raise ValueError(f"{what} must be at an https:// URL")
    if parsed.username or parsed.password or parsed.fragment:
        raise ValueError(f"the URL of {what} must hold neither credentials nor a fragment")


class LoginPolicy(Strict):
    """That people may sign in to the console there (OpenID Connect).

    Attributes:
        client_id: This gateway, as the issuer knows it; ``aud`` of its ID tokens.
        authorize: URL of its authorization endpoint.
        token: URL of its token endpoint.
        scope: What is asked for, ``openid`` among it.
    """

    client_id: _Text
    authorize: _Text
    token: _Text
    scope: _Text = "openid"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _checked_url(self.authorize, "the authorization endpoint")
        _checked_url(self.token, "the token endpoint")
        if "openid" not in self.scope.split():
            raise ValueError("scope: openid must be among it")
        return self


class IssuerPolicy(Strict):
    """One issuer.

    Attributes:
        name: How logs and key lists call it.
        issuer: ``iss`` of its tokens.
        audience: ``aud`` that its tokens must have: this gateway, as the issuer knows it.
        jwks: URL of its JWK set.
        algorithms: Those that its keys may use.
        types: ``typ`` of its tokens (RFC 9068: ``at+jwt``).
        lifetime_seconds: Longest that a token of it may live.
        leeway_seconds: By which its clock may differ.
        tenant: The tenant of all its tokens, or a claim that tells.
        roles: Claim values to roles of this house.
        scopes: Claim values to scopes of this house.
        plan: Plan of its bearers.
        login: How people sign in to the console there; None if they do not.
    """

    name: _Name
    issuer: _Text
    audience: _Text
    jwks: _Text
    algorithms: tuple[_Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)
    types: tuple[Literal["at+jwt", "jwt", ""], ...] = Field(default=("at+jwt", "jwt"), min_length=1)
    lifetime_seconds: StrictInt = Field(default=3600, ge=60, le=86_400)
    leeway_seconds: StrictInt = Field(default=30, ge=0, le=MAX_LEEWAY_SECONDS)
    tenant: _Name | Mapped
    roles: Mapped | None = None
    scopes: Mapped | None = None
    plan: _Name
    login: LoginPolicy | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        assert set(self.algorithms) <= set(ALGORITHMS)
        url = urlsplit(self.jwks)
        if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
            raise ValueError(f"{self.name}: the JWK set must be at an https:// URL")
        if url.username or url.password or url.fragment:
            raise ValueError(f"{self.name}: the URL of the JWK set must hold neither credentials nor a fragment")
        if self.roles is None and self.scopes is None:
            raise ValueError(f"{self.name}: maps neither roles nor scopes, so its tokens could do nothing")
        return self

    @property
    def expected(self) -> Expected:
        """What its tokens must say."""
        return Expected(self.issuer, self.audience, frozenset(self.types), self.lifetime_seconds, self.leeway_seconds)

    def tenant_of(self, members: Mapping[str, Any]) -> str | None:
        """The tenant of a token; None if the policy names none, or the token several."""
        if isinstance(self.tenant, str):
            return self.tenant
        named = self.tenant.read(members)
        return named[0] if len(named) == 1 else None

    def serves(self, tenant: str) -> bool:
        """Whether a token of it can be of this tenant."""
        return tenant in ([self.tenant] if isinstance(self.tenant, str) else self.tenant.values.values())
