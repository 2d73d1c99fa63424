"""What an operator can set: one frozen class a concern, read from the environment and ``.env``.

Every secret ``NAME`` may be given as ``NAME_FILE``, the path of a file that holds it (Docker and Kubernetes secrets).
Combinations that would break a promise are refused at the start, with the line to change.
``.env.example`` is generated from these classes (``cordon settings``) and tested equal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MIN_SECRET_BYTES = 32
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads ``<ENV_NAME>_FILE`` for every secret field."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = f"{self.config.get('env_prefix', '')}{field_name}".upper() + "_FILE"
        path = os.environ.get(name)
        if path is None or "SecretStr" not in str(field.annotation):
            return None, field_name, False
        return Path(path).read_text(encoding="utf-8").strip(), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}


class _Concern(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, env_file=".env", extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del file_secret_settings
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings


class HttpSettings(_Concern):
    """The public listener."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="Gateway processes")
    docs: bool = Field(default=False, description="Serve /docs and /openapi.json to anyone; never in production")
    max_body_bytes: int = Field(32 * 2**20, ge=2**10, description="Largest body taken")
    max_inflight_bytes: int = Field(
        256 * 2**20, ge=2**20, description="All bodies and objects given back in memory at once, a process"
    )
    body_timeout_seconds: float = Field(20.0, gt=0, description="Longest a body may take to arrive")
    deadline_seconds: float = Field(10.0, gt=0, description="Longest one request may take after its body is in")
    object_deadline_seconds: float = Field(
        30.0, gt=0, description="The same for an object that is de-identified and given back"
    )
    max_answer_bytes: int = Field(64 * 2**20, ge=2**10, description="Largest de-identified object given back")
    answer_timeout_seconds: float = Field(
        30.0, gt=0, description="Longest a caller may take to read a de-identified object"
    )
    drain_pause_seconds: float = Field(
        0.0, ge=0, le=300, description="At shutdown, time in which only /readiness says no, so that balancers notice"
    )
    drain_seconds: float = Field(10.0, ge=0, description="Then, time for running requests to end")
    wait_multiple: float = Field(
        8.0,
        ge=0,
        le=1000,
        description="Longest queue: its wait in multiples of a request's own time, by the root of the workers; 0: any",
    )


class RedisSettings(_Concern):
    """Windows and leases. Redis 6.2 or newer, or Valkey."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss://, unix://, redis+cluster:// or redis+sentinel:// URL",
    )
    timeout_seconds: float = Field(0.05, gt=0, description="Longest wait for one call")
    pool_size: int = Field(32, ge=1, description="Calls at once, a process")


class DatabaseSettings(_Concern):
    """Keys and the audit chain. SQLite on one machine, PostgreSQL beyond it."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///.cordon/cordon.db"),
        description="sqlite+aiosqlite:// or postgresql+asyncpg:// URL",
    )


class TritonSettings(_Concern):
    """The model server."""

    model_config = SettingsConfigDict(env_prefix="TRITON_")

    url: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC listener")
    timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for one inference")
    max_images: int = Field(256, ge=1, description="Images at the server for one model from one process; more: 503")
    breaker_failures: int = Field(5, ge=1, description="Failed calls in a row after which a model is not asked")
    breaker_seconds: float = Field(2.0, gt=0, le=60, description="For how long, before it is tried again")


class AdmissionSettings(_Concern):
    """Who may come in, and how often."""

    model_config = SettingsConfigDict(env_prefix="ADMISSION_")

    key_pepper: SecretStr = Field(SecretStr(""), description="Secret under which API keys are hashed; 32 bytes or more")
    key_pepper_previous: SecretStr = Field(
        SecretStr(""), description="The pepper before this one, until every key was used once or rotated"
    )
    key_cache_seconds: float = Field(0.5, ge=0, le=1, description="Longest a key may be trusted without a look at SQL")
    idempotency_seconds: int = Field(
        86_400, ge=60, le=7 * 86_400, description="How long an answer is kept for its Idempotency-Key"
    )
    idempotency_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        description="Most memory of Redis that kept answers take; never above 3/4 of its maxmemory",
    )
    idempotency_tenant_bytes: int = Field(
        32 * 2**20, ge=2**20, description="Most of it that one tenant's take; about 2 KiB an answer"
    )
    usage_seconds: float = Field(
        1.0, gt=0, le=60, description="How often usage is written; a killed process loses so much of it"
    )
    usage_days: int = Field(400, ge=1, le=3660, description="How long usage is kept")
    access_policy: Path = Field(Path("policies/access.yaml"), description="Roles, and the scope of each route")
    plans_policy: Path = Field(Path("policies/plans.yaml"), description="Windows and concurrency of each plan")
    limiter_failure: Literal["local", "closed", "open"] = Field(
        "local", description="When Redis is down: count in the process, refuse, or let all in (never in production)"
    )


