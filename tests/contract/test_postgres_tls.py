"""PostgreSQL over TLS by its URL's parameters, which are libpq's."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.database import create_engine
from gateway.settings import DatabaseSettings
from tests.support.certificates import Authority
from tests.support.postgres import postgres_url
from tests.support.tls_door import TlsDoor


async def one(url: str) -> int:
    engine = create_engine(DatabaseSettings(url=SecretStr(url)))
    try:
        async with engine.connect() as connection:
            return int((await connection.execute(text("select 1"))).scalar_one())
    finally:
        await engine.dispose()


async def test_both_sides_show_a_certificate(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "authority"), Authority(tmp_path / "other")
    certificate, key = authority.client
    with postgres_url() as url, TlsDoor(authority.server_context(mutual=True)) as door:
        folder = parse_qs(urlsplit(url).query).get("host")
        if folder is None:
            pytest.skip("TEST_POSTGRES_URL names a server of its own")
        door.behind = Path(folder[0]) / ".s.PGSQL.5432"
        base = f"postgresql+asyncpg://cordon@localhost:{door.port}/postgres?sslmode=verify-full&sslrootcert="
        own = f"&sslcert={certificate}&sslkey={key}"
        assert await one(f"{base}{authority.ca}{own}") == 1
        assert door.secure == 1
        with pytest.raises((SQLAlchemyError, OSError)):
            await one(f"{base}{authority.ca}")
        with pytest.raises(ssl.SSLCertVerificationError):
            await one(f"{base}{other.ca}{own}")
        assert door.secure == 1
