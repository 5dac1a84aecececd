"""LoRA by part: the published targets and sizes, what is shared, what comes back from disk, merging."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from architectures import VISION_LAYERS, small_input, small_loss, small_model
from pydantic import ValidationError
from torch import nn

from domainvl.errors import UsageError
from domainvl.model.adapters import LoraSettings, add_lora, inner_model
from domainvl.model.sizes import build_on_meta, size_config

LANGUAGE_MODEL_ALONE = {"vision": "frozen", "projector": "frozen"}
VISION_ALONE = {"language_model": "frozen", "projector": "frozen"}

PER_LAYER = {
    "qwen2": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
}
VISION_PER_LAYER = {"q_proj", "k_proj", "v_proj", "projection_layer", "fc1", "fc2"}

VARIANTS = [
    {},
    {"rslora": True},
    {"dora": True},
    {"qkv": "separate", "ranks": {"vision": 3}, "alphas": {"vision": 5}},
    {"projector": "lora", "ranks": {"projector": 2}},
    {"projector": "full", "embeddings": "full", "lm_head": "full"},
    {"vision": "full", "last_layers": {"vision": 2, "language_model": 1}},
    {"vision": "full"},
]


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def count(model: nn.Module) -> int:
    return sum(value.numel() for value in trained(model).values())


def shake(model: nn.Module) -> None:
    """Change all that is trained: the factor B begins at zero, where an adapter does nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in trained(model).values():
            value.add_(torch.randn(value.shape, generator=generator) * 0.1)


@pytest.mark.parametrize(
    ("size", "rank", "expected"),
    [("1b", 16, 8_798_208), ("2b", 16, 15_728_640), ("2b", 128, 125_829_120), ("4b", 16, 25_165_824)],
)
def test_language_model_has_as_many_trainable_weights_as_published(size: str, rank: int, expected: int) -> None:
    """The 2B's with rank 128 is printed in InternVL's documents; the others follow from the official targets."""
    model = add_lora(build_on_meta(size_config(size)), LoraSettings(rank=rank, **LANGUAGE_MODEL_ALONE))
    assert count(model) == expected


def test_vision_encoder_has_as_many_trainable_weights_as_published() -> None:
    assert count(add_lora(build_on_meta(size_config("1b")), LoraSettings(**VISION_ALONE))) == 6_291_456


def test_adapters_of_three_matrices_are_larger_than_of_the_fused_one() -> None:
    """By hand: 24 layers, rank 16. ViT: two more A of 1024. InternLM2: two more A of 2048."""
    fused = LoraSettings(projector="frozen")
    separate = LoraSettings(projector="frozen", qkv="separate")
    sizes = [count(add_lora(build_on_meta(size_config("2b")), settings)) for settings in (fused, separate)]
    assert sizes[1] - sizes[0] == 24 * 16 * 2 * (1024 + 2048)


@pytest.mark.parametrize("kind", PER_LAYER)
def test_every_linear_layer_of_attention_and_mlp_is_adapted_and_no_other(kind: str) -> None:
    model = small_model(kind)
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    wrapped = add_lora(model, LoraSettings(projector="frozen"))
    adapted = {
        name.removeprefix("base_model.model.").removesuffix(".base_layer.weight")
        for name, _ in wrapped.named_parameters()
        if name.endswith(".base_layer.weight")
    }
    projector = {f"model.multi_modal_projector.linear_{number}" for number in (1, 2)}
    assert adapted == linear - projector - {"lm_head"}
    by_hand = {f"{layer}.{name}" for layer in range(3) for name in PER_LAYER[kind]}
    found = {f"{name.split('.')[3]}.{name.split('.')[-1]}" for name in adapted if "language_model" in name}
    assert found == by_hand
    found = {name.split(".")[-1] for name in adapted if "vision_tower" in name}
    assert found == VISION_PER_LAYER


