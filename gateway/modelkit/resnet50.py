"""Beside the steps: torchvision's ResNet-50 as an ONNX graph, from its state dict alone.

He et al. 2016, in the variant called v1.5: a stage's stride sits in its first block's 3x3 convolution, not in the 1x1
before it. Batch normalisation is folded into the convolutions: it is linear at inference, and a third of the nodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.modelkit.front import OUTPUT, SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

OPSET = 17
IR_VERSION = 8
BLOCKS = (3, 4, 6, 3)
EPSILON = 1e-5
"""``torch.nn.BatchNorm2d``'s default, which torchvision keeps."""


def build(state: Mapping[str, npt.NDArray[Any]], classes: int) -> onnx.ModelProto:
    """A model with input ``input``, float32 [batch, 3, 224, 224], and output ``logits``, float32 [batch, classes].

    Raises:
        ValueError: A tensor is missing, of another shape, not finite, or not part of a ResNet-50; names it.
    """
    builder = _Builder(state)
    value = builder.relu(builder.conv("conv1", "bn1", "input", (64, 3, 7, 7), stride=2))
    value = builder.add("MaxPool", [value], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, blocks in enumerate(BLOCKS, start=1):
        width = 32 * 2**stage
        for block in range(blocks):
            stride = 2 if block == 0 and stage > 1 else 1
            value = builder.bottleneck(f"layer{stage}.{block}", value, channels, width, stride)
            channels = 4 * width
    value = builder.add("Flatten", [builder.add("GlobalAveragePool", [value])])
    builder.linear("fc", value, (classes, channels))
    builder.check_nothing_left()
    graph = helper.make_graph(
        builder.nodes,
        "resnet50",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", classes])],
        builder.initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="cordon"
    )


class _Builder:
    """Takes tensors out of the state dict by name and turns them into nodes."""

    def __init__(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        # num_batches_tracked only counts training steps.
        self._left = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def bottleneck(self, name: str, value: str, channels: int, width: int, stride: int) -> str:
        out = 4 * width
        main = self.relu(self.conv(f"{name}.conv1", f"{name}.bn1", value, (width, channels, 1, 1)))
        main = self.relu(self.conv(f"{name}.conv2", f"{name}.bn2", main, (width, width, 3, 3), stride=stride))
        main = self.conv(f"{name}.conv3", f"{name}.bn3", main, (out, width, 1, 1))
        if stride != 1 or channels != out:
            shape = (out, channels, 1, 1)
            value = self.conv(f"{name}.downsample.0", f"{name}.downsample.1", value, shape, stride=stride)
        return self.relu(self.add("Add", [main, value]))

    def conv(self, conv: str, norm: str, value: str, shape: tuple[int, int, int, int], *, stride: int = 1) -> str:
        """A convolution without bias, and the batch normalisation after it, as one convolution with bias."""
        out, kernel = shape[0], shape[2]
        weight = self._take(f"{conv}.weight", shape)
        gain, shift, mean, variance = (
            self._take(f"{norm}.{part}", (out,)) for part in ("weight", "bias", "running_mean", "running_var")
        )
        if (variance < 0).any():
            raise ValueError(f"{norm}.running_var has negative values")
        scale = gain / np.sqrt(variance + EPSILON)
        inputs = [
            value,
            self._store(f"{conv}.weight", weight * scale[:, None, None, None]),
            self._store(f"{conv}.bias", shift - mean * scale),
        ]
        return self.add(
            "Conv", inputs, name=conv, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4
        )

    def linear(self, name: str, value: str, shape: tuple[int, int]) -> None:
        weight, bias = self._take(f"{name}.weight", shape), self._take(f"{name}.bias", shape[:1])
        inputs = [value, self._store(f"{name}.weight", weight), self._store(f"{name}.bias", bias)]
        self.nodes.append(helper.make_node("Gemm", inputs, [OUTPUT], name=name, transB=1))

    def relu(self, value: str) -> str:
        return self.add("Relu", [value])

    def add(self, operator: str, inputs: list[str], *, name: str = "", **attributes: Any) -> str:
        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [f"{name}.out"], name=name, **attributes))
        return f"{name}.out"

    def check_nothing_left(self) -> None:
        if self._left:
            raise ValueError(f"{len(self._left)} tensors are not part of a ResNet-50, such as {min(self._left)}")

    def _take(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """In float64, so that folding rounds once."""
        if name not in self._left:
            raise ValueError(f"{name} is missing: not a torchvision ResNet-50 state dict")
        tensor = self._left.pop(name)
        if tensor.shape != shape:
            hint = "; are the labels those of this model?" if name.startswith("fc.") else ""
            raise ValueError(f"{name} has shape {list(tensor.shape)}, not {list(shape)}{hint}")
        wide = tensor.astype(np.float64)
        if not np.isfinite(wide).all():
            raise ValueError(f"{name} has values that are not finite")
        return wide

    def _store(self, name: str, tensor: npt.NDArray[np.float64]) -> str:
        self.initializers.append(numpy_helper.from_array(tensor.astype(np.float32), name))
        return name
