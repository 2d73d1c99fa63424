"""What all settings have in common: the environment, ``.env``, and secrets from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MIN_SECRET_BYTES = 32


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


class Concern(BaseSettings):
    """One concern's settings: frozen, and an error never quotes a value."""

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
        """Arguments over the environment over secrets' files over ``.env``."""
        del file_secret_settings
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings


def refuse_half_a_pair(prefix: str, certificate: str, key: str) -> None:
    """Raises ValueError for a certificate without its key, or a key alone."""
    if bool(certificate) != bool(key):
        raise ValueError(f"{prefix}_TLS_CERTIFICATE and {prefix}_TLS_KEY go together: set both or none")
