"""The one place where the parts are joined. ``uvicorn gateway.app:create_app --factory`` serves it.

correlation ID ─▶ HEAD ─▶ context (headers, log line) ─▶ console ─▶ last resort ─▶ admission ─▶ recording ─▶ routes
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from gateway import __version__
from gateway.admission.access import AccessPolicy
from gateway.admission.administration import Administration
from gateway.admission.api_key import ApiKeys
from gateway.admission.authenticate import Authenticator
from gateway.admission.changes import Changes
from gateway.admission.idempotency import Idempotency, Room
from gateway.admission.key_store import KeyStore
from gateway.admission.keys import KeyMaker
from gateway.admission.limiter import Limiter
from gateway.admission.plans import Plans
from gateway.admission.revocations import RevokedTokens
from gateway.admission.sessions import Sessions
from gateway.admission.switches import Switches
from gateway.admission.token_parts import TokenParts
from gateway.admission.usage import UsageCounter
from gateway.admission.usage_store import UsageStore
from gateway.api import (
    admin_audit,
    admin_audit_export,
    admin_break_glass,
    admin_clients,
    admin_key_requests,
    admin_keys,
    admin_models,
    admin_switches,
    admin_tokens,
    admin_usage,
    deidentify,
    docs,
    health,
    models,
    oauth,
    predict,
    problems,
    usage,
)
from gateway.api.admission import LEASE_MARGIN_SECONDS, AdmissionMiddleware, Gate
from gateway.api.bounds import InflightBytes
from gateway.api.context import ContextMiddleware
from gateway.api.correlation import REQUEST_ID_HEADER, new_request_id, well_formed
from gateway.api.counting import CountingMiddleware
from gateway.api.head_method import HeadMiddleware
from gateway.api.last_resort import LastResortMiddleware
from gateway.api.oauth_form import MAX_BYTES as TOKEN_BODY_BYTES
from gateway.api.once import OnceMiddleware
from gateway.api.parts import Parts
from gateway.api.recording import RecordingMiddleware
from gateway.api.tracing import TracingMiddleware
from gateway.audit.denials import DenialCounter
from gateway.audit.exporting import Exporting
from gateway.audit.failure_modes import FailureModes
from gateway.audit.policy_texts import PolicyTexts
from gateway.audit.reader import AuditReader
from gateway.audit.recorder import Recorder
from gateway.console import sign_in
from gateway.console.forms import MAX_BYTES as FORM_BYTES
from gateway.console.middleware import ConsoleMiddleware, is_console
from gateway.console.pages import Pages
from gateway.console.routes import CONSOLE
from gateway.database import create_engine
from gateway.deid.uids import StandIns
from gateway.deid_policies import DeidPolicies
from gateway.draining import Draining
from gateway.isolation import Workers
from gateway.load import Load
from gateway.models.catalog import ModelCatalog
from gateway.models.parts import ModelParts
from gateway.pipeline import Pipeline
from gateway.probes import sampler_of
from gateway.respond.answer import largest_answer
from gateway.services import Services
from gateway.settings import Settings
from gateway.telemetry.history import History
from gateway.telemetry.logging import configure_logging
from gateway.telemetry.meter import Meter
from gateway.tls import check, triton_tls
from inference_client.resilience import ResilientClient
from inference_client.triton import TritonClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi.telemetry import TelemetryConfig

    from gateway.settings import TracesSettings
    from gateway.telemetry.tracing import Tracer
    from inference_client.client import InferenceClient

DESCRIPTION = "A hardened gateway between hospitals and their image models: admit, de-identify, infer, prove."
PREDICT, DEIDENTIFY, TOKEN = "POST /v1/predict", "POST /v1/deidentify", "POST /oauth/token"
TRY = "POST /console/try"
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""The framework's own tells paths, and what exceptions say: both may identify a patient. Ours: gateway/telemetry."""
JSON_BODY_BYTES = 64 * 2**10
ROUTES = (
    predict,
    deidentify,
    models,
    health,
    admin_keys,
    admin_key_requests,
    admin_break_glass,
    admin_clients,
    admin_tokens,
    admin_switches,
    admin_models,
    admin_audit,
    admin_audit_export,
    admin_usage,
    usage,
    oauth,
    docs,
)


