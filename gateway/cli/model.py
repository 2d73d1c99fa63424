"""``cordon model``: make and check models' folders, and say which version answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import model_serving

if TYPE_CHECKING:
    from gateway.modelkit.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True,
    help="Say which version of a model answers, while all runs; make and check the folders that Triton loads.\n\n"
    "Changes need DATABASE_URL, AUDIT_CHAIN_KEY and TRITON_URL, as the gateway does, or the state folder of a running "
    "cordon up: each is on record, with the reason, and holds on every worker within a second.",
    epilog="Examples, from a new version to everyone and back:\n\n"
    "cordon model load brain_mri_resnet50@2 --reason release\n\n"
    "cordon model warm brain_mri_resnet50@2\n\n"
    "cordon model shadow brain_mri_resnet50@2 25 --reason test\n\n"
    "cordon model canary brain_mri_resnet50@2 10 --reason canary\n\n"
    "cordon model list\n\n"
    "cordon model rollback brain_mri_resnet50 --reason incident",
)
app.registered_commands += model_serving.app.registered_commands


class Normalize(StrEnum):
    """What the model wants after the division by 255."""

    NONE = "none"
    IMAGENET = "imagenet"


@app.command()
def export(  # noqa: PLR0917 - the command's own options
    weights: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="torchvision ResNet-50 state dict (.safetensors, .pth, .pt); or an ONNX classifier or detector",
        ),
    ],
    labels: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Class names, one a line, in the order of the outputs")
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Model repository to put it into")],
    name: Annotated[str, typer.Option(help="The model's name")] = "resnet50",
    normalize: Annotated[
        Normalize, typer.Option(help="imagenet: the model was trained on ImageNet-normalised input; none: on 0 to 1")
    ] = Normalize.NONE,
    size: Annotated[
        int | None, typer.Option(min=32, max=4096, help="Height and width, if an ONNX file leaves them open")
    ] = None,
    version: Annotated[int, typer.Option(min=1, help="Above 1: add it to the folder NAME, which is there")] = 1,
) -> None:
    """Make NAME/ in the repository OUT: the graph with a uint8 input, labels, manifest and configurations.

    An ONNX file with the output [batch, 4 + classes, anchors] is a detector: the YOLO layout. Nothing in a checkpoint
    is run. PyTorch is not needed. A further version of a model has its labels, its input and its output.
    """
    try:
        from gateway.modelkit import artefact, manifest  # noqa: PLC0415 - needs the extra "export"
        from gateway.modelkit.version import add_version  # noqa: PLC0415

        written = labels.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        names = manifest.check_labels(written, labels, fewest=1)
        folder = out / name
        if version == 1:
            artefact.export(weights, names, out, name, normalize=normalize.value, size=size)
        else:
            add_version(folder, str(version), weights, names, normalize=normalize.value, size=size)
        promised = manifest.read_manifest(folder)
    except ImportError as error:
        raise _missing(error) from None
    except ValueError as error:
        raise _refused(error) from None
    digest = promised.weights(str(version))
    typer.echo(f"{folder}  {digest.bytes / 1e6:.1f} MB  SHA-256 {digest.sha256}")
    typer.echo("Classes, in the order of the outputs: " + ", ".join(names))
    typer.echo(f"Offer it: add version {version} to policies/models.yaml, with task: {_task(promised)}.")


@app.command()
def check(
    folders: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Folders of models")],
) -> None:
    """Check digests, label order and configurations of models' folders."""
    try:
        from gateway.modelkit import artefact  # noqa: PLC0415 - needs the extra "export"

        for folder in folders:
            manifest = artefact.check(folder)
            typer.echo(f"{manifest.name}: {len(manifest.files)} files as listed, {manifest.classes} labels in order")
    except ImportError as error:
        raise _missing(error) from None
    except ValueError as error:
        raise _refused(error) from None


def _task(manifest: Manifest) -> str:
    return "detection" if manifest.detects else "classification"


def _refused(error: ValueError) -> typer.Exit:
    typer.echo(f"error: {error}", err=True)
    return typer.Exit(1)


def _missing(error: ImportError) -> typer.Exit:
    typer.echo(f"error: {error.name} is not installed: pip install 'cordon[export]'", err=True)
    return typer.Exit(1)
