"""Step 1 of 7: people who sign in to the console at an outside issuer: OpenID Connect, authorization code with PKCE.

    begin   state, nonce and verifier in a cookie that is sealed ─▶ the browser goes to the issuer
    finish  the cookie, the state ─▶ the code for an ID token ─▶ signature, audience, nonce ─▶ tenant, roles and scopes

What the token makes of someone is for the access policy to say, by the same tables as for bearers of tokens. A session
holds what the policy made of the claims, sealed under the installation's secret, so that whoever can write to Redis
can make nobody a session; the policy of now is applied to it by each request.
Sources: OpenID Connect Core 1.0 §3.1, RFC 7636 (PKCE, S256), RFC 9207 (``iss`` in the answer), RFC 9700 §2.1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

from gateway.admission.authenticate import CredentialRefused
from gateway.admission.principal import Principal
from gateway.admission.tokens import Expected, TokenRefused, look, verify
from gateway.errors import NotFound, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from gateway.admission.access import AccessPolicy
    from gateway.admission.failures import FailureLimit
    from gateway.admission.issuers import IssuerPolicy, LoginPolicy
    from gateway.admission.jwks_fetch import KeySetFetcher
    from gateway.admission.outside_issuer import OutsideIssuer
    from gateway.admission.tokens import Claims
    from gateway.settings import ConsoleSettings

BACK = "/console/login/back"
"""Where the issuer sends the browser."""
SECONDS = 600
"""How long one may take to sign in there."""
_TYPES = frozenset({"jwt", ""})
_MAX_SEALED = 4096


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that goes on at the issuer.

    Attributes:
        address: Where the browser goes.
        sealed: What its cookie holds until it is back.
    """

    address: str
    sealed: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who came back.

    Attributes:
        principal: As the access policy has them.
        marks: What a session keeps of them, sealed.
        onward: Where they wanted to go.
    """

    principal: Principal
    marks: tuple[str, ...]
    onward: str


class Logins:
    """The issuers at which one may sign in. A ``Holder`` of ``sessions.py``.

    Args:
        issuers: The outside issuers that the gateway knows.
        access: The access policy.
        fetcher: Asks them.
        failures: Bounds failed sign-ins by address, with failures of every other kind.
        settings: The console's: its URL, and the secret that the issuers know it by.
        pepper: Seals what a browser and Redis keep.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        issuers: Sequence[OutsideIssuer],
        access: AccessPolicy,
        fetcher: KeySetFetcher,
        failures: FailureLimit,
        settings: ConsoleSettings,
        *,
        pepper: bytes,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._access = access
        self._issuers = {each.policy.name: each for each in issuers if each.policy.login is not None and settings.url}
        self._fetcher = fetcher
        self._failures = failures
        self._settings = settings
        self._key = hmac.digest(pepper, b"cordon console login", hashlib.sha256)
        self._now = now

    @property
    def names(self) -> tuple[str, ...]:
        """Of the issuers at which one may sign in."""
        return tuple(self._issuers)

    def begin(self, name: str, onward: str) -> Begun:
        """Send someone to an issuer.

        Raises:
            NotFound: One cannot sign in there.
        """
        login = self._login(name)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "response_type": "code",
            "client_id": login.client_id,
            "redirect_uri": self._back,
            "scope": login.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        kept = {"issuer": name, "state": state, "nonce": nonce, "verifier": verifier, "onward": onward}
        address = f"{login.authorize}{'&' if '?' in login.authorize else '?'}{urlencode(query)}"
        return Begun(address, self._seal("browser", kept | {"until": self._now() + SECONDS}))

    async def finish(self, sealed: str, answer: Mapping[str, str], address: str) -> SignedIn:
        """They are back.

        Args:
            sealed: What their cookie holds.
            answer: The query that the issuer sent them with.
            address: The peer's.

        Raises:
            QuotaExceeded: The address failed too often.
            CredentialRefused: It is not an answer to what was begun in this browser, the issuer let nobody in, or the
                policy makes nobody of them.
            StoreUnavailable: The issuer cannot be asked.
        """
        self._failures.check(address)
        try:
            return await self._finish(sealed, answer)
        except CredentialRefused:
            self._failures.record(address)
            raise

    async def _finish(self, sealed: str, answer: Mapping[str, str]) -> SignedIn:
        kept = self._open("browser", sealed)
        if kept is None or kept["until"] <= self._now() or kept["issuer"] not in self._issuers:
            raise CredentialRefused("The sign-in took too long, or began elsewhere: begin again", reason="login-state")
        issuer = self._issuers[kept["issuer"]]
        if not hmac.compare_digest(answer.get("state", "").encode(), kept["state"].encode()):
            raise CredentialRefused("The sign-in took too long, or began elsewhere: begin again", reason="login-state")
        if answer.get("iss", issuer.issuer) != issuer.issuer or not answer.get("code"):
            raise CredentialRefused("The issuer did not sign you in", reason="login-refused")
        token = await self._redeem(self._login(kept["issuer"]), answer["code"], kept["verifier"])
        principal, held = await self._principal(issuer, token, kept["nonce"])
        held["until"] = self._now() + self._settings.absolute_seconds
        return SignedIn(principal, (self._seal(principal.key_id, held),), kept["onward"])

    async def still(self, key_id: str, marks: Collection[str], address: str) -> Principal:
        """See ``Holder``: by the policy of now. That the issuer ended someone's account shows at the next sign-in."""
        del address
        held = self._open(key_id, next(iter(marks), ""))
        if held is None or held["until"] <= self._now() or held["issuer"] not in self._issuers:
            raise CredentialRefused("The session has ended: sign in again", reason="session-ended").about(key_id)
        policy = self._issuers[held["issuer"]].policy
        if not policy.serves(held["tenant"]):
            raise CredentialRefused(reason="token-tenant").about(key_id)
        return self._made(policy, key_id, held)

    async def _principal(self, issuer: OutsideIssuer, token: str, nonce: str) -> tuple[Principal, dict[str, Any]]:
        policy = issuer.policy
        try:
            claims = await self._verified(issuer, token, nonce)
        except TokenRefused:
            raise CredentialRefused("The issuer did not sign you in", reason="login-refused") from None
        principal = await issuer.principal(claims)
        held = {
            "issuer": policy.name,
            "tenant": principal.tenant,
            "roles": policy.roles.read(claims.members) if policy.roles else (),
            "scopes": policy.scopes.read(claims.members) if policy.scopes else (),
        }
        return self._made(policy, principal.key_id, held), held

    async def _verified(self, issuer: OutsideIssuer, token: str, nonce: str) -> Claims:
        """The claims of an ID token that answers what this browser began (OpenID Connect Core §3.1.3.7)."""
        policy, client_id = issuer.policy, self._login(issuer.policy.name).client_id
        seen = look(token)
        key = await issuer.find_key(seen.key_id) if seen.issuer == issuer.issuer else None
        if key is None:
            raise TokenRefused("key")
        expected = Expected(
            issuer.issuer, client_id, _TYPES, policy.lifetime_seconds, policy.leeway_seconds, named=False
        )
        claims = verify(seen, key, expected, self._now)
        said = claims.members.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise TokenRefused("claims")
        if claims.members.get("azp", client_id) != client_id:
            raise TokenRefused("audience")
        return claims

    def _made(self, policy: IssuerPolicy, key_id: str, held: Mapping[str, Any]) -> Principal:
        """As the policy has them now: a role that it does not have any more gives nothing."""
        roles = [role for role in held["roles"] if role in self._access.roles]
        scopes = [scope for scope in held["scopes"] if scope in self._access.scopes]
        made = Principal(key_id, policy.name, held["tenant"], frozenset(), policy.plan)
        return replace(made, scopes=self._access.expand(roles=roles, scopes=scopes))

    async def _redeem(self, login: LoginPolicy, code: str, verifier: str) -> str:
        """The ID token for a code (RFC 6749 §4.1.3)."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "client_id": login.client_id,
            "code_verifier": verifier,
        }
        secret = self._settings.login_secret.get_secret_value()
        try:
            status, content = await self._fetcher.send_form(login.token, form, (login.client_id, secret))
        except (ValueError, OSError, TimeoutError, httpx.HTTPError) as error:
            raise StoreUnavailable("The issuer cannot be asked", retry_after=1.0) from error
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise StoreUnavailable("The issuer cannot be asked", retry_after=1.0)
        try:
            token = json.loads(content)["id_token"] if status == httpx.codes.OK else None
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str):
            raise CredentialRefused("The issuer did not sign you in", reason="login-refused")
        return token

    def _login(self, name: str) -> LoginPolicy:
        issuer = self._issuers.get(name)
        if issuer is None or issuer.policy.login is None:
            raise NotFound("One cannot sign in there")
        return issuer.policy.login

    @property
    def _back(self) -> str:
        return self._settings.url.rstrip("/") + BACK

    def _seal(self, purpose: str, said: Mapping[str, Any]) -> str:
        text = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
        return f"{text}.{self._mark(purpose, text)}"

    def _open(self, purpose: str, sealed: str) -> dict[str, Any] | None:
        text, _, mark = sealed.partition(".")
        if (
            len(sealed) > _MAX_SEALED
            or not sealed.isascii()
            or not hmac.compare_digest(mark, self._mark(purpose, text))
        ):
            return None
        said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return said

    def _mark(self, purpose: str, text: str) -> str:
        return hmac.digest(self._key, f"{purpose}\n{text}".encode(), hashlib.sha256).hex()
