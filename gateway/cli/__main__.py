"""``python -m gateway.cli``: the ``cordon`` command."""

if __name__ == "__main__":
    # Each worker process runs the main module again, under another name (anyio.to_process): it needs nothing of this.
    from gateway.cli.main import app

    app()
