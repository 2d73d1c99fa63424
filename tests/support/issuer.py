"""An issuer of tokens: keys, a JWK set served over real HTTP, and tokens good and bad."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jwt

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

ISSUER = "https://login.hospital.example"
AUDIENCE = "https://cordon.example"


class SigningKey:
    """A private key and the JWK of its public half."""

    def __init__(self, key_id: str, algorithm: str = "RS256", *, bits: int = 2048) -> None:
        self.key_id = key_id
        self.algorithm = algorithm
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        if algorithm in curves:
            self.private: Any = ec.generate_private_key(curves[algorithm]())
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        made = jwk.construct(self.private.public_key(), algorithm)
        self.jwk = {**made.to_dict(), "kid": key_id, "use": "sig"}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """A token; members of the header that are None are left out."""
        return jwt.encode(
            claims,
            jwk.construct(self.private, self.algorithm),
            self.algorithm,
            headers={"kid": self.key_id, "typ": "at+jwt"} | header,
        )

    def sign_raw(self, header: bytes, payload: bytes) -> str:
        """A token of these very bytes, signed."""
        text = f"{b64(header)}.{b64(payload)}"
        signature = jwk.construct(self.private, self.algorithm).sign(text.encode())
        return f"{text}.{b64(signature)}"


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; a change to None leaves the claim out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "pacs-7",
        "jti": "a1b2c3",
        "iat": now - 5,
        "exp": now + 600,
        "scope": "cordon/predict",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


class JwksServer:
    """What is served, how often it was asked for, and how it misbehaves."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.body: bytes = json.dumps({"keys": keys}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.host = ""
        self.delay = 0.0
        self.url = ""

    def offer(self, *keys: SigningKey) -> None:
        """Serve these keys from now on."""
        self.body = json.dumps({"keys": [key.jwk for key in keys]}).encode()


@contextmanager
def serving(*keys: SigningKey, tls: ssl.SSLContext | None = None) -> Iterator[JwksServer]:
    """A JWK set at ``url`` on this machine; with ``tls`` at ``https://localhost``."""
    state = JwksServer([key.jwk for key in keys])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            state.host = self.headers["Host"]
            time.sleep(state.delay)
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            with suppress(OSError):  # the reader had enough
                self.wfile.write(state.body)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            """A caller who breaks off the handshake is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        state.url = f"https://localhost:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


TOKEN_URL = "https://cordon.example/oauth/token"


def assertion_claims(client_id: str, **changes: Any) -> dict[str, Any]:
    """Claims of a good assertion for ``TOKEN_URL``, changed; a change to None leaves the claim out."""
    good = {"iss": client_id, "sub": client_id, "aud": TOKEN_URL, "jti": uuid4().hex, "exp": int(time.time()) + 240}
    return {name: value for name, value in (good | changes).items() if value is not None}


def assertion(key: SigningKey, client_id: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A good assertion of this client, changed."""
    return key.sign(assertion_claims(client_id, **changes), **({"typ": "JWT"} | (header or {})))
