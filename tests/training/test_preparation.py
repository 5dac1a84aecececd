"""From a recipe to a model that can be trained: what is wrapped, held in which type, and what three steps change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from domainvl.errors import UsageError
from domainvl.model.checkpoint import LoadedModel, load_model, save_checkpoint
from domainvl.model.parts import layers_of
from domainvl.training.batches import Batch, ReadUnit, collate
from domainvl.training.loading import ImageLoader
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.preparation import prepare_model
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.sources import DatasetSource, ModelInput

CPU = torch.device("cpu")


def recipe(untrained: Path, *changes: str, method: str = "lora") -> Recipe:
    return load_recipe("quickstart/medical", model=str(untrained), method=method, overrides=list(changes))


def prepared(untrained: Path, *changes: str, method: str = "lora") -> LoadedModel:
    return prepare_model(recipe(untrained, *changes, method=method), CPU, {})


def one_batch(loaded: LoadedModel, squares: Path) -> Batch:
    preprocessing = loaded.spec.preprocessing
    source = DatasetSource(squares, "squares", "domain")
    units = source.encode(range(2), ModelInput(loaded.encoder(), preprocessing, None), preprocessing.max_tiles)
    images = ImageLoader(squares, preprocessing)
    return collate([ReadUnit(one, 0, images.read(one.images, one.max_tiles)) for one in units], 0, "packed")


def three_steps(loaded: LoadedModel, squares: Path) -> list[float]:
    """Train on one batch; return its loss before each step."""
    batch = one_batch(loaded, squares)
    settings = load_recipe("quickstart/medical").optimisation
    optimizer = build_optimizer(loaded.model, settings)
    loaded.model.train()
    losses = []
    for _ in range(3):
        loss = AnswerLoss(loaded)(batch).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def logits(loaded: LoadedModel) -> torch.Tensor:
    loaded.model.eval()
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * 16, 42, 43]])
    with torch.inference_mode():
        return loaded.internvl(input_ids=ids, pixel_values=torch.ones(1, 3, 64, 64)).logits


@pytest.mark.parametrize("quantisation", ["nf4", "nf4-double"])
def test_qlora_trains_its_adapters_alone(untrained: Path, squares: Path, tmp_path: Path, quantisation: str) -> None:
    pytest.importorskip("bitsandbytes")
    loaded = prepared(
        untrained,
        f"quantisation={quantisation}",
        "lora.projector=frozen",
        "lora.embeddings=frozen",
        "compute.gradient_checkpointing=true",
    )
    before = {name: value.detach().clone() for name, value in loaded.model.named_parameters()}
    losses = three_steps(loaded, squares)
    assert losses[2] < losses[0]
    changed = {name for name, value in loaded.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "lora_" in name}

    save_checkpoint(loaded, tmp_path / "adapter")
    again = load_model(str(tmp_path / "adapter"))
    assert torch.allclose(logits(again), logits(loaded), atol=1e-5)
    whole = load_model(str(tmp_path / "adapter"), quantisation="none")
    assert {value.dtype for value in whole.model.parameters()} == {torch.float32}
    adapter = {name: value for name, value in loaded.model.named_parameters() if "lora_" in name}
    on_whole = dict(whole.model.named_parameters())
    assert all(torch.equal(value, on_whole[name]) for name, value in adapter.items())
    near = torch.corrcoef(torch.stack([logits(whole).flatten(), logits(loaded).flatten()]))[0, 1]
    assert near > 0.95


def test_evaluation_in_between_changes_no_gradient_of_a_quantised_model(untrained: Path, squares: Path) -> None:
    """On CPUs with bf16 instructions bitsandbytes would take gradients away at the first validation."""
    pytest.importorskip("bitsandbytes")
    loaded = prepared(untrained, "quantisation=nf4")
    batch = one_batch(loaded, squares)
    found = []
    for _ in range(2):
        loaded.model.train()
        loaded.model.zero_grad()
        AnswerLoss(loaded)(batch).sum().backward()
        found.append({name: value.grad for name, value in loaded.model.named_parameters() if value.requires_grad})
        logits(loaded)
    assert all(torch.equal(gradient, found[1][name]) for name, gradient in found[0].items())
    assert all(gradient.any() for name, gradient in found[0].items() if "lora_B" in name)


def test_frozen_weights_in_bf16_and_trained_ones_in_fp32(untrained: Path, squares: Path) -> None:
    half = ("compute.precision=bf16", "compute.weights=bf16")
    loaded = prepared(untrained, *half)
    types = {(value.requires_grad, value.dtype) for value in loaded.model.parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = three_steps(loaded, squares)
    assert losses[2] < losses[0]

    loaded = prepared(untrained, *half, "full.vision=false", method="full")
    frozen = {name for name, value in loaded.internvl.named_parameters() if value.dtype == torch.bfloat16}
    assert frozen == {name for name, _ in loaded.internvl.named_parameters() if ".vision_tower." in name}


def test_everything_is_fp32_on_a_cpu_unless_asked(untrained: Path) -> None:
    loaded = prepared(untrained, "compute.precision=auto")
    assert {value.dtype for value in loaded.model.parameters()} == {torch.float32}


def test_drop_path_is_on_when_the_recipe_says_so(untrained: Path, squares: Path) -> None:
    losses = []
    for rate in (0.0, 0.0, 0.9):
        torch.manual_seed(0)
        losses.append(three_steps(prepared(untrained, f"optimisation.drop_path_rate={rate}"), squares)[0])
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("asked", "vision", "language_model"),
    [("false", 1, 1), ("true", 2, 2), ("{vision: true}", 2, 1), ("{language_model: true}", 1, 2)],
)
def test_the_parts_that_are_checkpointed(
    untrained: Path, squares: Path, asked: str, vision: int, language_model: int
) -> None:
    loaded = prepared(untrained, f"compute.gradient_checkpointing={asked}")
    counts = {"vision": 0, "language_model": 0}
    for part, name in (("vision", "attention"), ("language_model", "self_attn")):

        def count(*_: object, part: str = part) -> None:
            counts[part] += 1

        getattr(layers_of(loaded.internvl, part)[-1], name).register_forward_pre_hook(count)
    loaded.model.train()
    AnswerLoss(loaded)(one_batch(loaded, squares)).sum().backward()
    assert counts == {"vision": vision, "language_model": language_model}


def test_fused_kernels_are_refused_on_a_cpu_and_put_in_before_adapters(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="Cannot use liger-kernel: its kernels need a GPU"):
        prepared(untrained, "compute.liger=true")
    given = []
    monkeypatch.setattr("domainvl.training.preparation.require_liger", lambda device: given.append(device))
    monkeypatch.setattr(
        "domainvl.training.preparation.use_liger",
        lambda model: given.append([name for name, _ in model.named_parameters() if "lora" in name]),
    )
    prepared(untrained)
    assert given == []
    prepared(untrained, "compute.liger=true")
    assert given == [CPU, []]


def test_attention_that_is_asked_for(untrained: Path) -> None:
    config = prepared(untrained, "compute.attention=eager").internvl.config
    assert config.vision_config._attn_implementation == config.text_config._attn_implementation == "eager"
    with pytest.raises(UsageError, match="flash_attention_2: it needs a GPU"):
        prepared(untrained, "compute.attention=flash_attention_2")


def test_an_adapter_is_no_model_to_start_from(untrained: Path, tmp_path: Path) -> None:
    save_checkpoint(prepared(untrained), tmp_path / "adapter")
    with pytest.raises(UsageError, match="model must be a whole model"):
        prepared(tmp_path / "adapter")


def test_an_adapter_finds_its_base_from_any_folder(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(untrained.parent)
    loaded = prepared(Path(untrained.name))
    save_checkpoint(loaded, tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    assert load_model("adapter").spec.base.name == str(untrained.resolve())


def test_a_model_that_ships_keeps_its_name() -> None:
    assert prepared(Path("tiny")).spec.base.name == "tiny"
