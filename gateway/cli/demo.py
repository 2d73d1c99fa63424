"""``cordon demo``: the whole way once, from images that name a patient to what came out of them."""

from __future__ import annotations

import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.cli.errors import fail
from gateway.cli.running import Stopped, running
from gateway.cli.steps import step
from gateway.cli.up import DEFAULT_STATE, StateOption, TritonOption
from gateway.embedded.errors import StackError
from gateway.embedded.state import StateFolder
from gateway.embedded.triton_environment import DEFAULT_ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from gateway.cli.running import Running
    from gateway.embedded.samples import Sample

_TIMEOUT_SECONDS = 30.0
_DICOM = "application/dicom"
_DONE = {"uid": "UIDs replaced", "private": "private removed", "metadata": "segments dropped"}
"""How the report's actions read in a sentence; those that are not here read well as they are."""


def demo(
    *,
    state: StateOption = DEFAULT_STATE,
    triton: TritonOption = DEFAULT_ENVIRONMENT,
) -> None:
    """Start everything, send four sample images, show what came out, stop.

    Keys and records go into a temporary folder; only compiled models are kept, in the state folder's cache.
    """
    console = Console()
    try:
        with tempfile.TemporaryDirectory(prefix="cordon-demo-") as folder:
            temporary = StateFolder(Path(folder), cache=StateFolder(state).cache)
            with running(
                console, temporary, triton=triton, host="127.0.0.1", port=0, workers=1, drain=5.0
            ) as everything:
                passed = _show(console, everything)
    except Stopped:
        raise typer.Exit(130) from None
    except StackError as error:
        raise fail(str(error)) from None
    if not passed:
        raise fail("the demo did not go as it should; see above")


def _show(console: Console, everything: Running) -> bool:
    # Imported while the servers are up already: pydicom takes a second, and httpx is in the extra "embedded".
    import httpx  # noqa: PLC0415

    from gateway.embedded.samples import all_samples  # noqa: PLC0415

    samples = all_samples()
    assert everything.first_key is not None  # the folder is new
    headers = {"X-API-Key": everything.first_key}
    with httpx.Client(base_url=everything.url, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        with step(console, "Sending four images", "Four images were answered"):
            answers = [_send(client, sample) for sample in samples]
        console.print(_table(samples, answers))
        for sample, answer in zip(samples, answers, strict=True):
            console.print(f"  [bold]{sample.name}[/bold]: {_what_happened(answer)}", highlight=False)
        console.print()
        given_back = _deidentify(console, client, samples[0])
        good = all(answer.status_code == HTTPStatus.OK for answer in (*answers, given_back))
        good &= _show_traces(console, everything.stack.state, samples, [*answers, given_back])
        return good & _show_audit(console, client)


def _send(client: httpx.Client, sample: Sample) -> httpx.Response:
    """DICOM as the whole body, with all frames; the others as a form, as a browser sends them."""
    if sample.media_type == _DICOM:
        head = {"Content-Type": sample.media_type}
        return client.post("/v1/predict", params={"frames": "all"}, content=sample.data, headers=head)
    # A file name often is the patient's name; the gateway does not keep it.
    return client.post("/v1/predict", files={"image": (f"{sample.identifiers[0]}.img", sample.data, sample.media_type)})


def _deidentify(console: Console, client: httpx.Client, sample: Sample) -> httpx.Response:
    """One file, to be given back instead of classified."""
    with step(console, "Sending one to be given back", "One was given back, de-identified"):
        answer = client.post("/v1/deidentify", content=sample.data, headers={"Content-Type": sample.media_type})
    if answer.status_code != HTTPStatus.OK:
        console.print(f"  [red]{answer.status_code} {answer.json()['title']}[/red]: {answer.json()['detail']}")
        return answer
    size = len(answer.content)
    console.print(f"  [bold]{sample.name}[/bold]: {len(sample.data)} bytes in, {size} bytes out", highlight=False)
    console.print(f"  {answer.headers['Deidentification-Report']}\n", markup=False, highlight=False, style="dim")
    return answer


def _table(samples: Iterable[Sample], answers: Iterable[httpx.Response]) -> Table:
    table = Table(
        title="What went in, and what came out",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("File", no_wrap=True)
    table.add_column("Prediction", no_wrap=True)
    table.add_column("Conf.", justify="right", no_wrap=True)
    table.add_column("Removed", no_wrap=True)
    table.add_column("Text masked", no_wrap=True)
    table.add_column("Latency", justify="right", no_wrap=True)
    for sample, answer in zip(samples, answers, strict=True):
        body: dict[str, Any] = answer.json()
        if answer.status_code != HTTPStatus.OK:
            table.add_row(sample.name, f"[red]{answer.status_code} {body['title']}[/red]")
            continue
        report = body["deidentification"]
        masked, looked_at = report["regions_masked"], report["frames_looked_at"]
        table.add_row(
            sample.name,
            body["prediction"],
            f"{body['confidence']:.1%}",
            f"{sum(report['actions'].values())} {'elements' if sample.media_type == _DICOM else 'segments'}",
            f"{masked} in {looked_at} frame{'s' if looked_at > 1 else ''}",
            f"{body['latency_ms']:.0f} ms",
        )
    return table


def _what_happened(answer: httpx.Response) -> str:
    body = answer.json()
    if answer.status_code != HTTPStatus.OK:
        return str(body["detail"])
    largest_first = sorted(body["deidentification"]["actions"].items(), key=lambda each: -each[1])
    return ", ".join(f"{count} {_DONE.get(action, action)}" for action, count in largest_first)


def _show_traces(
    console: Console, state: StateFolder, samples: Iterable[Sample], answers: Iterable[httpx.Response]
) -> bool:
    """Look for every identifier that went in, in everything that came out or was written."""
    planted = sorted({text for sample in samples for text in sample.identifiers})
    written = {str(path.relative_to(state.path)): path.read_bytes() for path in state.path.rglob("*") if path.is_file()}
    answered = {
        f"answer {index}": answer.content + str(answer.headers).encode() for index, answer in enumerate(answers)
    }
    everywhere = written | answered
    found = [(text, place) for text in planted for place, data in everywhere.items() if text.encode() in data]
    said = f"{len(planted)} identifiers went in; looked for in {len(answered)} answers and {len(written)} files written"
    console.print(f"{_mark(not found)} {said}: {len(found)} found", highlight=False)
    for text, place in found:
        console.print(f"  [red]{text}[/red] in {place}", highlight=False)
    return not found


def _show_audit(console: Console, client: httpx.Client) -> bool:
    answer = client.get("/v1/admin/audit/verify")
    body = answer.json()
    good = answer.status_code == HTTPStatus.OK and bool(body["good"])
    if answer.status_code != HTTPStatus.OK:
        said = f"cannot be verified: {body['detail']}"
    elif good:
        said = f"{body['records']} records, unbroken; as they were written"
    else:
        said = "; ".join(f"{name}: {verdict['says']}" for name, verdict in body["verdicts"].items())
    console.print(f"{_mark(good)} audit chain: {said}", highlight=False)
    return good


def _mark(good: bool) -> str:
    return "[green]✓[/green]" if good else "[red]✗[/red]"
