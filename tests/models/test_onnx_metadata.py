"""Reading the header of an ONNX file: what it says of itself, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from lingting.errors import ModelError
from lingting.models import onnx_metadata
from lingting.models.onnx_metadata import Header, Tensor


def content() -> bytes:
    """A model with metadata, a fixed and a free dimension, and weights."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 45, 80])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT64, ["N"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 45, 16])
    weights = numpy_helper.from_array(np.zeros((80, 16), np.float32), "weights")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "weights"], ["y"])], "g", [x, lengths], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (("model_type", "zipformer2"), ("T", "45"), ("comment", "聆听"), ("empty", "")):
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


CONTENT = content()


def header(tmp_path: Path, what: bytes) -> Header:
    (tmp_path / "model.onnx").write_bytes(what)
    return onnx_metadata.read(tmp_path / "model.onnx")


def test_metadata_inputs_and_outputs_are_read(tmp_path: Path) -> None:
    read = header(tmp_path, CONTENT)
    assert read.metadata == {"model_type": "zipformer2", "T": "45", "comment": "聆听", "empty": ""}
    assert read.inputs == (Tensor("x", 1, (None, 45, 80)), Tensor("lengths", 7, (None,)))
    assert read.outputs == (Tensor("y", 1, (None, 45, 16)),)


def test_it_reads_what_the_onnx_package_reads_of_a_real_model(tmp_path: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "src" / "lingting" / "audio" / "silero_vad_16k_sequence.onnx"
    read, model = onnx_metadata.read(path), onnx.load(str(path))
    assert [tensor.name for tensor in read.inputs] == [each.name for each in model.graph.input]
    assert [tensor.name for tensor in read.outputs] == [each.name for each in model.graph.output]
    assert read.metadata == {each.key: each.value for each in model.metadata_props}


def test_weights_are_stepped_over(tmp_path: Path) -> None:
    """A file of 1 GB, of which only the header lies on the disk."""
    graph = helper.make_graph([], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])], [])
    start = helper.make_model(graph).SerializeToString()
    size = 1 << 30
    path = tmp_path / "large.onnx"
    with path.open("wb") as output:
        # an unknown field of that length, and a model behind it
        key, length = bytes([(100 << 3 | 2) & 0x7F | 0x80, (100 << 3 | 2) >> 7]), bytearray()
        rest = size
        while rest:
            length.append(rest & 0x7F | (0x80 if rest >> 7 else 0))
            rest >>= 7
        output.write(key + bytes(length))
        output.seek(size, 1)
        output.write(start)
    assert onnx_metadata.read(path).inputs == (Tensor("x", 1, (1,)),)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    ends = [end for end in range(len(CONTENT)) if not _readable(tmp_path, CONTENT[:end])]
    assert len(ends) > 0.99 * len(CONTENT), "only a cut between two fields can go unnoticed"
    with pytest.raises(ModelError, match=r"model\.onnx is not a whole ONNX file: it ends \d+ bytes too early"):
        header(tmp_path, CONTENT[:3000])


def _readable(tmp_path: Path, what: bytes) -> bool:
    try:
        header(tmp_path, what)
    except ModelError:
        return False
    return True


@pytest.mark.parametrize("what", [b"", b"no model", b"\0" * 1000, b"\xff" * 1000, b"<html></html>"])
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, what: bytes) -> None:
    with pytest.raises(ModelError, match="is not a"):
        header(tmp_path, what)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx cannot be read: No such file"):
        onnx_metadata.read(tmp_path / "absent.onnx")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_whatever_is_changed_in_a_file_it_is_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(CONTENT)
    for place, value in changes:
        changed[place] = value
    _readable(tmp_path, bytes(changed))
