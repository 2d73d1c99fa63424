"""Certificates: what cannot be used stops the start and says why; the listener's is renewed while it serves."""

from __future__ import annotations

import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.cli.serve import listen
from gateway.embedded.child import Child
from gateway.embedded.secrets import NAMES
from gateway.settings import AdmissionSettings, AuditSettings, DeidSettings, HttpSettings, RedisSettings, Settings
from gateway.settings import TritonSettings as Triton
from gateway.tls import CertificateError, check, listener_context
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.valkey import ValkeyServer

SECRETS = {"ADMISSION_KEY_PEPPER": "p" * 32, "DEID_KEY": "d" * 32, "AUDIT_CHAIN_KEY": "c" * 32}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def http_of(pair: tuple[Path, Path], client_ca: Path | str = "") -> HttpSettings:
    return HttpSettings(tls_certificate=str(pair[0]), tls_key=str(pair[1]), tls_client_ca=str(client_ca))


def settings_of(http: HttpSettings) -> Settings:
    return Settings(
        admission=AdmissionSettings(key_pepper=SECRETS["ADMISSION_KEY_PEPPER"]),
        deid=DeidSettings(key=SECRETS["DEID_KEY"]),
        audit=AuditSettings(chain_key=SECRETS["AUDIT_CHAIN_KEY"]),
        http=http,
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: HttpSettings(tls_certificate="c.pem"), "HTTP_TLS_CERTIFICATE and HTTP_TLS_KEY go together"),
        (lambda: HttpSettings(tls_client_ca="ca.pem"), "HTTP_TLS_CLIENT_CA needs HTTP_TLS_CERTIFICATE"),
        (lambda: RedisSettings(url="redis://there", tls_ca="ca.pem"), "need a REDIS_URL that starts with rediss"),
        (lambda: RedisSettings(url="rediss://there", tls_key="k"), "REDIS_TLS_CERTIFICATE and REDIS_TLS_KEY"),
        (lambda: Triton(tls_certificate="c.pem", tls_key="k"), "TRITON_TLS_CERTIFICATE needs TRITON_TLS_CA"),
    ],
)
def test_half_of_it_is_refused(made: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made()  # type: ignore[operator]


def test_when_each_ends(authority: Authority) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    ends = check(settings_of(http_of(authority.issue("soon", end=end), authority.ca)))
    assert ends["http"] == end
    assert ends["http-client-ca"] > end
    assert set(ends) == {"http", "http-client-ca"}


def test_what_cannot_be_used_is_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.server
    ended = authority.issue("ended", end=datetime.now(UTC) - timedelta(days=1))
    for pair, says in {
        (tmp_path / "none.pem", key): "HTTP_TLS_CERTIFICATE: .* cannot be read: No such file",
        (key, key): "HTTP_TLS_CERTIFICATE: .* holds no certificate",
        (certificate, tmp_path / "none.key"): "HTTP_TLS_KEY: .* cannot be read: No such file",
        (certificate, authority.client[1]): "HTTP_TLS_KEY: .* is no key of HTTP_TLS_CERTIFICATE",
        ended: "HTTP_TLS_CERTIFICATE: .* has ended on ",
    }.items():
        with pytest.raises(CertificateError, match=says):
            check(settings_of(http_of(pair)))


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """A server that shakes hands and says nothing; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(caller, server_side=True) as secure:
                    secure.recv(1)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def serial_at(port: int, context: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        shown = secure.getpeercert()
    assert shown
    return str(shown["serialNumber"])


def test_a_renewed_certificate_is_taken_and_one_that_does_not_fit_is_not(authority: Authority) -> None:
    certificate, key = authority.issue("renewed")
    caller = authority.client_context(known=False)
    with listening(listener_context(http_of((certificate, key)))) as port:
        first = serial_at(port, caller)
        key.write_bytes(authority.server[1].read_bytes())  # half of it
        assert {serial_at(port, caller) for _ in range(2)} == {first}
        authority.issue("renewed")
        serial_at(port, caller)
        assert serial_at(port, caller) != first


def test_it_is_made_in_every_process(authority: Authority) -> None:
    made = pickle.loads(pickle.dumps(partial(listener_context, http_of(authority.server))))
    with listening(made()) as port:
        assert serial_at(port, authority.client_context(known=False))


def serving(folder: Path, **variables: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in NAMES}
    database = f"sqlite+aiosqlite:///{folder / 'cordon.db'}"
    return plain | SECRETS | {"DATABASE_URL": database, "TRITON_URL": "127.0.0.1:1"} | variables


def test_the_command_does_not_start_with_a_certificate_that_has_ended(authority: Authority, tmp_path: Path) -> None:
    certificate, key = map(str, authority.issue("ended", end=datetime.now(UTC) - timedelta(days=1)))
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve", "--port", "0"],
        env=serving(tmp_path, HTTP_TLS_CERTIFICATE=certificate, HTTP_TLS_KEY=key),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: HTTP_TLS_CERTIFICATE: " in done.stderr
    assert "has ended on" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_gateway_by_https_alone_and_only_to_whom_it_knows(
    valkey: ValkeyServer, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = map(str, authority.server)
    variables = serving(
        tmp_path, REDIS_URL=valkey.url, HTTP_TLS_CERTIFICATE=certificate, HTTP_TLS_KEY=key, INGEST_WORKER_PROCESSES="1",
        HTTP_TLS_CLIENT_CA=str(authority.ca), AUDIT_CHECKPOINT_FILE=str(tmp_path / "checkpoints"),
    )  # fmt: skip
    with listen("127.0.0.1", 0) as listener, listen("127.0.0.1", 0) as metrics:
        fds = (listener.fileno(), metrics.fileno())
        command = [sys.executable, "-m", "gateway.cli", "serve", "--fd", str(fds[0]), "--metrics-fd", str(fds[1])]
        child = Child("The gateway", command, log=tmp_path / "log", environment=variables, pass_fds=fds)
        port, metrics_port = listener.getsockname()[1], metrics.getsockname()[1]
        known = httpx.Client(verify=authority.client_context(), base_url=f"https://localhost:{port}", timeout=10)
        try:
            with known:
                child.wait_ready(lambda: answers(known), 60)
                found = known.get("/health")
                assert found.status_code == 200
                assert found.headers["Strict-Transport-Security"].startswith("max-age=63072000")
                # A body in many reads, through TLS.
                assert known.post("/v1/predict", content=b"x" * 3_000_000).status_code == 401
            refused(f"https://localhost:{port}", authority.client_context(known=False))
            old = authority.client_context()
            old.set_ciphers("DEFAULT@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1"):
                old.minimum_version = ssl.TLSVersion.TLSv1
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            refused(f"https://localhost:{port}", old)
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=10)
            gauge = 'cordon_certificate_end_timestamp_seconds{certificate="http"} '
            told = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=10).text
            [line] = [line for line in told.splitlines() if line.startswith(gauge)]
            assert 29 * 86400 < float(line.removeprefix(gauge)) - time.time() < 31 * 86400
            idle = httpx.Client(verify=authority.client_context(), base_url=f"https://localhost:{port}", timeout=10)
            assert answers(idle)
        finally:
            child.stop(20)
        idle.close()
    # A caller who keeps a connection and reads nothing from it holds nobody up.
    assert "timeout graceful shutdown exceeded" not in (tmp_path / "log").read_text()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.HTTPError:
        return False


def refused(url: str, context: ssl.SSLContext) -> None:
    with httpx.Client(verify=context, timeout=10) as client, pytest.raises(httpx.HTTPError):
        client.get(f"{url}/health")
