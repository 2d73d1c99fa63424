"""Beside the steps: puts the uint8 input in front of an ONNX image classifier.

Tensors travel as uint8 [224, 224, 3]: a quarter of the bytes of float32, and the float work is the model server's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

INPUT = "image"
OUTPUT = "logits"
SIZE = 224

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def add_uint8_front(model: onnx.ModelProto, *, normalize: str = "none") -> onnx.ModelProto:
    """The same model with input ``image``, uint8 [batch, 224, 224, 3] RGB, and output ``logits``.

    The front casts to float32, puts channels first and divides by 255, in that order: exactly what the caller of the
    original would do, so the logits are the original's.

    Args:
        model: One float32 input [batch, 3, 224, 224], one float32 output [batch, classes]. Not changed.
        normalize: ``none`` feeds [0, 1]; ``imagenet`` then subtracts ImageNet's mean and divides by its standard
            deviation, for a model trained so and without it in its graph.

    Raises:
        ValueError: The model's input or output is another; says which.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    source, logits = _only_input(graph), _only_output(graph)

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
        output = source if position == len(steps) - 1 else f"front.{operator.lower()}"
        nodes.append(
            helper.make_node(operator, [value, *constants], [output], name=f"front_{position}_{operator}", **attributes)
        )
        value = output
    nodes += list(graph.node)
    _rename(nodes, logits, OUTPUT)
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", SIZE, SIZE, 3]))
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", classes]))
    set_metadata(model, "input_range", "uint8 RGB, 0 to 255, height x width x channel")
    onnx.checker.check_model(model, full_check=True)
    return model


def metadata_labels(model: onnx.ModelProto) -> tuple[str, ...] | None:
    """The label order in the model's metadata (key ``classes``, a JSON list); None if it has none."""
    for entry in model.metadata_props:
        if entry.key == "classes":
            return tuple(json.loads(entry.value))
    return None


def set_metadata(model: onnx.ModelProto, key: str, value: str) -> None:
    """Add or replace one metadata entry."""
    kept = [entry for entry in model.metadata_props if entry.key != key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=value)


def classes_of(model: onnx.ModelProto) -> int:
    """Logits an image; 0 if the graph does not fix it."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value)


def _only_input(graph: onnx.GraphProto) -> str:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs; one is taken")
    kind = inputs[0].type.tensor_type
    shape = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(shape) != 4 or shape[1:] != [3, SIZE, SIZE]:
        raise ValueError(f"the model's input must be float32 [batch, 3, {SIZE}, {SIZE}]")
    if shape[0] != 0:
        raise ValueError("the model's batch dimension is fixed; export it with a dynamic one")
    if inputs[0].name in {INPUT, OUTPUT}:
        raise ValueError(f"the model's input must not be named {INPUT} or {OUTPUT}")
    return str(inputs[0].name)


def _only_output(graph: onnx.GraphProto) -> str:
    if len(graph.output) != 1:
        raise ValueError(f"the model has {len(graph.output)} outputs; one is taken")
    kind = graph.output[0].type.tensor_type
    shape = [dimension.dim_value for dimension in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(shape) != 2 or shape[1] < 2:
        raise ValueError("the model's output must be float32 [batch, classes], with two classes or more")
    return str(graph.output[0].name)


def _constant(graph: onnx.GraphProto, name: str, value: float | Sequence[float]) -> str:
    array = np.asarray(value, np.float32)
    graph.initializer.append(numpy_helper.from_array(array.reshape(-1, 1, 1) if array.ndim else array, name))
    return name


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
