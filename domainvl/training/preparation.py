"""From a recipe to a model that is ready to be trained: loaded, adapted or partly frozen, in the right types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError
from domainvl.model.adapters import add_lora
from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import (
    BaseReference,
    CheckpointSpec,
    LoadedModel,
    absolute_reference,
    dynamic_border_of,
    find_checkpoint,
    hash_weights,
    load_model,
    load_tokenizer,
    read_config,
    read_spec,
    rope_border_of,
)
from domainvl.model.checkpointing import checkpoint_layers
from domainvl.model.compilation import compile_layers
from domainvl.model.device import choose_frozen_weights, choose_precision
from domainvl.model.drop_path import add_drop_path
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.liger import require_liger, use_liger
from domainvl.model.parts import train_in_full
from domainvl.training.sources import ModelInput

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import InternVLForConditionalGeneration

    from domainvl.training.recipe import Recipe


def read_model_input(recipe: Recipe) -> ModelInput:
    """Read how a recipe's model takes samples in; its weights are not read.

    Raises:
        CheckpointError: If there is no such model, or it cannot be read.
        UsageError: If it is an adapter.
    """
    folder = find_checkpoint(recipe.model)
    spec = read_spec(folder)
    _refuse_adapter(spec, recipe)
    tokenizer = load_tokenizer(folder)
    preprocessing = recipe.preprocessing.applied_to(spec.preprocessing)
    encoder = ConversationEncoder(tokenizer.backend_tokenizer, spec.chat, preprocessing.tokens_per_tile)
    padding_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    config = read_config(folder)
    return ModelInput(encoder, preprocessing, rope_border_of(config), padding_id, dynamic_border_of(config))


def text_attention(recipe: Recipe, device: torch.device) -> str:
    """Return the implementation of attention that the language model will have.

    Raises:
        UsageError: If the machine lacks what is asked for.
    """
    if recipe.compute.attention == "flex_attention" and device.type == "cpu":
        raise UsageError(
            "Cannot use flex_attention",
            rule="it has no backward pass on a CPU",
            action="Take auto, which computes the same",
        )
    arithmetic = choose_precision(recipe.compute.precision, device)
    wanted = None if recipe.compute.attention == "auto" else recipe.compute.attention
    return choose_attention(device, arithmetic, packs=True, requested=wanted)["text_config"]


def prepare_model(
    recipe: Recipe, device: torch.device, training: dict[str, Any], weights_sha256: str | None = None
) -> LoadedModel:
    """Load a recipe's model and make ready what the recipe trains.

    Of the recipe's ``compute`` this honours precision, weights, attention, liger, gradient checkpointing and compile;
    what is left says how batches are made and run.

    Args:
        recipe: What is trained how.
        device: Where.
        training: What the checkpoint will say of its training.
        weights_sha256: Hash of the model's weights, where it is known already.

    Raises:
        UsageError: If the model is an adapter, a layer is named that does not exist, or the machine lacks what is
            asked for.
    """
    if recipe.compute.liger:
        require_liger(device)  # before what takes long
    loaded = _load(recipe, device)
    internvl = loaded.internvl
    if recipe.compute.liger:
        use_liger(internvl)
    loaded.model = adapt(internvl, recipe)
    base = None
    if recipe.method == "lora":
        base = BaseReference(
            name=absolute_reference(recipe.model),
            weights_sha256=weights_sha256 or hash_weights(find_checkpoint(recipe.model)),
            quantisation=None if recipe.quantisation == "none" else recipe.quantisation,
        )
    if recipe.compute.compile:
        compile_layers(internvl)
    preprocessing = recipe.preprocessing.applied_to(loaded.spec.preprocessing)
    loaded.spec = CheckpointSpec(
        kind="adapter" if recipe.method == "lora" else "model",
        chat=loaded.spec.chat,
        preprocessing=preprocessing,
        base=base,
        origin=loaded.spec.origin,
        training=training,
    )
    return loaded


def adapt(internvl: InternVLForConditionalGeneration, recipe: Recipe) -> nn.Module:
    """Make a model ready for what the recipe trains: adapters or freezing, types, drop path, checkpointing.

    Args:
        internvl: A whole model on any device, ``meta`` included; it is changed.
        recipe: What is trained how.

    Returns:
        The model, wrapped if it has adapters.

    Raises:
        UsageError: If a layer is named that does not exist.
    """
    model: nn.Module = internvl
    if recipe.method == "lora":
        model = add_lora(internvl, recipe.lora)
    else:
        train_in_full(internvl, recipe.full)
        _hold_trained_in_fp32(internvl)
    add_drop_path(internvl, recipe.optimisation.drop_path_rate)
    checkpoint_layers(internvl, recipe.compute.checkpointed_parts())
    return model


def _load(recipe: Recipe, device: torch.device) -> LoadedModel:
    compute = recipe.compute
    arithmetic = choose_precision(compute.precision, device)
    loaded = load_model(
        recipe.model,
        device=device,
        dtype=choose_frozen_weights(compute.weights, arithmetic, adapters=recipe.method == "lora"),
        attention=choose_attention(
            device, arithmetic, packs=True, requested=None if compute.attention == "auto" else compute.attention
        ),
        quantisation=recipe.quantisation,
    )
    _refuse_adapter(loaded.spec, recipe)
    return loaded


def _refuse_adapter(spec: CheckpointSpec, recipe: Recipe) -> None:
    if spec.kind != "model":
        raise UsageError(
            "Cannot start from an adapter",
            where=recipe.model,
            rule="model must be a whole model",
            action="Merge it first",
        )


def _hold_trained_in_fp32(model: nn.Module) -> None:
    """Small steps would be rounded away in bf16: of 8 bits of precision a step of 1e-5 moves none."""
    import torch

    for value in model.parameters():
        if value.requires_grad:
            value.data = value.data.to(torch.float32)
