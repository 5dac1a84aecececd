"""Predicted peaks beside what torch's allocator gives out for the same step, and what a footprint consists of."""

from __future__ import annotations

import pytest
import torch
from benchmarks import memory

from domainvl.model.quiet import quiet_transformers
from domainvl.model.sizes import size_config
from domainvl.planning.footprint import Kind
from domainvl.planning.rehearsal import BatchShape, Row, TrainingRehearsal, rehearse_answering
from domainvl.training.recipe_files import load_recipe

TINY_PARAMETERS = 1_019_968
ROW = Row(tiles=4, text_tokens=60, answer_tokens=12)
ONE, THREE = BatchShape.of(ROW), BatchShape.of(ROW, rows=3)
FROZEN_VISION_IN_A_CACHE = ("lora.vision=frozen", "compute.cache_vision=true")
SMALL = {"row": (6, 160, 32), "hidden": 128, "layers": 2}


@pytest.fixture(scope="module", autouse=True)
def quiet():
    quiet_transformers()


def rehearse(method: str = "full", *changes: str, device: str = "cpu", size: str = "tiny") -> TrainingRehearsal:
    recipe = load_recipe(f"_shared/{method}", overrides=list(changes))
    return TrainingRehearsal(size_config(size), recipe, device)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        memory.Case("qwen2", "lora", False, 1, **SMALL),
        memory.Case("llama", "full", True, 4, **SMALL),
        memory.Case("phi3", "lora", True, 4, **SMALL),
        memory.Case("phi3", "full", False, 1, **SMALL),
        memory.Case("llama", "lora", False, 1, **SMALL, overrides=("lora.dora=true", "lora.vision=frozen")),
        memory.Case("qwen2", "full", True, 2, **SMALL, overrides=("compute.precision=bf16",)),
        memory.Case("qwen2", "full", False, 1, **SMALL, parts=3),
        memory.Case("phi3", "lora", True, 4, **SMALL, packed=True),
        memory.Case("llama", "full", False, 3, **SMALL, packed=True, parts=2),
        memory.Case("qwen2", "lora", False, 4, **SMALL, packed=True, overrides=("compute.attention=sdpa",)),
        memory.Case("qwen2", "lora", False, 4, **SMALL, packed=True, overrides=("compute.attention=eager",)),
        memory.Case("qwen2", "lora", False, 2, **SMALL, packed=True, questions=4),
        memory.Case("llama", "lora", False, 4, **SMALL, packed=True, overrides=FROZEN_VISION_IN_A_CACHE),
    ],
    ids=memory.describe,
)
def test_training_peaks_are_those_of_the_allocator(case):
    assert memory.predicted_training_bytes(case) == pytest.approx(memory.measured_training_bytes(case), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("family", memory.FAMILIES)
def test_answering_peaks_are_those_of_the_allocator(family):
    case = memory.Case(family, "full", False, 3, **SMALL)

    assert memory.predicted_answering_bytes(case) == pytest.approx(memory.measured_answering_bytes(case), rel=0.1)


def test_the_floor_of_full_fine_tuning_is_four_numbers_a_weight():
    floor = rehearse().floor.bytes_by_kind

    # The buffers of the rotary embedding are weights too, and AdamW counts its steps for each tensor.
    assert floor[Kind.WEIGHTS] == pytest.approx(4 * TINY_PARAMETERS, rel=1e-3)
    assert floor[Kind.GRADIENTS] == 4 * TINY_PARAMETERS
    assert floor[Kind.OPTIMIZER] == pytest.approx(8 * TINY_PARAMETERS, rel=1e-3)


def test_a_frozen_part_has_neither_gradients_nor_state():
    floor = rehearse("full", "full.vision=false").floor.bytes_by_kind
    vision = 217_024  # of tiny, as domainvl plan prints it; see test_sizes for how a vision encoder is counted

    assert floor[Kind.GRADIENTS] == 4 * (TINY_PARAMETERS - vision)


def test_gradients_of_earlier_parts_of_a_step_are_there():
    rehearsal = rehearse("full")
    alone = rehearsal.peak(ONE, whole_step=True).bytes_by_kind
    parts = rehearsal.peak(ONE).bytes_by_kind

    assert alone.get(Kind.GRADIENTS, 0) < parts[Kind.GRADIENTS] == 4 * TINY_PARAMETERS


def test_checkpointing_keeps_less():
    kept = rehearse("full", "compute.gradient_checkpointing=false").peak(ONE)
    again = rehearse("full", "compute.gradient_checkpointing=true").peak(ONE)

    assert again.total_bytes < kept.total_bytes
    assert again.bytes_by_kind[Kind.ACTIVATIONS] < 0.5 * kept.bytes_by_kind[Kind.ACTIVATIONS]


def test_a_rehearsal_can_be_asked_again():
    rehearsal = rehearse("lora")
    first = rehearsal.peak(ONE)
    more = rehearsal.peak(THREE)

    assert rehearsal.peak(ONE).total_bytes == pytest.approx(first.total_bytes, rel=1e-4)
    assert more.total_bytes > first.total_bytes


def test_on_a_gpu_the_base_of_an_adapter_is_bf16_and_full_weights_are_fp32():
    floor = rehearse("full", device="gpu").floor.bytes_by_kind
    adapted = rehearse("lora", device="gpu").floor.bytes_by_kind
    trained = adapted[Kind.GRADIENTS] // 4

    assert floor[Kind.WEIGHTS] == pytest.approx(4 * TINY_PARAMETERS, rel=0.05)  # rounded up to blocks of 512
    assert adapted[Kind.WEIGHTS] == pytest.approx(2 * TINY_PARAMETERS + 4 * trained, rel=0.05)


def test_adamw_on_a_gpu_works_on_all_weights_of_a_group_at_once():
    rehearsal = rehearse("full", "compute.gradient_checkpointing=true", device="gpu")
    peak = rehearsal.peak(BatchShape.of(Row(1, 20, 5)), whole_step=True)

    # A temporary as large as the matrices of the language model; nothing else is near that with one short row.
    assert peak.bytes_by_kind[Kind.WORKING] == pytest.approx(4 * 753_024, rel=0.01)


def test_a_state_in_eight_bits_is_about_a_quarter():
    whole = rehearse("full", device="gpu").floor.bytes_by_kind
    small = rehearse("full", "optimisation.optimizer=adamw-8bit", device="gpu")
    found = small.floor.bytes_by_kind

    assert found[Kind.WEIGHTS] == whole[Kind.WEIGHTS]
    assert 0.25 < found[Kind.OPTIMIZER] / whole[Kind.OPTIMIZER] < 0.30  # norms and biases keep 32 bits
    again = small.peak(ONE).bytes_by_kind
    assert again[Kind.OPTIMIZER] == found[Kind.OPTIMIZER]
    assert again[Kind.GRADIENTS] > 3 * TINY_PARAMETERS


def test_a_text_alone_leaves_gradients_of_zero_for_the_vision_encoder():
    rehearsal = rehearse("full", "compute.gradient_checkpointing=true", device="gpu")
    peak = rehearsal.peak(BatchShape.of(Row(0, 20, 5)), whole_step=True).bytes_by_kind

    assert peak[Kind.GRADIENTS] == rehearsal.floor.bytes_by_kind[Kind.GRADIENTS]


def test_packs_cost_their_samples_and_a_dense_mask_the_square_of_the_row():
    def logged(attention: str, units: int) -> int:
        rehearsal = rehearse("lora", f"compute.attention={attention}", "compute.gradient_checkpointing=false")
        shape = BatchShape.of(Row(1, 100, 10), units=units)
        return rehearsal.peak(shape).total_bytes - rehearsal.floor.total_bytes

    assert logged("auto", 8) < 2.1 * logged("auto", 4)
    assert logged("eager", 8) > 2.5 * logged("eager", 4)
    assert logged("packed_sdpa", 8) == logged("auto", 8)


def test_what_a_frozen_vision_encoder_gives_is_encoded_once_without_gradients():
    frozen = ("lora.vision=frozen", "lora.projector=full", "compute.gradient_checkpointing=false")
    shape = BatchShape.of(ROW, units=3)
    cached = rehearse("lora", *frozen, "compute.cache_vision=true").peak(shape)
    kept = rehearse("lora", *frozen).peak(shape)
    trained = rehearse("lora", "compute.gradient_checkpointing=false").peak(shape)

    assert cached.total_bytes == pytest.approx(kept.total_bytes, rel=0.05)
    assert cached.total_bytes < 0.8 * trained.total_bytes


def test_four_bits_hold_the_layers_of_the_language_model():
    whole = rehearse("lora", device="gpu").floor.bytes_by_kind[Kind.WEIGHTS]
    packed = rehearse("lora", "quantisation=nf4", device="gpu").floor.bytes_by_kind[Kind.WEIGHTS]
    # tiny: three layers of q and o of 128 x 128, k and v of 128 x 64, three matrices of 128 x 384.
    weights = 3 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 384)

    assert whole - packed == pytest.approx(weights * (2 - 0.5625), rel=0.02)


