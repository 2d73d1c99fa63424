"""The servers that the gateway calls: Redis, SQL and Triton."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from gateway.settings.base import Concern, refuse_half_a_pair


class RedisSettings(Concern):
    """Windows and leases. Redis 6.2 or newer, or Valkey."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss://, unix://, redis+cluster:// or redis+sentinel:// URL",
    )
    timeout_seconds: float = Field(0.05, gt=0, description="Longest wait for one call")
    pool_size: int = Field(32, ge=1, description="Calls at once, a process")
    tls_ca: str = Field(
        "", description="PEM file of CA certificates that vouch for Redis under rediss://, besides the system's own"
    )
    tls_certificate: str = Field(
        "", description="PEM file of the gateway's certificate for Redis, where it asks for one"
    )
    tls_key: str = Field("", description="PEM file of its key, without a passphrase")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        refuse_half_a_pair("REDIS", self.tls_certificate, self.tls_key)
        if (self.tls_ca or self.tls_certificate) and not self.url.get_secret_value().startswith("rediss"):
            raise ValueError("REDIS_TLS_CA and REDIS_TLS_CERTIFICATE need a REDIS_URL that starts with rediss")
        return self


class DatabaseSettings(Concern):
    """Keys and the audit chain. SQLite on one machine, PostgreSQL beyond it."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///.cordon/cordon.db"),
        description="sqlite+aiosqlite:// or postgresql+asyncpg:// URL; TLS: ?sslmode=verify-full&sslrootcert=FILE",
    )


class TritonSettings(Concern):
    """The model server."""

    model_config = SettingsConfigDict(env_prefix="TRITON_")

    url: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC listener; dns:///name:port: several")
    tls_ca: str = Field(
        "", description="PEM file of CA certificates that vouch for Triton: calls are made over TLS; empty: plain text"
    )
    tls_certificate: str = Field(
        "", description="PEM file of the gateway's certificate for Triton, which --grpc-use-ssl-mutual asks for"
    )
    tls_key: str = Field("", description="PEM file of its key, without a passphrase")
    timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for one inference")
    max_images: int = Field(256, ge=1, description="Images at the server for one model from one process; more: 503")
    breaker_failures: int = Field(5, ge=1, description="Failed calls in a row after which a model is not asked")
    breaker_seconds: float = Field(2.0, gt=0, le=60, description="For how long, before it is tried again")

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        refuse_half_a_pair("TRITON", self.tls_certificate, self.tls_key)
        if self.tls_certificate and not self.tls_ca:
            raise ValueError("TRITON_TLS_CERTIFICATE needs TRITON_TLS_CA")
        return self
