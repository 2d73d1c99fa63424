"""The server of ``oidc_server.py`` as a process, and its keys."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import trustme
from jose import jwk

from tests.support.issuer import SigningKey
from tests.support.oidc_server import CLIENT, SECRET

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = SigningKey("one", "ES256"), SigningKey("two", "ES256")


class Issuer:
    """The running server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(self.certificate))
        self.authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
        self.rotate(ONE)
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.oidc_server", str(folder)], cwd=ROOT, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not (folder / "port").exists():
            assert self.process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.url = f"https://localhost:{(folder / 'port').read_text()}"
        self.http = httpx.Client(verify=ssl.create_default_context(cafile=self.certificate), trust_env=False)
        self.discovered = self.http.get(f"{self.url}/.well-known/openid-configuration").json()

    def rotate(self, *keys: SigningKey) -> None:
        """Sign with the first from now on, and publish all of them."""
        private = [jwk.construct(key.private, key.algorithm).to_dict() | {"kid": key.key_id} for key in keys]
        draft = self.folder / "keys.new"
        draft.write_text(json.dumps({"keys": private}))
        draft.rename(self.folder / "keys.json")

    def token(self, scope: str = "cordon/predict") -> str:
        """By the client credentials flow."""
        answer = self.http.post(
            self.discovered["token_endpoint"],
            data={"grant_type": "client_credentials", "scope": scope},
            auth=(CLIENT, SECRET),
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def let_in(self, **claims: object) -> None:
        """Whoever signs in is this person from now on."""
        (self.folder / "person.json").write_text(json.dumps(claims))

    def stop(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(20)
