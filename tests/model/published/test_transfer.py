"""Every tensor goes over once, or nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from domainvl.errors import CheckpointError
from domainvl.model.published.layout import Binding, FusedRows
from domainvl.model.published.tensors import TensorInfo
from domainvl.model.published.transfer import model_shapes, to_native, to_published

FOLDER = Path("download")
BINDINGS = [Binding("qkv", ("q", "k", "v"), FusedRows(1, (1, 1, 1))), Binding("old", ("new",))]
EXPECTED = {"q": (2, 4), "k": (2, 4), "v": (2, 4), "new": (3,)}


class Memory:
    """Tensors that lie in memory, and how often each was read."""

    def __init__(self, **tensors: torch.Tensor) -> None:
        self._tensors = tensors
        self.reads: list[str] = []
        self.infos = {name: TensorInfo(value.dtype, tuple(value.shape)) for name, value in tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        self.reads.append(name)
        return self._tensors[name]

    def where(self, name: str) -> Path:
        return FOLDER / "shard-1"


def stored(**changes: torch.Tensor | None) -> Memory:
    tensors = {"old": torch.arange(3.0), "qkv": torch.arange(24.0).reshape(6, 4), **changes}
    return Memory(**{name: value for name, value in tensors.items() if value is not None})


def test_into_transformers_layout() -> None:
    source = stored()
    transfer = to_native(BINDINGS, source, EXPECTED, FOLDER)
    assert source.reads == []  # planned from shapes alone
    assert {name: info.shape for name, info in transfer.infos.items()} == EXPECTED
    assert list(transfer.infos) == ["new", "q", "k", "v"]  # in the order of the files
    assert transfer.parameters == 27
    written = dict(transfer.tensors())
    assert source.reads == ["old", "qkv"]
    assert torch.equal(written["k"], torch.arange(8.0, 16.0).reshape(2, 4))
    assert torch.equal(written["new"], torch.arange(3.0))


def test_one_tensor_at_a_time() -> None:
    source = stored()
    following = to_native(BINDINGS, source, EXPECTED, FOLDER).tensors()
    next(following)
    assert source.reads == ["old"]


def test_out_of_transformers_layout() -> None:
    source = stored()
    native = Memory(**dict(to_native(BINDINGS, source, EXPECTED, FOLDER).tensors()))
    transfer = to_published(BINDINGS, native, FOLDER)
    assert {name: info.shape for name, info in transfer.infos.items()} == {"old": (3,), "qkv": (6, 4)}
    written = dict(transfer.tensors())
    assert all(torch.equal(written[name], source.read(name)) for name in ("old", "qkv"))
    assert sorted(native.reads) == ["k", "new", "q", "v"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (stored(extra=torch.ones(1)), "no place for the tensor extra in shard-1"),
        (stored(extra=torch.ones(1), more=torch.ones(1)), "no place for the tensor extra in shard-1 and 1 more"),
        (stored(old=None), "asks for the tensor old, which is missing"),
        (stored(qkv=None), "asks for the tensor qkv, which is missing and 2 more"),
        (stored(old=torch.ones(4)), r"shard-1: the tensor old is \[4\] of torch.float32; config.json makes it .*\[3\]"),
        (stored(qkv=torch.ones(6, 5)), r"the tensor qkv is \[6, 5\] .* a part of \[2, 4\]"),
        (stored(qkv=torch.ones(9, 4)), r"the tensor qkv is \[9, 4\]"),
        (stored(qkv=torch.ones(7, 4)), r"the tensor qkv is \[7, 4\]"),
        (stored(qkv=torch.ones(24)), r"the tensor qkv is \[24\]"),
        (stored(qkv=torch.tensor(1.0)), r"the tensor qkv is \[\]"),
        (stored(old=torch.arange(3)), r"the tensor old is \[3\] of torch.int64; .* of floating point"),
        (stored(qkv=torch.ones(6, 4, dtype=torch.uint8)), r"the tensor qkv is \[6, 4\] of torch.uint8"),
    ],
    ids=[
        "unknown", "two unknown", "missing", "missing parts", "shape", "columns", "rows", "a row too many", "flat",
        "scalar", "whole numbers", "quantised",
    ],
)  # fmt: skip
def test_tensors_that_contradict_the_config(source: Memory, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        to_native(BINDINGS, source, EXPECTED, FOLDER)
    assert source.reads == []


def test_a_tensor_that_the_class_has_no_place_for() -> None:
    expected = {name: shape for name, shape in EXPECTED.items() if name != "v"}
    with pytest.raises(CheckpointError, match="no place for the tensor qkv"):
        to_native(BINDINGS, stored(), expected, FOLDER)


def test_two_stored_tensors_for_one_parameter() -> None:
    """An older and the current name of the same tensor."""
    bindings = [*BINDINGS, Binding("older", ("new",))]
    with pytest.raises(CheckpointError, match="old"):
        to_native(bindings, stored(older=torch.zeros(3)), EXPECTED, FOLDER)


def test_buffers_that_are_computed_again_are_left_out_and_named() -> None:
    names = ["language_model.model.layers.0.self_attn.rotary_emb.inv_freq", "vision_model.embeddings.position_ids"]
    source = Memory(**dict.fromkeys(names, torch.ones(2)), old=torch.ones(3), qkv=torch.ones(6, 4))
    transfer = to_native(BINDINGS, source, EXPECTED, FOLDER)
    assert transfer.left_out == tuple(names)
    assert set(transfer.infos) == set(EXPECTED)


@pytest.mark.parametrize(
    ("native", "message"),
    [
        ({"q": 2, "k": 2, "new": 3}, "this tensor is missing: v"),
        ({"q": 2, "new": 3}, "this tensor is missing: k and 1 more"),
        ({"q": 2, "k": 2, "v": 2, "new": 3, "other": 1}, "no place for the tensor other"),
    ],
)
def test_native_tensors_that_cannot_be_published(native: dict[str, int], message: str) -> None:
    source = Memory(**{name: torch.ones(rows) for name, rows in native.items()})
    with pytest.raises(CheckpointError, match=message):
        to_published(BINDINGS, source, FOLDER)


def test_parts_of_different_types_are_not_joined_silently() -> None:
    source = Memory(q=torch.ones(2, 4), k=torch.ones(2, 4).half(), v=torch.ones(2, 4), new=torch.ones(3))
    with pytest.raises(CheckpointError, match="qkv|k"):
        to_published(BINDINGS, source, FOLDER)


def test_tied_tensors_are_held_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.all_tied_weights_keys = {"b.weight": "a.weight"}
            self.a, self.b = nn.Linear(2, 3, bias=False), nn.Linear(2, 3, bias=False)
            self.b.weight = self.a.weight

    assert model_shapes(Tied()) == {"a.weight": (3, 2)}
    assert model_shapes(nn.Linear(2, 3)) == {"weight": (3, 2), "bias": (3,)}
