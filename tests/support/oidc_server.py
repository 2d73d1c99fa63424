"""An OAuth server of another hand, as an outside issuer: Authlib's, with its RFC 9068 tokens, over HTTPS.

People sign in there, too (OpenID Connect, code with PKCE): whoever comes is let in as the person whose name is in the
folder's file ``person.json``, a JSON object of claims; nobody is while there is none.

    python -m tests.support.oidc_server FOLDER

Serves until it is killed. In the folder: ``server.pem`` (key and certificate chain), ``keys.json`` (private JWK set,
the first one signs; read anew for every request, so that a test rotates by writing it), and the port, which is written
to ``port`` once it listens.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc6749.errors import OAuth2Error
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

CLIENT, SECRET = "pacs-7", "a secret of this test"
CONSOLE, CONSOLE_SECRET = "console-1", "another secret: of this+test"
AUDIENCES = {"cordon/predict": "https://cordon.example", "other/read": "https://other.example"}


class Client(ClientMixin):
    """The one client."""

    def get_client_id(self) -> str:
        return CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(name for name in scope.split() if name in AUDIENCES)

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class Console(ClientMixin):
    """The console of a gateway, wherever it is: its port is not known before it is started."""

    def get_client_id(self) -> str:
        return CONSOLE

    def get_default_redirect_uri(self) -> str:
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(name for name in scope.split() if name in {"openid", "groups"})

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri.startswith("http://127.0.0.1:") and redirect_uri.endswith("/console/login/back")

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == CONSOLE_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):
    """One that was given out."""

    code: str
    person: dict[str, Any]
    redirect_uri: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Person:
    """Whoever signs in."""

    claims: dict[str, Any]

    def get_user_id(self) -> str:
        return str(self.claims["sub"])


def create_app(folder: Path, issuer: str) -> Flask:
    """The server."""

    def keys() -> list[dict[str, Any]]:
        return list(json.loads((folder / "keys.json").read_bytes())["keys"])

    class Tokens(JWTBearerTokenGenerator):
        def get_jwks(self) -> dict[str, Any]:
            return {"keys": keys()[:1]}

        def get_audiences(self, client: Any, user: Any, scope: str) -> str:
            return AUDIENCES.get(scope.split(maxsplit=1)[0], "")

        def get_extra_claims(self, client: Any, grant_type: str, user: Any, scope: str) -> dict[str, str]:
            return {"org": "St. Mary"}

    codes: dict[str, Code] = {}

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, request: Any) -> None:
            said = request.payload.data
            codes[code] = Code(
                code,
                request.user.claims,
                request.payload.redirect_uri,
                request.payload.scope,
                said.get("nonce", ""),
                said["code_challenge"],
                said["code_challenge_method"],
            )

        def query_authorization_code(self, code: str, client: Any) -> Code | None:
            return codes.get(code)

        def delete_authorization_code(self, authorization_code: Code) -> None:
            codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Code) -> Person:
            return Person(authorization_code.person)

    class Identity(OpenIDCode):
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return any(code.nonce == nonce for code in codes.values())

        def get_jwt_config(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {"key": {"keys": keys()[:1]}, "alg": "ES256", "iss": issuer, "exp": 300}

        def generate_user_info(self, user: Person, scope: str) -> UserInfo:
            return UserInfo(**user.claims)

    app = Flask(__name__)
    server = AuthorizationServer(
        app,
        query_client={CLIENT: Client(), CONSOLE: Console()}.get,
        save_token=lambda *_: None,
    )
    server.register_grant(grants.ClientCredentialsGrant)
    server.register_grant(CodeGrant, [CodeChallenge(required=True), Identity(require_nonce=True)])
    # Its own default is ten days, which no gateway takes.
    server.register_token_generator("default", Tokens(issuer, "ES256", expires_generator=lambda *_: 300))

    @app.get("/authorize")
    def authorize() -> Any:
        file = folder / "person.json"
        person = Person(json.loads(file.read_text())) if file.exists() else None
        try:
            grant = server.get_consent_grant(end_user=person)
        except OAuth2Error as error:
            return jsonify(dict(error.get_body())), 400
        return server.create_authorization_response(request, grant_user=person, grant=grant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/jwks.json")
    def jwks() -> Any:
        public = [{name: value for name, value in key.items() if name != "d"} for key in keys()]
        return jsonify({"keys": public})

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        return jsonify(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks.json",
            }
        )

    return app


def main(folder: Path) -> None:
    """Serve."""
    chain = str(folder / "server.pem")
    server = make_server("localhost", 0, Flask(__name__), threaded=True, ssl_context=(chain, chain))
    server.app = create_app(folder, f"https://localhost:{server.server_port}")
    (folder / "port.new").write_text(str(server.server_port))
    (folder / "port.new").rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