def test_four_bits_train_with_dora_too():
    rehearsal = rehearse("lora", "quantisation=nf4-double", "lora.dora=true", device="gpu")

    assert rehearsal.peak(ONE).total_bytes > rehearsal.floor.total_bytes


def test_answering_holds_keys_and_values_of_every_layer():
    row = Row(tiles=2, text_tokens=400, answer_tokens=0)
    footprint = rehearse_answering(
        size_config("tiny"), torch.float32, "cpu", row=row, batch_size=4, new_tokens=3000
    ).bytes_by_kind
    # Before the last token: keys and values of 3 layers, 2 heads of 32; one of each is held twice while it grows.
    tokens = 2 * 16 + 400 + 2999
    cache = 2 * 3 * 2 * 32 * tokens * 4 * 4

    assert cache <= footprint[Kind.CACHE] <= cache * (1 + 1 / 3)
    assert footprint[Kind.WEIGHTS] == pytest.approx(4 * TINY_PARAMETERS, rel=1e-3)


def test_a_row_s_length_is_visual_and_text():
    assert Row(13, 256, 64).tokens(256) == 13 * 256 + 256


def test_text_alone_can_be_rehearsed():
    assert rehearse("lora").peak(BatchShape.of(Row(0, 50, 10), rows=2)).total_bytes > 0


def test_a_matrix_that_two_layers_share_counts_once():
    config = size_config("tiny")
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    floor = TrainingRehearsal(config, load_recipe("_shared/full"), "cpu").floor.bytes_by_kind

    # tiny has 631 words of width 128.
    assert floor[Kind.GRADIENTS] == 4 * (TINY_PARAMETERS - 631 * 128)


def test_what_stays_of_a_published_size() -> None:
    """bf16 weights and fp32 adapters: two bytes for each of the published weights and a little more."""
    floor = rehearse("lora", device="gpu", size="1b").floor.bytes_by_kind
    assert 2 * 938_158_976 < floor[Kind.WEIGHTS] < 2.2 * 938_158_976
    assert floor[Kind.OPTIMIZER] == pytest.approx(2 * floor[Kind.GRADIENTS], rel=0.02)  # two moments a gradient
