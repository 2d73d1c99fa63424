"""Someone at the console without a browser: keeps the cookie as a browser would, and sends its forms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.admission.key_record import NewKey
from gateway.admission.sessions import COOKIE

if TYPE_CHECKING:
    import httpx

    from tests.support.site import Site

TENANT = "st-mary"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
_TOKEN = re.compile(r'name="csrf" value="([A-Za-z0-9_-]{43})"')


def new_key(site: Site, *roles: str, owner: str = "Ada Administrator", **changes: Any) -> tuple[str, str]:
    """A key with these roles of the policy; its public ID and its text."""
    scopes = frozenset().union(*(site.app.state.parts.access.roles[role] for role in roles or ("admin",)))
    fields = {"owner": owner, "tenant": TENANT, "scopes": scopes, "plan": "unlimited-internal"} | changes
    record, issued = site.run(site.app.state.parts.keys.issue(NewKey(**fields)))
    return record.key_id, issued.text


class Visitor:
    """One browser, without a window.

    Args:
        site: The gateway.
    """

    def __init__(self, site: Site) -> None:
        self.client: httpx.Client = site.client()
        self.cookie = ""
        self.token = ""

    def sign_in(self, key: str, **fields: str) -> httpx.Response:
        """Send the form of the sign-in page."""
        answer = self.post("/console/login", key=key, **fields)
        if answer.status_code == 303:
            self.token = _TOKEN.findall(self.get("/console").text)[0]
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Look at a page."""
        return self._keep(self.client.get(path, headers=self._head(headers)))

    def post(self, path: str, headers: dict[str, str] | None = None, /, **fields: str | list[str]) -> httpx.Response:
        """Send a form, with the session's token if there is one."""
        data = {"csrf": self.token} | fields if self.token else fields
        return self._keep(self.client.post(path, data=data, headers=self._head(SAME_ORIGIN | (headers or {}))))

    def _head(self, headers: dict[str, str]) -> dict[str, str]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return ({"Cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}) | given

    def _keep(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            assert name == COOKIE
            self.cookie = rest.partition(";")[0]
        self.client.cookies.clear()
        return answer