@pytest.mark.parametrize("variant", [{}, {"rslora": True}, {"dora": True}])
@pytest.mark.parametrize("part", ["vision", "language_model"])
def test_shared_factor_is_lora_on_the_fused_matrix(part: str, variant: dict) -> None:
    """Output and gradients equal those of peft's own LoRA on one matrix that holds query, key and value."""
    from peft import LoraConfig, get_peft_model

    model = small_model("llama")
    tower = model.model.vision_tower.encoder.layer[1].attention
    attention = tower if part == "vision" else model.model.language_model.layers[1].self_attn
    wrapped = add_lora(model, LoraSettings(rank=3, alpha=5, dropout=0.0, **variant))
    shake(wrapped)
    three = [attention.q_proj, attention.k_proj, attention.v_proj]
    width = three[0].in_features
    assert [linear.out_features for linear in three] == ([24, 24, 24] if part == "vision" else [32, 16, 16])

    holder = nn.ModuleDict({"qkv": nn.Linear(width, sum(linear.out_features for linear in three))})
    with torch.no_grad():
        holder["qkv"].weight.copy_(torch.cat([linear.base_layer.weight for linear in three]))
        biases = [linear.base_layer.bias for linear in three]
        holder["qkv"].bias.copy_(torch.cat(biases) if biases[0] is not None else torch.zeros(64))
    config = LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=["qkv"],
        use_rslora=variant.get("rslora", False),
        use_dora=variant.get("dora", False),
    )
    fused = get_peft_model(holder, config).base_model.model["qkv"]
    b = [linear.lora_B["default"].weight for linear in three]
    with torch.no_grad():
        fused.lora_A["default"].weight.copy_(three[0].lora_A["default"].weight)
        fused.lora_B["default"].weight.copy_(torch.cat(b))
        if variant.get("dora"):
            magnitudes = [linear.lora_magnitude_vector["default"].weight for linear in three]
            fused.lora_magnitude_vector["default"].weight.copy_(torch.cat(magnitudes))

    x = torch.randn(2, 5, width, generator=torch.Generator().manual_seed(2))
    ours, theirs = torch.cat([linear(x) for linear in three], dim=-1), fused(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, torch.cat([linear.base_layer(x) for linear in three], dim=-1), atol=1e-2)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    a = three[0].lora_A["default"].weight
    assert torch.allclose(a.grad, fused.lora_A["default"].weight.grad, rtol=1e-4, atol=1e-4)
    assert torch.allclose(
        torch.cat([value.grad for value in b]), fused.lora_B["default"].weight.grad, rtol=1e-4, atol=1e-4
    )


def test_factor_is_shared_where_the_published_matrix_is_fused_and_nowhere_else() -> None:
    def shared(kind: str, qkv: str) -> list[bool]:
        model = small_model(kind)
        add_lora(model, LoraSettings(rank=2, qkv=qkv))
        attentions = (
            model.model.vision_tower.encoder.layer[0].attention,
            model.model.language_model.layers[0].self_attn,
        )
        return [one.q_proj.lora_A["default"].weight is one.v_proj.lora_A["default"].weight for one in attentions]

    assert shared("llama", "fused") == [True, True]
    assert shared("qwen2", "fused") == [True, False]  # Qwen2's three matrices are published as three
    assert shared("llama", "separate") == [False, False]


def test_shared_factor_stays_shared_over_steps() -> None:
    model = small_model("llama")
    wrapped = add_lora(model, LoraSettings(rank=2, dropout=0.0))
    optimizer = torch.optim.AdamW([value for value in wrapped.parameters() if value.requires_grad], lr=0.1)
    for _ in range(2):
        small_loss(wrapped).backward()
        optimizer.step()
        optimizer.zero_grad()
    attention = model.model.language_model.layers[0].self_attn
    weights = [linear.lora_A["default"].weight for linear in (attention.q_proj, attention.k_proj, attention.v_proj)]
    assert all(torch.equal(first, second) for first, second in pairwise(weights))


@pytest.mark.parametrize("kind", PER_LAYER)
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_comes_back_from_disk_and_merges(kind: str, variant: dict, tmp_path: Path) -> None:
    """One adapter of peft, read by peft alone, thinks as it did; so does the model that it is merged into."""
    from peft import PeftModel

    wrapped = add_lora(small_model(kind), LoraSettings(**{"rank": 4, "dropout": 0.0, **variant}))
    shake(wrapped)
    wrapped.eval()
    wrapped.save_pretrained(tmp_path)
    with torch.inference_mode():
        expected = wrapped(**small_input()).logits
        plain = small_model(kind)(**small_input()).logits
        again = PeftModel.from_pretrained(small_model(kind), tmp_path).eval()
        assert torch.equal(again(**small_input()).logits, expected)
        merged = again.merge_and_unload()
        assert torch.allclose(merged(**small_input()).logits, expected, atol=1e-5)
    assert not torch.allclose(expected, plain, atol=1e-2)
    assert merged.state_dict().keys() == small_model(kind).state_dict().keys()


