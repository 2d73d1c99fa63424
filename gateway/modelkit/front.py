"""Beside the steps: puts the uint8 input in front of an ONNX image classifier or detector.

Tensors travel as uint8 [height, width, 3]: a quarter of the bytes of float32, and the float work is the model server's.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUT = "image"
OUTPUT = "logits"
BOXES = "boxes"
SIZE = 224

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def add_uint8_front(model: onnx.ModelProto, *, normalize: str = "none", size: int | None = None) -> onnx.ModelProto:
    """The same model with input ``image``, uint8 [batch, height, width, 3] RGB, and output ``logits`` or ``boxes``.

    The front casts to float32, puts channels first and divides by 255, in that order: exactly what the caller of the
    original would do, so the output is the original's.

    Args:
        model: One float32 input [batch, 3, height, width]; one float32 output: [batch, classes] of a classifier, or
            [batch, 4 + classes, anchors] of a detector. Not changed.
        normalize: ``none`` feeds [0, 1]; ``imagenet`` then subtracts ImageNet's mean and divides by its standard
            deviation, for a model trained so and without it in its graph.
        size: Height and width, where the graph leaves them open.

    Raises:
        ValueError: The model's input or output is another; says which.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    source, height, width = _only_input(graph, size)
    found = _only_output(graph)
    output = BOXES if detects(model) else OUTPUT

    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [], {"to": TensorProto.FLOAT}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
        ("Div", [_constant(graph, "front.255", 255.0)], {}),
    ]
    if normalize == "imagenet":
        steps.append(("Sub", [_constant(graph, "front.mean", IMAGENET_MEAN)], {}))
        steps.append(("Div", [_constant(graph, "front.std", IMAGENET_STD)], {}))
    elif normalize != "none":
        raise ValueError("normalize is none or imagenet")

    value = INPUT
    nodes = []
    for position, (operator, constants, attributes) in enumerate(steps):
        made = source if position == len(steps) - 1 else f"front.{operator.lower()}"
        nodes.append(
            helper.make_node(operator, [value, *constants], [made], name=f"front_{position}_{operator}", **attributes)
        )
        value = made
    nodes += list(graph.node)
    _rename(nodes, found, output)
    shape = output_shape(model)
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", height, width, 3]))
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, shape))
    set_metadata(model, "input_range", "uint8 RGB, 0 to 255, height x width x channel")
    onnx.checker.check_model(model, full_check=True)
    return model


def metadata_labels(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """The label order in the model's metadata; None if it has none.

    Key ``classes``: a JSON list. Key ``names``: a Python dictionary of numbers to labels, as Ultralytics writes it.
    """
    written = {entry.key: entry.value for entry in model.metadata_props}
    if "classes" in written:
        return tuple(json.loads(written["classes"]))
    try:
        names = ast.literal_eval(written["names"])
        return tuple(str(names[number]) for number in range(len(names)))
    except (KeyError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Add or replace one metadata entry."""
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=value)


def detects(model: onnx.ModelProto) -> bool:
    """Whether the output has a column an anchor."""
    return len(model.graph.output[0].type.tensor_type.shape.dim) == 3


def output_shape(model: onnx.ModelProto) -> list[int | str]:
    """As the manifest says it: ``batch``, then lengths; ``anchors`` where the graph leaves their number open."""
    _, *lengths = model.graph.output[0].type.tensor_type.shape.dim
    return ["batch", *(length.dim_value or "anchors" for length in lengths)]


def classes_of(model: onnx.ModelProto) -> int:
    """Classes that the output has room for; 0 if the graph does not fix it."""
    first = int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)
    return max(0, first - 4) if detects(model) else first


def _only_input(graph: onnx.GraphProto, size: int | None) -> tuple[str, int, int]:
    """Its name, height and width."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs; one is taken")
    kind = inputs[0].type.tensor_type
    shape = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(shape) != 4 or shape[1] != 3:
        raise ValueError("the model's input must be float32 [batch, 3, height, width]")
    if shape[0] != 0:
        raise ValueError("the model's batch dimension is fixed; export it with a dynamic one")
    height, width = (length or size or 0 for length in shape[2:])
    if not height or not width:
        raise ValueError("the model leaves height and width open: say which it was trained for (--size)")
    if size is not None and (height, width) != (size, size):
        raise ValueError(f"the model's input is {height} x {width} pixels, not {size}")
    if inputs[0].name in {INPUT, OUTPUT, BOXES}:
        raise ValueError(f"the model's input must not be named {INPUT}, {OUTPUT} or {BOXES}")
    return str(inputs[0].name), height, width


def _only_output(graph: onnx.GraphProto) -> str:
    if len(graph.output) != 1:
        raise ValueError(f"the model has {len(graph.output)} outputs; one is taken")
    kind = graph.output[0].type.tensor_type
    shape = [dimension.dim_value for dimension in kind.shape.dim]
    fewest = {2: 2, 3: 5}.get(len(shape))
    if kind.elem_type != TensorProto.FLOAT or fewest is None or shape[1] < fewest:
        raise ValueError(
            "the model's output must be float32: [batch, classes] with two classes or more, or [batch, 4 + classes, "
            "anchors] of a detector"
        )
    return str(graph.output[0].name)


def _constant(graph: onnx.GraphProto, name: str, value: float | Sequence[float]) -> str:
    array = np.asarray(value, np.float32)
    graph.initializer.append(numpy_helper.from_array(array.reshape(-1, 1, 1) if array.ndim else array, name))
    return name


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
