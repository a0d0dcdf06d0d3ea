"""Writing small ONNX graphs: nodes one after the other, constants, metadata, all checked by the onnx package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64

Shape = Sequence[int | str]


class Graph:
    """A graph that is being written. Names of tensors are what its methods return."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, kind: int, shape: Shape) -> str:
        """Declare an input; their order is what counts."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, tensor: str, kind: int, shape: Shape, name: str) -> None:
        """Give a tensor out under a name; their order is what counts."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant of any shape."""
        name = self._name("constant")
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """A vector of int64, as shapes and axes are."""
        return self.constant(values, np.int64)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """A node; returns the name of its output, or a tuple of names where there are more."""
        names = [self._name(operator) for _ in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def save(self, path: Path, **metadata: object) -> None:
        """Check the graph and write it; lists in `metadata` are joined by commas."""
        graph = helper.make_graph(self._nodes, "tiny", self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        for key, value in metadata.items():
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            model.metadata_props.add(key=key, value=text)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)

    def _name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}-{self._count}"
