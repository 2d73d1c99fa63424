"""Alembic's entry: runs the revisions on the connection that ``migrate`` hands over."""

from __future__ import annotations

from alembic import context

from gateway.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot ALTER most things in place
)
with context.begin_transaction():
    context.run_migrations()
