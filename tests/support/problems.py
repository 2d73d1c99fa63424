"""What every error of the gateway must look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


def assert_problem(response: httpx.Response, status: int, slug: str = "") -> dict[str, object]:
    """It is an RFC 9457 document with that status, for this request."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["instance"].endswith(response.headers["x-request-id"])
    assert problem["title"]
    assert problem["detail"]
    if slug:
        assert problem["type"].rpartition(":")[2].rpartition("/")[2].endswith(slug), problem["type"]
    return dict(problem)
