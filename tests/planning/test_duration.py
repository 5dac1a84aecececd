"""Arithmetic and time of a run."""

from __future__ import annotations

import pytest
import torch

from domainvl.model.sizes import build_on_meta, size_config
from domainvl.planning.duration import format_duration, matrix_flops_per_second, training_flops
from domainvl.training.plan import PlannedUnit, TrainingPlan
from domainvl.training.recipe_files import load_recipe

TILES, TEXT, TIMES = 3, 40, 5
UNIT = PlannedUnit(0, range(1), 12, TILES * 16 + TEXT, TILES, 9, TILES * 16 + TEXT)
PLAN = TrainingPlan(("data",), [UNIT], [[[0]]] * TIMES, "packed", [], (1000, 48))


def counted(method: str, *changes: str) -> float:
    recipe = load_recipe(f"_shared/{method}", overrides=["compute.gradient_checkpointing=false", *changes])
    return training_flops(recipe, PLAN, size_config("tiny"), "packed_sdpa")


def layers_of_torch(train: bool) -> dict[str, float]:
    """Count what torch's own counter sees of one unit, on a model without memory."""
    from torch.utils.flop_counter import FlopCounterMode

    model = build_on_meta(size_config("tiny"))
    model.set_attn_implementation("eager")
    found = {}
    side_px = size_config("tiny").vision_config.image_size[0]
    vision = model.model.vision_tower
    language = model.model.language_model
    calls = {
        "vision": lambda: vision(pixel_values=torch.empty(TILES, 3, side_px, side_px, device="meta")),
        "language_model": lambda: language(
            inputs_embeds=torch.empty(1, UNIT.tokens, 128, device="meta", requires_grad=train)
        ),
    }
    for name, call in calls.items():
        with FlopCounterMode(display=False) as counter:
            output = call().last_hidden_state
            if train:
                output.sum().backward()
        found[name] = counter.get_total_flops()
    return found


def test_full_fine_tuning_is_what_torch_counts():
    counts = layers_of_torch(train=True)

    # The embedding of the patches is no layer.
    assert counted("full") == pytest.approx(TIMES * sum(counts.values()), rel=0.03)


def test_what_is_frozen_is_computed_once():
    forward, whole = layers_of_torch(train=False), layers_of_torch(train=True)
    frozen = counted("full", "full.vision=false")

    assert frozen == pytest.approx(TIMES * (forward["vision"] + whole["language_model"]), rel=0.03)


def test_adapters_need_the_gradient_of_the_input_alone():
    forward = layers_of_torch(train=False)

    assert counted("lora") == pytest.approx(2 * TIMES * sum(forward.values()), rel=0.03)


def test_what_is_not_kept_is_computed_once_more():
    forward = layers_of_torch(train=False)
    more = counted("lora", "compute.gradient_checkpointing={language_model: true}") - counted("lora")

    assert more == pytest.approx(TIMES * forward["language_model"], rel=0.03)


def test_what_is_kept_on_disk_is_encoded_once():
    forward = layers_of_torch(train=False)
    frozen = ("lora.vision=frozen",)
    saved = counted("lora", *frozen) - counted("lora", *frozen, "compute.cache_vision=true")

    # Of the encoder alone the embedding of the patches, which is not counted, is 5 %.
    assert saved == pytest.approx((TIMES - 1) * forward["vision"], rel=0.06)


def test_the_speed_of_the_machine_is_a_number_of_operations_a_second():
    # A core of any machine of this century does 10^8; none does 10^16.
    assert 1e8 < matrix_flops_per_second(torch.device("cpu"), torch.float32) < 1e16


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "less than a minute"),
        (60, "about 1 minute"),
        (170, "about 3 minutes"),
        (5400, "about 1.5 hours"),
    ],
)
def test_durations(seconds, said):
    assert format_duration(seconds) == said