class OAuthSettings(_Concern):
    """Tokens for clients that come with a signed assertion; none are given without a signing key."""

    model_config = SettingsConfigDict(env_prefix="OAUTH_")

    issuer: str = Field("", description="https:// URL of this gateway as callers know it; tokens are of and for it")
    signing_key: SecretStr = Field(
        SecretStr(""), description="Secret that the key of the tokens is made from; 32 bytes or more"
    )
    signing_key_previous: SecretStr = Field(
        SecretStr(""), description="Another one that is good too: the one before it, or the next; see docs/admission.md"
    )
    token_seconds: int = Field(300, ge=60, le=3600, description="How long a token is good for")
    ca_certificates: str = Field(
        "", description="PEM file of CA certificates to trust for key sets, besides the public ones"
    )
    private_hosts: str = Field(
        "", description="Hosts whose addresses need not be public for clients' key sets, with blanks between them"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        keys = [key.get_secret_value() for key in (self.signing_key, self.signing_key_previous)]
        for name, key in zip(("OAUTH_SIGNING_KEY", "OAUTH_SIGNING_KEY_PREVIOUS"), keys, strict=True):
            if key and len(key.encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"{name} needs {MIN_SECRET_BYTES} bytes or more, or none")
        if keys[1] and (not keys[0] or keys[0] == keys[1]):
            raise ValueError("OAUTH_SIGNING_KEY_PREVIOUS goes with another OAUTH_SIGNING_KEY")
        if keys[0]:
            url = urlsplit(self.issuer)
            local = url.scheme == "http" and url.hostname in _LOOPBACK
            if (
                not url.hostname
                or url.query
                or url.fragment
                or "@" in url.netloc
                or not (url.scheme == "https" or local)
            ):
                raise ValueError("OAUTH_ISSUER must be the gateway's https:// URL when OAUTH_SIGNING_KEY is set")
        return self


class IngestSettings(_Concern):
    """Bounds on one file, enforced before and while it is decoded."""

    model_config = SettingsConfigDict(env_prefix="INGEST_")

    max_frame_pixels: int = Field(25_000_000, ge=1, description="Largest Rows x Columns")
    max_total_pixels: int = Field(50_000_000, ge=1, description="Largest Rows x Columns x selected frames")
    max_frames: int = Field(16, ge=1, description="Most frames of one instance that are classified in one request")
    max_elements: int = Field(50_000, ge=1, description="Most data elements, all depths together")
    max_depth: int = Field(32, ge=1, description="Deepest nesting of sequences")
    max_inflated_bytes: int = Field(128 * 2**20, ge=1, description="Largest deflated dataset, once inflated")
    max_inflate_ratio: int = Field(100, ge=1, description="Largest ratio of inflated to deflated size")
    worker_processes: int = Field(0, ge=0, description="Processes that decode and de-identify; 0 is one a core")
    worker_seconds: float = Field(
        4.0, gt=0, description="Longest one file may occupy such a process; then it is killed"
    )
    max_object_frames: int = Field(
        512, ge=1, description="Most frames of an object that is given back; all of them are looked at"
    )
    object_seconds: float = Field(
        25.0, gt=0, description="Longest an object that is given back may occupy such a process; then it is killed"
    )
    worker_memory_bytes: int = Field(3 * 2**30, ge=2**29, description="Address space of such a process")


class DeidSettings(_Concern):
    """What is removed, and the key of the pseudonyms."""

    model_config = SettingsConfigDict(env_prefix="DEID_")

    key: SecretStr = Field(SecretStr(""), description="Secret of UIDs and pseudonyms; 32 bytes or more")
    policy: Path = Field(
        Path("policies/deid/basic.yaml"), description="The installation's own de-identification policy"
    )


class ModelSettings(_Concern):
    """Which models are offered."""

    model_config = SettingsConfigDict(env_prefix="MODELS_")

    policy: Path = Field(Path("policies/models.yaml"), description="Models, their input, labels and modalities")
    repository: Path = Field(Path("model_repository"), description="Triton's model repository")
    shadow_calls: int = Field(
        1,
        ge=0,
        le=64,
        description="Most copies of requests that run for shadows at a time, a process; more are dropped",
    )
    cache_seconds: int = Field(
        0, ge=0, le=7 * 86_400, description="How long what a model said of a tensor is kept in Redis; 0: not at all"
    )
    cache_bytes: int = Field(64 * 2**20, ge=2**20, description="Most memory of Redis that this takes")


class AuditSettings(_Concern):
    """The tamper-evident log."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_")

    chain_key: SecretStr = Field(SecretStr(""), description="Secret of the hash chain; 32 bytes or more")
    chain_keys_previous: SecretStr = Field(
        SecretStr(""), description="The chain's keys before this one, one a line, the oldest first"
    )
    timeout_seconds: float = Field(2.0, gt=0, description="Longest wait for a record to be durable")
    queue_size: int = Field(10_000, ge=1, description="Most events that wait for the store, a process; then 503")
    signing_key: SecretStr = Field(
        SecretStr(""), description="Secret of the checkpoints' signatures; empty: derived from the chain key"
    )
    checkpoint_every: int = Field(1000, ge=1, description="Records after which a checkpoint is signed")
    checkpoint_seconds: float = Field(10.0, gt=0, description="Longest a record may wait for a checkpoint over it")
    checkpoint_file: str = Field(
        "", description="Second place of the checkpoints; empty: beside a SQLite file, and always a line in the log"
    )
    public_keys_previous: str = Field(
        "", description="Public keys of earlier signing keys (cordon audit public-key), with blanks between them"
    )
    address: Literal["clear", "hash"] = Field(
        "clear", description="Callers' addresses on record: in clear, or as a keyed hash"
    )
    source: str = Field(
        "cordon", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="This installation's name in exported audit messages"
    )
    retention_policy: Path = Field(Path("policies/retention.yaml"), description="How long records are kept")

    @model_validator(mode="after")
    def _signing_key_fits(self) -> Self:
        signing = self.signing_key.get_secret_value()
        if signing and len(signing.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"AUDIT_SIGNING_KEY needs {MIN_SECRET_BYTES} bytes or more, or none")
        if signing and signing == self.chain_key.get_secret_value():
            raise ValueError("AUDIT_SIGNING_KEY must differ from AUDIT_CHAIN_KEY")
        earlier = [line.strip() for line in self.chain_keys_previous.get_secret_value().splitlines() if line.strip()]
        if any(len(key.encode()) < MIN_SECRET_BYTES for key in earlier):
            raise ValueError(f"AUDIT_CHAIN_KEYS_PREVIOUS needs keys of {MIN_SECRET_BYTES} bytes or more, one a line")
        if any(not re.fullmatch("[0-9a-f]{64}", key) for key in self.public_keys_previous.split()):
            raise ValueError("AUDIT_PUBLIC_KEYS_PREVIOUS needs keys of 64 hexadecimal digits")
        return self


class ConsoleSettings(_Concern):
    """The administrators' pages."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    idle_seconds: int = Field(900, ge=60, le=3600, description="After so long without a request a session ends")
    absolute_seconds: int = Field(
        28_800, ge=300, le=43_200, description="After so long it ends in any case, and one signs in again"
    )


class LogSettings(_Concern):
    """structlog."""

    model_config = SettingsConfigDict(env_prefix="LOG_")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line written")
    format: Literal["json", "console"] = Field("json", description="json for machines, console for eyes")


class MetricsSettings(_Concern):
    """Prometheus metrics, on a listener of their own; it asks for no credential: keep it from callers."""

    model_config = SettingsConfigDict(env_prefix="METRICS_")

    enabled: bool = Field(default=True, description="Serve GET /metrics on that listener")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(9464, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    verify_seconds: float = Field(
        60.0, ge=0, le=86_400, description="How often the audit log's newest records are verified; 0 for never"
    )


class TracesSettings(_Concern):
    """OpenTelemetry traces of requests; none are made without an endpoint. Needs the extra otel."""

    model_config = SettingsConfigDict(env_prefix="TRACES_")

    endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="URL of a collector's OTLP/HTTP traces, such as http://collector:4318/v1/traces",
    )
    ratio: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of requests that are traced; of those with a traceparent, its own word counts",
    )