def test_parts_have_their_own_size_scale_and_dropout() -> None:
    settings = LoraSettings(
        rank=4, projector="lora", ranks={"vision": 2, "projector": 3}, alphas={"projector": 9}, dropouts={"vision": 0.5}
    )
    model = small_model()
    add_lora(model, settings)
    found = {
        name: (module.r["default"], module.scaling["default"], getattr(module.lora_dropout["default"], "p", 0.0))
        for name, module in (
            ("vision", model.model.vision_tower.encoder.layer[3].mlp.fc1),
            ("projector", model.model.multi_modal_projector.linear_2),
            ("language_model", model.model.language_model.layers[2].mlp.up_proj),
        )
    }
    # Scale is alpha / rank; alpha is twice the rank unless it is set.
    assert found == {"vision": (2, 2.0, 0.5), "projector": (3, 3.0, 0.05), "language_model": (4, 2.0, 0.05)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rank": 24}, {"vision": 48, "language_model": 48}),
        ({"rank": 24, "alpha": 5}, {"vision": 5, "language_model": 5}),
        ({"alpha": 5, "ranks": {"vision": 3}}, {"vision": 6, "language_model": 5}),
        ({"ranks": {"vision": 3}, "alphas": {"vision": 1}}, {"vision": 1, "language_model": 32}),
    ],
)
def test_alpha_follows_the_rank_unless_it_is_set(given: dict, expected: dict) -> None:
    settings = LoraSettings(**given)
    assert {part: settings.alpha_of(part) for part in expected} == expected


def test_scale_of_rslora_is_divided_by_the_root_of_the_rank() -> None:
    model = small_model()
    add_lora(model, LoraSettings(rank=4, alpha=6, rslora=True, ranks={"vision": 9}, alphas={"vision": 6}))
    assert model.model.language_model.layers[0].mlp.up_proj.scaling["default"] == pytest.approx(3.0)
    assert model.model.vision_tower.encoder.layer[0].mlp.fc1.scaling["default"] == pytest.approx(2.0)


def test_what_is_trained_in_full_beside_the_adapters() -> None:
    settings = LoraSettings(rank=2, vision="full", last_layers={"vision": 1, "language_model": 2}, lm_head="full")
    model = small_model()
    wrapped = add_lora(model, settings)
    names = [name.removeprefix("base_model.model.") for name in trained(wrapped)]
    in_full = {name.partition(".modules_to_save")[0] for name in names if "lora_" not in name}
    assert in_full == {
        f"model.vision_tower.encoder.layer.{VISION_LAYERS - 1}",
        "model.multi_modal_projector",
        "lm_head",
    }
    layers = {int(name.split(".")[3]) for name in names if "lora_" in name}
    assert layers == {1, 2}
    assert inner_model(wrapped) is model


def test_whole_vision_encoder_in_full_is_all_of_its_weights() -> None:
    model = small_model()
    expected = sum(value.numel() for value in model.model.vision_tower.parameters())
    wrapped = add_lora(model, LoraSettings(rank=2, vision="full", projector="frozen"))
    assert sum(value.numel() for name, value in trained(wrapped).items() if "vision_tower" in name) == expected


def test_trained_weights_are_fp32_on_a_base_that_is_not() -> None:
    model = small_model().to(torch.bfloat16)
    wrapped = add_lora(model, LoraSettings(rank=2, embeddings="full", vision="full", last_layers={"vision": 1}))
    types = {(value.requires_grad, value.dtype) for value in wrapped.parameters()}
    assert types == {(True, torch.float32), (False, torch.bfloat16)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**LANGUAGE_MODEL_ALONE, "language_model": "frozen"}, "at least one of vision, projector, language_model"),
        ({"ranks": {"projector": 4}}, "lora.ranks.projector is set, but lora.projector is 'full'"),
        ({"vision": "frozen", "alphas": {"vision": 4}}, "lora.alphas.vision is set, but lora.vision is 'frozen'"),
        ({"vision": "full", "dropouts": {"vision": 0.1}}, "lora.dropouts.vision is set"),
        ({"vision": "frozen", "last_layers": {"vision": 4}}, "lora.last_layers.vision is 4"),
        ({"language_model": "full"}, "'frozen' or 'lora'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LoraSettings(**given)


def test_more_layers_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match=r"lora.last_layers.vision must be at most 4.*got 5"):
        add_lora(small_model(), LoraSettings(last_layers={"vision": 5}))
