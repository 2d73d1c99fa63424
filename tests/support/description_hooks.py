"""For schemathesis, which runs in a process of its own: who calls, what is put right again, what else must hold.

It finds its callers in the file that ``CORDON_CALLERS`` names: keys of one tenant, of which it takes the next when it
has revoked the one in use, and an operator of another tenant, who switches on again what it has switched off.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
from pathlib import Path
from typing import Any

import requests
import schemathesis

CALLERS: dict[str, Any] = json.loads(Path(os.environ["CORDON_CALLERS"]).read_text())
KEYS: list[str] = CALLERS["keys"]
ALWAYS = ("x-request-id", "server-timing", "x-content-type-options", "cache-control", "content-security-policy")
TOKENS = "/oauth/token"
"""RFC 6749 §5.2 has a form of its own for some errors."""
NO_MODEL_SERVER = "The model is unavailable"
"""What is true of this gateway: its model server is one in memory, into which nothing can be loaded."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    if case.operation.path != TOKENS:  # which takes an assertion, and refuses another credential beside it
        case.headers["Authorization"] = f"Bearer {KEYS[0]}"


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    if case.operation.label == "PUT /v1/admin/switches/{kind}/{name}" and response.status_code == 200:
        url = response.request.url.partition("?")[0]
        requests.delete(url, headers={"Authorization": f"Bearer {CALLERS['operator']}"}, timeout=30).raise_for_status()
    if response.status_code == 503:
        # On a machine that is very busy a store may not answer in time. The test bounds how many of these there are.
        assert response.headers.get("retry-after"), "no Retry-After"
        told = f"{case.operation.label} {response.json()['title']}"
        if not (told.startswith("POST /v1/admin/models/") and told.endswith(NO_MODEL_SERVER)):
            with Path(os.environ["CORDON_CALLERS"]).with_suffix(".503").open("a") as tally:
                tally.write(f"{told}\n")
    sent = response.request.headers.get("Authorization", [""])
    mine = f"Bearer {KEYS[0]}" in (sent if isinstance(sent, list) else [sent])
    if mine and response.status_code == 401 and len(KEYS) > 1:
        KEYS.pop(0)


@schemathesis.check
def errors_are_problems(context: Any, response: Any, case: Any) -> None:
    """RFC 9457, with the correlation ID; and every answer has the headers that every answer has."""
    for name in ALWAYS:
        assert response.headers.get(name), f"no {name}"
    if response.status_code < 400 or case.method == "HEAD":
        return
    [media_type] = response.headers["content-type"]
    problem = response.json()
    if case.path != TOKENS or "error" not in problem:
        assert media_type == "application/problem+json", media_type
    assert problem["status"] == response.status_code
    [request_id] = response.headers["x-request-id"]
    assert problem["instance"].endswith(request_id)


@schemathesis.deserializer("multipart/related")
def related(context: Any, response: Any) -> Any:
    """A de-identified object and its report."""
    head = f"Content-Type: {response.headers['content-type'][0]}\r\n\r\n".encode()
    root, report = email.message_from_bytes(head + response.content, policy=email.policy.HTTP).iter_parts()
    return {"object": root.get_payload(), "report": json.loads(report.get_payload(decode=True))}
