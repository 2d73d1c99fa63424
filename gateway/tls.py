"""Around all steps: the gateway's certificates: checked at the start, and renewed on its own listener without one.

What a setting names is read, fits its key and has not ended, or the gateway does not start. TLS is 1.2 or newer (RFC
9325 §3.1.1), with Python's own choice of ciphers. Redis's and Triton's files are read when connections are made there;
their renewal needs a restart.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from inference_client.channel import Tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.settings import HttpSettings, Settings, TritonSettings

log = structlog.get_logger(__name__)


class CertificateError(ValueError):
    """A file that a setting names cannot be used. Says the setting, the file and why; never what it holds."""


def check(settings: Settings) -> dict[str, datetime]:
    """Look at every file of TLS that is set.

    Returns:
        What a certificate is for (``http``, ``http-client-ca``, ``redis``, ``redis-ca``, ``triton``, ``triton-ca``) to
        when it ends. Of a chain that is the first end; of a bundle of authorities the last, for it may hold old ones.

    Raises:
        CertificateError: One cannot be read, does not fit its key, or has ended.
    """
    http, redis, triton = settings.http, settings.redis, settings.triton
    own = {
        "http": (http.tls_certificate, http.tls_key, http.tls_client_ca, "HTTP_TLS_CLIENT_CA"),
        "redis": (redis.tls_certificate, redis.tls_key, redis.tls_ca, "REDIS_TLS_CA"),
        "triton": (triton.tls_certificate, triton.tls_key, triton.tls_ca, "TRITON_TLS_CA"),
    }
    ends = {}
    for name, (certificate, key, authority, setting) in own.items():
        if certificate:
            ends[name] = _end(f"{name.upper()}_TLS_CERTIFICATE", certificate, min)
            _pair(name, certificate, key)
        if authority:
            ends["http-client-ca" if name == "http" else f"{name}-ca"] = _end(setting, authority, max)
    return ends


def listener_end(http: HttpSettings) -> datetime:
    """When the listener's certificate ends, as its file is now. Raises CertificateError."""
    return _end("HTTP_TLS_CERTIFICATE", http.tls_certificate, min)


def listener_context(http: HttpSettings, *_uvicorn: object) -> ssl.SSLContext:
    """For the listener. A certificate that is renewed in its file is used from the second connection after that.

    Args:
        http: Names a certificate and its key; with ``tls_client_ca`` a caller must show a certificate of that one.
        _uvicorn: What uvicorn gives a factory of contexts; not used.

    Raises:
        CertificateError: A file cannot be read, or the two do not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load("http", http.tls_certificate, http.tls_key, context)
    if http.tls_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(http.tls_client_ca)
    files = (Path(http.tls_certificate), Path(http.tls_key))
    seen = _stamps(files)

    def renew(_connection: object, _name: object, _context: object) -> None:
        """Called by OpenSSL at the beginning of each handshake; costs two looks at the file system."""
        nonlocal seen
        try:
            if (now := _stamps(files)) == seen:
                return
            _pair("http", http.tls_certificate, http.tls_key)  # apart: a file half written must not end what serves
            _load("http", http.tls_certificate, http.tls_key, context)
        except (CertificateError, OSError):
            log.warning("tls.not-renewed")
            return
        seen = now
        log.info("tls.renewed")

    context.sni_callback = renew
    return context


def triton_tls(triton: TritonSettings) -> Tls | None:
    """How Triton is met; None in plain text."""
    return Tls(triton.tls_ca, triton.tls_certificate, triton.tls_key) if triton.tls_ca else None


def _end(setting: str, file: str, of: Callable[[list[datetime]], datetime]) -> datetime:
    try:
        end = of([each.not_valid_after_utc for each in x509.load_pem_x509_certificates(Path(file).read_bytes())])
    except OSError as error:
        raise CertificateError(f"{setting}: {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise CertificateError(f"{setting}: {file} holds no certificate in PEM form") from None
    if end <= datetime.now(UTC):
        raise CertificateError(f"{setting}: {file} has ended on {end:%Y-%m-%d %H:%M} UTC: put a new one in its place")
    return end


def _pair(name: str, certificate: str, key: str) -> None:
    _load(name, certificate, key, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def _load(name: str, certificate: str, key: str, context: ssl.SSLContext) -> None:
    try:
        context.load_cert_chain(certificate, key, password="")  # without one, OpenSSL asks for it at a terminal
    except ssl.SSLError:
        setting = name.upper()
        raise CertificateError(
            f"{setting}_TLS_KEY: {key} is no key of {setting}_TLS_CERTIFICATE, {certificate}, or has a passphrase"
        ) from None
    except OSError as error:
        raise CertificateError(f"{name.upper()}_TLS_KEY: {key} cannot be read: {error.strerror}") from None


def _stamps(files: tuple[Path, ...]) -> list[tuple[int, int]]:
    return [(stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files)]