def create_app(settings: Settings | None = None, *, inference: InferenceClient | None = None) -> FastAPI:
    """The gateway.

    Args:
        settings: Read from the environment unless given.
        inference: The model server's client; Triton's unless given.

    Raises:
        ValueError: A policy file is wrong, the access policy and the routes do not name the same things, or a
            certificate cannot be used.
    """
    settings = settings or Settings()
    configure_logging(settings.log)
    check(settings)
    access = AccessPolicy.load(settings.admission.access_policy, docs=settings.http.docs)
    plans = Plans.load(settings.admission.plans_policy)
    for issuer in access.issuers.values():
        if issuer.plan not in plans:
            raise ValueError(f"{settings.admission.access_policy}: issuers.{issuer.name}: no such plan: {issuer.plan}")
    catalog = ModelCatalog.load(settings.models.policy, settings.models.repository)
    deid_policies = DeidPolicies.load(settings.deid, access.scopes)
    services = _services(settings, access, plans, catalog, deid_policies, inference)
    recorder, meter = services.recorder, services.meter
    pipeline = Pipeline(
        catalog=catalog,
        workers=services.workers,
        inference=services.inference,
        serving=services.models.serving,
        recorder=recorder,
        http=settings.http,
        limits=settings.ingest,
        deid=settings.deid,
        model_timeout=settings.triton.timeout_seconds,
        load=services.load,
        draining=services.draining,
        observe=services.told,
    )
    http = settings.http
    gate = Gate(
        policy=access,
        authenticator=Authenticator([services.api_keys, services.tokens.scheme], services.tokens.failures),
        limiter=services.limiter,
        denials=services.denials,
        inflight=InflightBytes(http.max_inflight_bytes, http.max_body_bytes),
        body_limits=dict.fromkeys((PREDICT, DEIDENTIFY), http.max_body_bytes)
        | {TOKEN: TOKEN_BODY_BYTES}
        | {rule.route: FORM_BYTES for rule in access if is_console(rule.route.split(" ")[1])}
        | {TRY: http.max_body_bytes},
        default_body_limit=min(JSON_BODY_BYTES, http.max_body_bytes),
        body_seconds=http.body_timeout_seconds,
        deadline_seconds=http.deadline_seconds,
        object_deadline_seconds=http.object_deadline_seconds,
        answer_seconds=http.answer_timeout_seconds,
        load=services.load,
        shed={PREDICT: "prediction", TRY: "prediction", DEIDENTIFY: "object"},
        draining=services.draining,
        switches=services.switches,
        sessions=services.sessions,
    )
    pages = Pages(services.tokens.logins.names)
    app = FastAPI(
        title="Cordon",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,  # /openapi.json and /docs are routes like any other: see api/docs.py
        redirect_slashes=False,  # a redirect would repeat the path
        telemetry=NO_TELEMETRY,
        routes=[route for module in (*ROUTES, *CONSOLE) for route in module.router.routes],
        lifespan=_lifespan(services),
        middleware=[
            Middleware(
                CorrelationIdMiddleware,
                header_name=REQUEST_ID_HEADER,
                generator=new_request_id,
                validator=well_formed,
                transformer=None,
            ),
            Middleware(HeadMiddleware),
            Middleware(ContextMiddleware, draining=services.draining),
            *([Middleware(TracingMiddleware, tracer=services.tracer)] if services.tracer else []),
            Middleware(CountingMiddleware, usage=services.usage, meter=meter),
            Middleware(ConsoleMiddleware, pages=pages),
            Middleware(LastResortMiddleware),
            Middleware(AdmissionMiddleware, gate=gate),
            Middleware(RecordingMiddleware, recorder=recorder),
            Middleware(OnceMiddleware, idempotency=services.idempotency),
        ],
    )
    audit = AuditReader(services.engine, settings.audit)
    services.sampler = sampler_of(services, gate.inflight, audit)
    app.state.services = services
    app.state.metrics = meter.registry
    app.state.pages = pages
    app.state.parts = Parts(
        pipeline=pipeline,
        catalog=catalog,
        models=services.models,
        deid_policies=deid_policies,
        policy_texts=services.policy_texts,
        keys=services.key_store,
        administration=services.administration,
        api_keys=services.api_keys,
        sessions=services.sessions,
        revoked_tokens=services.revoked_tokens,
        clients=services.tokens.clients,
        oauth=services.tokens.oauth,
        logins=services.tokens.logins,
        switches=services.switches,
        usage=services.usage_store,
        idempotency=services.idempotency,
        access=access,
        plans=plans,
        health=services,
        recorder=recorder,
        history=services.history,
        audit=audit,
        exporting=Exporting(audit, recorder, settings.audit),
        stand_ins=lambda tenant: StandIns.of(settings.deid.key.get_secret_value().encode(), tenant),
        gate=gate,
    )
    problems.install(app)
    docs.describe(app, access)
    check_routes(app, access)
    return app