class Settings(_Concern):
    """All of them. ``Settings()`` reads the environment; parts can be passed in, as tests do."""

    environment: Literal["production", "development"] = Field(
        "production", description="development relaxes nothing but the refusals below"
    )
    http: HttpSettings = Field(default_factory=HttpSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    triton: TritonSettings = Field(default_factory=TritonSettings)
    admission: AdmissionSettings = Field(default_factory=AdmissionSettings)
    oauth: OAuthSettings = Field(default_factory=OAuthSettings)
    ingest: IngestSettings = Field(default_factory=IngestSettings)
    deid: DeidSettings = Field(default_factory=DeidSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    traces: TracesSettings = Field(default_factory=TracesSettings)

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        """Secrets are never optional; the rest of the refusals hold in production."""
        secrets = {
            "ADMISSION_KEY_PEPPER": self.admission.key_pepper,
            "DEID_KEY": self.deid.key,
            "AUDIT_CHAIN_KEY": self.audit.chain_key,
        }
        for name, secret in secrets.items():
            if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
                raise ValueError(f"{name} needs {MIN_SECRET_BYTES} bytes or more: set {name} or {name}_FILE")
        if self.oauth.signing_key.get_secret_value():
            secrets["OAUTH_SIGNING_KEY"] = self.oauth.signing_key
        values = [secret.get_secret_value() for secret in secrets.values()]
        if len(set(values)) < len(values):
            raise ValueError(f"{', '.join(secrets)} must differ from each other")
        if self.environment == "production":
            if self.http.docs:
                raise ValueError(
                    "HTTP_DOCS=true is not allowed in production: remove it or set ENVIRONMENT=development"
                )
            if self.admission.limiter_failure == "open":
                raise ValueError("ADMISSION_LIMITER_FAILURE=open is not allowed in production: use local or closed")
        return self
