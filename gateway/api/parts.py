"""Around all steps: what the routes call. Made in ``gateway/app.py``, found through the request; nothing is global."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import Depends, Request

from gateway.admission.principal import Admission
from gateway.api.exchange import Exchange, exchange_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.access import AccessPolicy
    from gateway.admission.administration import Administration
    from gateway.admission.api_key import ApiKeys
    from gateway.admission.client_store import ClientStore
    from gateway.admission.idempotency import Idempotency
    from gateway.admission.key_store import KeyStore
    from gateway.admission.login import Logins
    from gateway.admission.oauth import OAuth
    from gateway.admission.plans import Plans
    from gateway.admission.revocations import RevokedTokens
    from gateway.admission.sessions import Sessions
    from gateway.admission.switches import Switches
    from gateway.admission.usage_store import UsageStore
    from gateway.api.admission import Gate
    from gateway.audit.exporting import Exporting
    from gateway.audit.policy_texts import PolicyTexts
    from gateway.audit.reader import AuditReader
    from gateway.audit.recorder import Recorder
    from gateway.deid.uids import StandIns
    from gateway.deid_policies import DeidPolicies
    from gateway.models.catalog import ModelCatalog
    from gateway.models.parts import ModelParts
    from gateway.pipeline import Pipeline
    from gateway.telemetry.history import History


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether requests can be served now.

    Attributes:
        ready: All of it.
        dependencies: Name to ``ok`` or ``unavailable``.
        models: Name to ``ok`` or ``unavailable``.
        draining: Whether this process is ending: whatever else, it is not ready.
    """

    ready: bool
    dependencies: dict[str, str]
    models: dict[str, str]
    draining: bool = False


class Health(Protocol):
    """Knows how the dependencies are."""

    async def readiness(self) -> Readiness:
        """As of now, or of less than a second ago. Never raises; bounded in time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    pipeline: Pipeline
    catalog: ModelCatalog
    models: ModelParts
    deid_policies: DeidPolicies
    policy_texts: PolicyTexts
    keys: KeyStore
    administration: Administration
    api_keys: ApiKeys
    sessions: Sessions
    revoked_tokens: RevokedTokens
    clients: ClientStore
    oauth: OAuth | None
    logins: Logins
    switches: Switches
    usage: UsageStore
    idempotency: Idempotency
    access: AccessPolicy
    plans: Plans
    health: Health
    recorder: Recorder
    history: History
    audit: AuditReader
    exporting: Exporting
    stand_ins: Callable[[str], StandIns]
    gate: Gate


# Coroutines: what is not one FastAPI runs in a thread, at 0.2 ms of CPU each, half of what the way to a route costs.


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _admission(request: Request) -> Admission:
    admission: Admission = request.scope["state"]["admission"]
    return admission


async def _exchange(request: Request) -> Exchange:
    return exchange_of(request.scope)


Joined = Annotated[Parts, Depends(_parts)]
Admitted = Annotated[Admission, Depends(_admission)]
CurrentExchange = Annotated[Exchange, Depends(_exchange)]
