"""What an operator can set: one frozen class a concern, read from the environment and ``.env``.

Every secret ``NAME`` may be given as ``NAME_FILE``, the path of a file that holds it (Docker and Kubernetes secrets).
Combinations that would break a promise are refused at the start, with the line to change.
``.env.example`` is generated from these classes (``cordon settings``) and tested equal.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.settings.admission import AdmissionSettings, OAuthSettings
from gateway.settings.base import MIN_SECRET_BYTES, Concern
from gateway.settings.listeners import ConsoleSettings, HttpSettings, LogSettings, MetricsSettings, TracesSettings
from gateway.settings.servers import DatabaseSettings, RedisSettings, TritonSettings
from gateway.settings.steps import AuditSettings, DeidSettings, IngestSettings, ModelSettings

__all__ = [
    "MIN_SECRET_BYTES",
    "Settings",
    "AdmissionSettings",
    "AuditSettings",
    "ConsoleSettings",
    "DatabaseSettings",
    "DeidSettings",
    "HttpSettings",
    "IngestSettings",
    "LogSettings",
    "MetricsSettings",
    "ModelSettings",
    "OAuthSettings",
    "RedisSettings",
    "TracesSettings",
    "TritonSettings",
]


class Settings(Concern):
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
