"""What the gateway offers: its public listener, the console, logs, metrics and traces."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.settings.base import Concern, refuse_half_a_pair

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class HttpSettings(Concern):
    """The public listener."""

    model_config = SettingsConfigDict(env_prefix="HTTP_")

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    tls_certificate: str = Field(
        "",
        description="PEM file of the listener's certificate, with its chain; empty: plain HTTP, for a proxy in front",
    )
    tls_key: str = Field("", description="PEM file of its key, without a passphrase")
    tls_client_ca: str = Field(
        "", description="PEM file of CA certificates: who connects must show a certificate of theirs, as a proxy would"
    )
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

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        refuse_half_a_pair("HTTP", self.tls_certificate, self.tls_key)
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("HTTP_TLS_CLIENT_CA needs HTTP_TLS_CERTIFICATE and HTTP_TLS_KEY")
        return self


class ConsoleSettings(Concern):
    """The administrators' pages."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    idle_seconds: int = Field(900, ge=60, le=3600, description="After so long without a request a session ends")
    absolute_seconds: int = Field(
        28_800, ge=300, le=43_200, description="After so long it ends in any case, and one signs in again"
    )
    url: str = Field(
        "", description="https:// URL of this gateway as browsers know it; needed to sign in at an outside issuer"
    )
    login_secret: SecretStr = Field(
        SecretStr(""), description="Secret that the issuer knows the console by, if it gave it one"
    )

    @model_validator(mode="after")
    def _browsers_find_it(self) -> Self:
        url = urlsplit(self.url)
        local = url.scheme == "http" and url.hostname in _LOOPBACK
        if self.url and (not url.hostname or url.query or url.fragment or not (url.scheme == "https" or local)):
            raise ValueError("CONSOLE_URL must be an https:// URL")
        return self


class LogSettings(Concern):
    """structlog."""

    model_config = SettingsConfigDict(env_prefix="LOG_")

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line written")
    format: Literal["json", "console"] = Field("json", description="json for machines, console for eyes")


class MetricsSettings(Concern):
    """Prometheus metrics, on a listener of their own; it asks for no credential: keep it from callers."""

    model_config = SettingsConfigDict(env_prefix="METRICS_")

    enabled: bool = Field(default=True, description="Serve GET /metrics on that listener")
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(9464, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    verify_seconds: float = Field(
        60.0, ge=0, le=86_400, description="How often the audit log's newest records are verified; 0 for never"
    )


class TracesSettings(Concern):
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
