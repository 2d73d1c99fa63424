"""The servers that the gateway calls: Redis, SQL and Triton."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from gateway.settings.base import Concern


class RedisSettings(Concern):
    """Windows and leases. Redis 6.2 or newer, or Valkey."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss://, unix://, redis+cluster:// or redis+sentinel:// URL",
    )
    timeout_seconds: float = Field(0.05, gt=0, description="Longest wait for one call")
    pool_size: int = Field(32, ge=1, description="Calls at once, a process")


class DatabaseSettings(Concern):
    """Keys and the audit chain. SQLite on one machine, PostgreSQL beyond it."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///.cordon/cordon.db"),
        description="sqlite+aiosqlite:// or postgresql+asyncpg:// URL",
    )


class TritonSettings(Concern):
    """The model server."""

    model_config = SettingsConfigDict(env_prefix="TRITON_")

    url: str = Field("127.0.0.1:8001", description="host:port of Triton's gRPC listener")
    timeout_seconds: float = Field(5.0, gt=0, description="Longest wait for one inference")
    max_images: int = Field(256, ge=1, description="Images at the server for one model from one process; more: 503")
    breaker_failures: int = Field(5, ge=1, description="Failed calls in a row after which a model is not asked")
    breaker_seconds: float = Field(2.0, gt=0, le=60, description="For how long, before it is tried again")
