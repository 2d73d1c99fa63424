"""``cordon up``: all of Cordon on this machine, until Ctrl-C."""

from __future__ import annotations

import shlex
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from gateway.cli.errors import fail
from gateway.cli.running import Stopped, running
from gateway.embedded.errors import StackError
from gateway.embedded.state import StateFolder
from gateway.embedded.triton import DEFAULT_CONFIGURATION
from gateway.embedded.triton_environment import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from gateway.cli.running import Running

DEFAULT_STATE = Path(".cordon")

_WATCH_SECONDS = 0.25
_SINGLE, _MULTI = "mr-single-frame.dcm", "mr-multi-frame.dcm"

StateOption = Annotated[
    Path, typer.Option("--state", envvar="CORDON_STATE", help="Folder for keys, records, logs and caches")
]
TritonOption = Annotated[
    Path, typer.Option("--triton", envvar="CORDON_TRITON", help="Environment that holds the model server")
]
ModelConfigOption = Annotated[
    str,
    typer.Option(
        "--model-config",
        envvar="CORDON_MODEL_CONFIG",
        metavar="NAME",
        help="Which configs/NAME.pbtxt of the models to serve by: openvino, openvino-int8, openvino-both",
    ),
]
WorkersOption = Annotated[int, typer.Option(min=1, max=64, help="Gateway processes")]


def up(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 takes a free one")] = 8080,
    state: StateOption = DEFAULT_STATE,
    workers: WorkersOption = 1,
    host: Annotated[str, typer.Option(help="Address to listen on")] = "127.0.0.1",
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running requests get to end")] = 10.0,
    triton: TritonOption = DEFAULT_ENVIRONMENT,
    model_config: ModelConfigOption = DEFAULT_CONFIGURATION,
) -> None:
    """Start Valkey, Triton and the gateway on this machine, and stay until Ctrl-C.

    The first start makes the machine's secrets and an administrator's key, which is shown once.
    """
    console = Console()
    folder = StateFolder(state)
    try:
        with running(
            console,
            folder,
            triton=triton,
            host=host,
            port=port,
            workers=workers,
            drain=drain,
            configuration=model_config,
        ) as everything:
            _greet(console, everything, state)
            say = partial(console.print, soft_wrap=True, markup=False, highlight=False)
            while True:
                time.sleep(_WATCH_SECONDS)
                everything.stack.check(say)
    except Stopped:
        return
    except StackError as error:
        raise fail(str(error)) from None


def _greet(console: Console, everything: Running, state: Path) -> None:
    if not all((everything.stack.state.samples / name).exists() for name in (_SINGLE, _MULTI)):
        from gateway.embedded.samples import write_samples  # noqa: PLC0415 - pydicom takes a second to import

        write_samples(everything.stack.state.samples)
    predict = f"{everything.url}/v1/predict"

    def line(text: str = "") -> None:
        # As it is: neither wrapped nor styled, so that it can be pasted.
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    line(f"\nCordon is up: {everything.url}")
    line(f"Console: {everything.url}/console   Sign in with a key that has the scope console, such as the first one")
    if everything.metrics_url is not None:
        line(f"Metrics: {everything.metrics_url}   For Prometheus, on this machine alone; docs/observability.md")
    line(f"State: {state}   Logs: {state / 'logs'}   Stop: Ctrl-C\n")
    if everything.first_key is not None:
        line("The first key, with the role admin. It is shown this once:\n")
        line(f"  export CORDON_KEY={everything.first_key}\n")
    else:
        line("There are keys already. Another one:\n")
        option = "" if state == DEFAULT_STATE else f" --state {shlex.quote(str(state))}"
        line(f"  export CORDON_KEY=$(.venv/bin/cordon{option} keys issue --owner Me --tenant local --role admin)\n")
    single, multi = (shlex.quote(str(state / "samples" / name)) for name in (_SINGLE, _MULTI))
    line("Try (the files are synthetic, in samples/ of the state folder):\n")
    line(f'  curl -H "X-API-Key: $CORDON_KEY" -F image=@{single} {predict}')
    line(
        f'  curl -H "X-API-Key: $CORDON_KEY" -H "Content-Type: application/dicom" --data-binary @{multi} '
        f"'{predict}?frames=all'"
    )
    line(
        f'  curl -H "X-API-Key: $CORDON_KEY" -F image=@{single} -o deidentified.dcm -D - {everything.url}/v1/deidentify'
    )
    line(f"  curl {everything.url}/readiness\n")
