"""``python -m gateway.cli``: the ``cordon`` command."""

if __name__ == "__main__":
    # uvicorn's processes run the main module again, under another name: they need nothing of this.
    from gateway.cli.main import app

    app()
