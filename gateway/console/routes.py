"""The console's pages, as ``gateway/app.py`` serves them."""

from __future__ import annotations

from gateway.console import (
    assets,
    audit,
    audit_export,
    clients,
    issuing,
    key_requests,
    keys,
    overview,
    policies,
    sign_in,
    switches,
    try_it,
)

CONSOLE = (
    sign_in,
    overview,
    try_it,
    issuing,
    keys,
    key_requests,
    clients,
    audit,
    audit_export,
    policies,
    switches,
    assets,
)
