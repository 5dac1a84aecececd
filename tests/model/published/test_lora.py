"""Adapters of the official trainer are merged into their matrices, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from published_checkpoints import read_json, read_weights, write_published

from domainvl.errors import CheckpointError
from domainvl.model.published.lora import MergedTensors
from domainvl.model.published.tensors import CheckpointTensors

LLM = {"use_llm_lora": 4, "use_backbone_lora": 0}
UP = "language_model.base_model.model.model.layers.0.mlp.up_proj."
NORM = "language_model.base_model.model.model.norm.weight"


class Memory:
    """Tensors that lie in memory."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        from domainvl.model.published.tensors import TensorInfo

        self._tensors = tensors
        self.infos = {name: TensorInfo(value.dtype, tuple(value.shape)) for name, value in tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def where(self, name: str) -> Path:
        return Path("shard")


def wrapped(rank: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"{UP}base_layer.weight": torch.randn(6, 5, generator=generator),
        f"{UP}base_layer.bias": torch.randn(6, generator=generator),
        f"{UP}lora_A.default.weight": torch.randn(rank, 5, generator=generator),
        f"{UP}lora_B.default.weight": torch.randn(6, rank, generator=generator),
        NORM: torch.randn(5, generator=generator),
        "mlp1.1.weight": torch.randn(5, 5, generator=generator),
    }


def test_names_lose_the_wrapping_and_the_update_is_added() -> None:
    tensors = wrapped()
    merged = MergedTensors(Memory(tensors), LLM)
    plain = "language_model.model.layers.0.mlp.up_proj."
    assert list(merged.infos) == [f"{plain}weight", f"{plain}bias", "language_model.model.norm.weight", "mlp1.1.weight"]
    assert merged.merged == 1
    assert merged.where(f"{plain}weight") == Path("shard")
    down, up = tensors[f"{UP}lora_A.default.weight"], tensors[f"{UP}lora_B.default.weight"]
    expected = tensors[f"{UP}base_layer.weight"].double() + 2.0 * up.double() @ down.double()
    assert torch.allclose(merged.read(f"{plain}weight").double(), expected, rtol=1e-6, atol=1e-6)
    assert merged.read(f"{plain}bias") is tensors[f"{UP}base_layer.bias"]
    assert merged.read("language_model.model.norm.weight") is tensors[NORM]


def as_steps(values: torch.Tensor) -> torch.Tensor:
    """Number bfloat16 values so that neighbours differ by one."""
    bits = values.view(torch.int16).int()
    return torch.where(bits < 0, -(bits & 0x7FFF), bits)


@pytest.mark.parametrize("family", ["qwen2", "internlm2", "phi3"])
def test_checkpoint_of_the_official_trainer_is_merged_within_one_step(tmp_path: Path, family: str) -> None:
    """The sum in float64, rounded once, is the truth; float32 may round a tie the other way."""
    folder = write_published(tmp_path / "in", family, lora_rank=4, backbone_lora_rank=3)
    stored, config = read_weights(folder), read_json(folder / "config.json")
    merged = MergedTensors(CheckpointTensors(folder), config)
    targets = {"qwen2": 7, "internlm2": 5, "phi3": 4}[family]
    assert merged.merged == 2 * targets + 2 * 4  # two layers of each part

    plain = read_weights(write_published(tmp_path / "plain", family))
    assert set(merged.infos) == set(plain)
    changed = 0
    for name in merged.infos:
        part, _, rest = name.partition(".")
        module, _, kind = f"{part}.base_model.model.{rest}".rpartition(".")
        down = stored.get(f"{module}.lora_A.default.weight")
        value = merged.read(name)
        assert value.dtype == torch.bfloat16
        if down is None or kind != "weight":
            assert torch.equal(value, plain[name])
            continue
        up = stored[f"{module}.lora_B.default.weight"]
        base = stored[f"{module}.base_layer.weight"]
        expected = (base.double() + 2.0 * (up.double() @ down.double())).bfloat16()
        assert int((as_steps(value) - as_steps(expected)).abs().max()) <= 1
        assert not torch.equal(value, base)
        changed += 1
    assert changed == merged.merged


def rename(tensors: dict[str, torch.Tensor], old: str, new: str) -> dict[str, torch.Tensor]:
    return {name.replace(old, new): value for name, value in tensors.items()}


def without(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "config", "message"),
    [
        (wrapped(), LLM | {"use_llm_lora": 8}, rf"{UP}lora_A.default.weight: its rank must be the 8 .* got 4"),
        (wrapped(), LLM | {"use_llm_lora": 0}, rf"{UP}lora_A.default.weight: its rank must be the 0 .* got 4"),
        (wrapped(), {}, rf"{UP}lora_A.default.weight: its rank must be the 0 .* got 4"),
        (without(wrapped(), f"{UP}lora_B.default.weight"), LLM, rf"{UP}lora_B.default.weight is missing"),
        (without(wrapped(), f"{UP}lora_A.default.weight"), LLM, rf"tensor {UP}lora_B.default.weight"),
        (without(wrapped(), f"{UP}base_layer.weight"), LLM, r"up_proj.weight that it belongs to is missing"),
        (rename(wrapped(), ".default.", ".second."), LLM, r"tensor .*lora_A.second.weight.* named 'default'"),
        (rename(wrapped(), ".lora_A.default.weight", ".lora_magnitude_vector"), LLM, "lora_magnitude_vector|lora_B"),
        (
            wrapped() | {f"{UP}lora_B.default.weight": torch.ones(7, 4)},
            LLM,
            r"the update \[7, 4\] x \[4, 5\] does not fit .*up_proj.weight, \[6, 5\]",
        ),
        (
            wrapped() | {f"{UP}lora_B.default.weight": torch.ones(6, 3)},
            LLM,
            r"the update \[6, 3\] x \[4, 5\] does not fit",
        ),
        (
            {name: value for name, value in wrapped().items() if "lora_" not in name},
            LLM,
            r"use_llm_lora is 4 in config.json, but no tensor of language_model.\* has lora_A",
        ),
        (wrapped(), LLM | {"use_backbone_lora": 4}, r"use_backbone_lora is 4 .* no tensor of vision_model.\*"),
    ],
    ids=[
        "another rank",
        "flag says none",
        "no flag",
        "no lora_B",
        "no lora_A",
        "no matrix",
        "another adapter",
        "DoRA",
        "rows",
        "inner side",
        "flag without adapters",
        "flag of the other part",
    ],
)
def test_what_does_not_fit_is_refused(tensors: dict[str, torch.Tensor], config: dict[str, int], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MergedTensors(Memory(tensors), config)


def test_several_ranks_in_one_part_are_refused() -> None:
    other = rename(wrapped(rank=2), "layers.0", "layers.1")
    with pytest.raises(CheckpointError, match=r"layers.1.*its rank must be the 4 .* got 2"):
        MergedTensors(Memory(wrapped() | other), LLM)


def test_a_tensor_both_wrapped_and_plain_is_refused() -> None:
    """One of them would win silently."""
    both = wrapped() | {"language_model.model.norm.weight": torch.zeros(5)}
    with pytest.raises(CheckpointError, match="norm.weight"):
        MergedTensors(Memory(both), LLM)


@pytest.mark.parametrize("flag", ["sixteen", [16]])
def test_a_flag_that_is_no_number_is_refused(flag: object) -> None:
    with pytest.raises(CheckpointError, match="use_llm_lora"):
        MergedTensors(Memory(wrapped()), {"use_llm_lora": flag})


def test_a_checkpoint_without_adapters_is_as_it_is() -> None:
    tensors = {"vision_model.encoder.layers.0.ls1": torch.ones(2), "language_model.model.norm.weight": torch.ones(3)}
    merged = MergedTensors(Memory(tensors), {"use_llm_lora": 0, "use_backbone_lora": None})
    assert (list(merged.infos), merged.merged) == (list(tensors), 0)
