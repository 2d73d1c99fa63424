"""Step 1 of 7: a Redis or Valkey, by its URL: one server, a Cluster, or whichever server Sentinel calls the master.

    redis://[user:password@]host:port/db              rediss:// with TLS, unix:///path for a socket
    redis+cluster://[user:password@]host:port[,host:port...]             rediss+cluster:// with TLS
    redis+sentinel://[user:password@]host:port[,host:port...]/service    rediss+sentinel:// with TLS

With TLS the server's certificate must name the host that was asked for; the settings say who vouches for it, and what
the gateway shows of its own. Sentinels are asked in the same way.

User and password are the data servers'; those that a Sentinel asks for are ``sentinel_username`` and
``sentinel_password`` in the query. No call is tried twice: a second try could take a second wait, and it could charge a
second time.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from gateway.settings import RedisSettings

_DEFAULT_PORTS = {"cluster": 6379, "sentinel": 26379}
_PLAIN = ("redis", "rediss", "unix")


def connect(settings: RedisSettings) -> Any:
    """A client of redis-py; connects when it is first used.

    Returns:
        ``Redis`` or ``RedisCluster``: what both can do is all that is used of it. Who uses it bounds how many calls run
        at once, for a pool that is used up is an error in one and a wait in another; and how long each waits, for the
        client's own bound on every read and write costs a quarter of a call.

    Raises:
        ValueError: The URL is of none of the forms above. It is not quoted: it may hold a password.
    """
    url = settings.url.get_secret_value()
    scheme, _, form = url.partition("://")[0].partition("+")
    common = _common(settings)
    if not form and scheme in _PLAIN:
        return Redis.from_url(url, **common, **_tls(settings, scheme))
    servers = _Servers.read(url, scheme, form)
    tls = {"ssl": scheme == "rediss", **_tls(settings, scheme)}
    common |= {"username": servers.username, "password": servers.password, **tls}
    if form == "cluster":
        nodes = [ClusterNode(host, port) for host, port in servers.addresses]
        return RedisCluster(startup_nodes=nodes, **common)
    sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]
        servers.addresses,
        sentinel_kwargs={
            "socket_connect_timeout": settings.timeout_seconds,
            "username": servers.query.get("sentinel_username"),
            "password": servers.query.get("sentinel_password"),
            **tls,
        },
    )
    return sentinel.master_for(servers.service, **common)


def node(settings: RedisSettings, host: str, port: int) -> Any:
    """A client of one node of a Cluster. Who uses it must know which slots are that node's."""
    url = settings.url.get_secret_value()
    scheme, _, form = url.partition("://")[0].partition("+")
    servers = _Servers.read(url, scheme, form)
    own: dict[str, Any] = {"username": servers.username, "password": servers.password, "ssl": scheme == "rediss"}
    return Redis(host=host, port=port, **own, **_tls(settings, scheme), **_common(settings))


def _common(settings: RedisSettings) -> dict[str, Any]:
    return {
        "socket_connect_timeout": settings.timeout_seconds,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
    }


def _tls(settings: RedisSettings, scheme: str) -> dict[str, Any]:
    """Nothing without TLS: a plain connection does not know these names."""
    if scheme != "rediss":
        return {}
    return {
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        "ssl_ca_certs": settings.tls_ca or None,
        "ssl_certfile": settings.tls_certificate or None,
        "ssl_keyfile": settings.tls_key or None,
    }


async def close(client: Any) -> None:
    """Close the connections of a client that ``connect`` made."""
    await client.aclose()
    if isinstance(client, RedisCluster):  # whose own close does nothing while it has lost sight of its nodes
        await client.nodes_manager.aclose()
        await client.nodes_manager.aclose("startup_nodes")
    elif isinstance(client.connection_pool, SentinelConnectionPool):  # nor are the Sentinels' own connections closed
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()


@dataclass(frozen=True, slots=True)
class _Servers:
    """What a URL with several servers says."""

    addresses: list[tuple[str, int]]
    username: str | None
    password: str | None
    service: str
    query: dict[str, str]

    @classmethod
    def read(cls, url: str, scheme: str, form: str) -> _Servers:
        if scheme not in ("redis", "rediss") or form not in _DEFAULT_PORTS:
            raise ValueError(
                "REDIS_URL must start with redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://"
            )
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        addresses = [_address(host, _DEFAULT_PORTS[form]) for host in hosts.split(",")]
        service = parts.path.strip("/")
        if form == "sentinel" and not service:
            raise ValueError("REDIS_URL names no service: redis+sentinel://host:port,host:port/SERVICE")
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return cls(addresses, unquote(username) or None, unquote(password) or None, service, query)


def _address(text: str, default: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port``."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ValueError("REDIS_URL holds a server that is not host:port")
    return host, port or default