def check_routes(app: FastAPI, access: AccessPolicy) -> None:
    """Deny by default: every route has a rule, and every rule a route (OWASP API5:2023).

    Raises:
        ValueError: Names those that are left over.
    """
    served = {
        f"{method} {route.path}"
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    listed = {rule.route for rule in access}
    strangers = [type(route).__name__ for route in app.routes if not isinstance(route, APIRoute)]
    if served != listed or strangers:
        raise ValueError(
            f"routes without a rule in the access policy: {sorted(served - listed)}; "
            f"rules without a route: {sorted(listed - served)}; routes of another kind: {strangers}"
        )


def _services(  # noqa: PLR0917 - each is another kind of thing
    settings: Settings,
    access: AccessPolicy,
    plans: Plans,
    catalog: ModelCatalog,
    deid_policies: DeidPolicies,
    inference: InferenceClient | None,
) -> Services:
    engine = create_engine(settings.database)
    pepper = settings.admission.key_pepper.get_secret_value().encode()
    maker = KeyMaker(pepper, settings.admission.key_pepper_previous.get_secret_value().encode())
    cache_seconds = settings.admission.key_cache_seconds
    changes = Changes(settings.redis)
    revoked_tokens = RevokedTokens(engine, cache_seconds=cache_seconds, changes=changes)
    key_store = KeyStore(engine, maker, changes=changes)
    api_keys = ApiKeys(key_store, maker, cache_seconds=cache_seconds)
    changes.on("key", api_keys.forget)
    kill_switches = Switches(engine, cache_seconds=cache_seconds, changes=changes)
    usage_store = UsageStore(engine)
    recorder, meter = Recorder(engine, settings.audit), Meter()
    failures, failure = FailureModes(recorder), settings.admission.limiter_failure
    workers, http = Workers(settings.ingest), settings.http
    tokens = TokenParts.of(settings, access, engine, revoked_tokens)
    model_server = ResilientClient(
        inference or TritonClient(settings.triton.url, catalog.scalings(), triton_tls(settings.triton)),
        failures=settings.triton.breaker_failures,
        seconds=settings.triton.breaker_seconds,
        images=settings.triton.max_images,
    )
    return Services(
        settings=settings,
        engine=engine,
        recorder=recorder,
        denials=DenialCounter(recorder, told=meter.denied),
        meter=meter,
        history=History(meter.registry),
        tracer=_tracer(settings.traces) if settings.traces.endpoint else None,
        failures=failures,
        limiter=Limiter(
            settings.redis,
            plans,
            failure=failure,
            workers=settings.http.workers,
            notify=lambda away: failures.change("limiter", failure if away else "normal"),
        ),
        changes=changes,
        key_store=key_store,
        administration=Administration.of(
            engine,
            keys=key_store,
            switches=kill_switches,
            maker=maker,
            access=access,
            plans=plans,
            recorder=recorder,
            changes=changes,
        ),
        api_keys=api_keys,
        tokens=tokens,
        revoked_tokens=revoked_tokens,
        switches=kill_switches,
        sessions=Sessions(settings.redis, settings.console, {sign_in.KEYS: api_keys, sign_in.LOGIN: tokens.logins}),
        idempotency=Idempotency(
            settings.redis,
            secret=pepper,
            running_seconds=settings.http.deadline_seconds + LEASE_MARGIN_SECONDS,
            keep_seconds=settings.admission.idempotency_seconds,
            room=Room(
                settings.admission.idempotency_bytes,
                settings.admission.idempotency_tenant_bytes,
                largest_answer(catalog, settings.ingest.max_frames),
            ),
        ),
        usage_store=usage_store,
        usage=UsageCounter(
            usage_store, seconds=settings.admission.usage_seconds, keep_days=settings.admission.usage_days
        ),
        catalog=catalog,
        deid_policies=deid_policies,
        policy_texts=PolicyTexts(engine),
        workers=workers,
        load=Load(
            workers.turns,
            multiple=http.wait_multiple,
            longest={"prediction": http.deadline_seconds / 2, "object": http.object_deadline_seconds / 2},
        ),
        draining=Draining(http.drain_pause_seconds, http.drain_seconds),
        inference=model_server,
        models=ModelParts.of(settings, catalog, engine, changes, recorder, model_server, meter.copied),
    )


def _tracer(settings: TracesSettings) -> Tracer:
    """Raises ValueError if the extra is not installed."""
    from gateway.telemetry.tracing import Tracer  # noqa: PLC0415 - of an extra, and not needed without an endpoint

    return Tracer(settings)


def _lifespan(services: Services):  # type: ignore[no-untyped-def] # noqa: ANN202 - the type is FastAPI's own
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await services.start()
        try:
            yield
        finally:
            await services.close()

    return lifespan
