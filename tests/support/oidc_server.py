"""An OAuth server of another hand, as an outside issuer: Authlib's, with its RFC 9068 tokens, over HTTPS.

    python -m tests.support.oidc_server FOLDER

Serves until it is killed. In the folder: ``server.pem`` (key and certificate chain), ``keys.json`` (private JWK set,
the first one signs; read anew for every request, so that a test rotates by writing it), and the port, which is written
to ``port`` once it listens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from flask import Flask, jsonify
from werkzeug.serving import make_server

CLIENT, SECRET = "pacs-7", "a secret of this test"
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


def create_app(folder: Path, issuer: str) -> Flask:
    """The server."""

    def keys() -> list[dict[str, Any]]:
        return list(json.loads((folder / "keys.json").read_bytes())["keys"])

    class Tokens(JWTBearerTokenGenerator):
        def get_jwks(self) -> dict[str, Any]:
            return {"keys": keys()[:1]}

        def get_audiences(self, client: Any, user: Any, scope: str) -> str:
            return AUDIENCES[scope.split(maxsplit=1)[0]]

        def get_extra_claims(self, client: Any, grant_type: str, user: Any, scope: str) -> dict[str, str]:
            return {"org": "St. Mary"}

    app = Flask(__name__)
    server = AuthorizationServer(
        app, query_client=lambda client_id: Client() if client_id == CLIENT else None, save_token=lambda *_: None
    )
    server.register_grant(grants.ClientCredentialsGrant)
    # Its own default is ten days, which no gateway takes.
    server.register_token_generator("default", Tokens(issuer, "ES256", expires_generator=lambda *_: 300))

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    @app.get("/jwks.json")
    def jwks() -> Any:
        public = [{name: value for name, value in key.items() if name != "d"} for key in keys()]
        return jsonify({"keys": public})

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Any:
        return jsonify({"issuer": issuer, "token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/jwks.json"})

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
