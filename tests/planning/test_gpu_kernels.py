"""What a GPU's kernels keep, on fake tensors."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from domainvl.model import packed_attention
from domainvl.model.packed_attention import PackLayout, UnitPlace, attention_inputs, packed_sdpa
from domainvl.planning.footprint import Kind
from domainvl.planning.gpu_kernels import fused_attention, gpu_kernels
from domainvl.planning.tracking import MemoryTracker

ROWS, HEADS, TOKENS, WIDTH = 2, 4, 512, 64


@pytest.fixture(autouse=True)
def fake():
    with FakeTensorMode():
        yield


def heads(count: int = HEADS, dtype: torch.dtype = torch.bfloat16, tokens: int = TOKENS) -> torch.Tensor:
    return torch.empty(ROWS, count, tokens, WIDTH, dtype=dtype, requires_grad=True)


def float_mask(dtype: torch.dtype = torch.bfloat16, tokens: int = TOKENS) -> torch.Tensor:
    return torch.zeros(ROWS, 1, tokens, tokens, dtype=dtype)


def kept_bytes(query, key, value, mask=None, **kwargs) -> int:
    with MemoryTracker() as tracker:
        tracker.claim([query, key, value, *([] if mask is None else [mask])], Kind.WEIGHTS)
        before = tracker.live.total_bytes
        attended = fused_attention(query, key, value, mask, **kwargs)
        assert attended.shape == query.shape
        assert attended.dtype == query.dtype
        kept = tracker.live.total_bytes - before
        attended.float().sum().backward()
        assert query.grad.shape == query.shape
    return kept


ATTENDED = ROWS * HEADS * TOKENS * WIDTH * 2
LOG_SUM_EXP = ROWS * HEADS * TOKENS * 4
SCORES = ROWS * HEADS * TOKENS * TOKENS * 2


@pytest.mark.parametrize("mask", [None, float_mask], ids=["no mask", "mask"])
def test_scores_are_not_held(mask):
    kept = kept_bytes(heads(), heads(), heads(), None if mask is None else mask())

    assert ATTENDED + LOG_SUM_EXP <= kept < ATTENDED + LOG_SUM_EXP + 1000
    assert kept < SCORES


def test_a_mask_whose_rows_are_not_aligned_is_copied_once():
    tokens = TOKENS - 3
    kept = kept_bytes(heads(tokens=tokens), heads(tokens=tokens), heads(tokens=tokens), float_mask(tokens=tokens))
    attended = ROWS * HEADS * tokens * WIDTH * 2
    padded_mask = ROWS * tokens * TOKENS * 2

    assert kept >= attended + padded_mask
    assert kept < attended + padded_mask + 2 * LOG_SUM_EXP


def test_a_boolean_mask_becomes_a_bias_of_the_query_s_type():
    kept = kept_bytes(heads(), heads(), heads(), torch.ones(ROWS, 1, TOKENS, TOKENS, dtype=torch.bool))
    bias = ROWS * TOKENS * TOKENS * 2

    assert ATTENDED + LOG_SUM_EXP + bias <= kept < ATTENDED + LOG_SUM_EXP + bias + 1000


def test_float32_takes_the_other_kernel_and_grouped_heads_are_repeated():
    query = heads(dtype=torch.float32)
    kept = kept_bytes(query, heads(2, torch.float32), heads(2, torch.float32), enable_gqa=True)
    repeated = 2 * ROWS * HEADS * TOKENS * WIDTH * 4

    assert kept >= 2 * ATTENDED + repeated


def test_autocast_casts_what_attention_takes():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attended = fused_attention(heads(dtype=torch.float32), heads(), heads(), float_mask(torch.float32))

    assert attended.dtype == torch.bfloat16


def test_layer_norm_is_in_float32_under_autocast_only():
    norm = torch.nn.LayerNorm(8, dtype=torch.bfloat16)
    inputs = torch.empty(4, 8, dtype=torch.bfloat16)
    with gpu_kernels():
        assert norm(inputs).dtype == torch.bfloat16
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert norm(inputs).dtype == torch.float32


@pytest.mark.parametrize(("rate", "training", "kept"), [(0.1, True, 1), (0.1, False, 0), (0.0, True, 0)])
def test_dropout_keeps_a_byte_an_element(rate, training, kept):
    elements = 1 << 16
    inputs = torch.empty(elements, requires_grad=True)
    with gpu_kernels(), MemoryTracker() as tracker:
        dropped = torch.nn.Dropout(rate).train(training)(inputs)
        result = elements * 4 if dropped.untyped_storage()._cdata != inputs.untyped_storage()._cdata else 0
        assert tracker.live.total_bytes == result + kept * elements
        dropped.sum().backward()

    assert inputs.grad.shape == inputs.shape


def test_functions_are_exchanged_and_put_back():
    before = functional.scaled_dot_product_attention, functional.layer_norm, functional.dropout
    with pytest.raises(RuntimeError, match="stop"), gpu_kernels():
        assert functional.scaled_dot_product_attention is fused_attention
        raise RuntimeError("stop")

    assert before == (functional.scaled_dot_product_attention, functional.layer_norm, functional.dropout)


def packed_bytes(layout: PackLayout, dtype: torch.dtype = torch.bfloat16, key_heads: int = HEADS) -> int:
    """Return what attention over a pack keeps for the backward pass."""
    query, key, value = (
        torch.empty(1, heads, TOKENS, WIDTH, dtype=dtype, requires_grad=True) for heads in (HEADS, key_heads, key_heads)
    )
    module = torch.nn.Module()
    module.is_causal = True
    module.num_key_value_groups = HEADS // key_heads
    inputs = attention_inputs(layout, "packed_sdpa", dtype, torch.device("cpu"))
    with gpu_kernels(), MemoryTracker() as tracker:
        tracker.claim([query, key, value], Kind.WEIGHTS)
        before = tracker.live.total_bytes
        attended, _ = packed_sdpa(module, query, key, value, None, pack=inputs["pack"])
        kept = tracker.live.total_bytes - before
        attended.float().sum().backward()
        assert query.grad.shape == query.shape
    return kept


THREE_SAMPLES = PackLayout(tuple(UnitPlace(0, start, 0, (128,)) for start in (0, 128, 256)), 1, TOKENS)
SHARED_IMAGE = PackLayout((UnitPlace(0, 0, 256, (128, 128)),), 1, TOKENS)
OF_ONE_ROW = HEADS * TOKENS * WIDTH * 2


def test_a_pack_of_plain_samples_is_one_call_without_copies():
    kept = packed_bytes(THREE_SAMPLES)

    # The result, as float32 the sum of the exponentials, and a random state that no dropout uses.
    assert OF_ONE_ROW + HEADS * TOKENS * 4 <= kept < OF_ONE_ROW + HEADS * TOKENS * 4 + 1000


def test_a_pack_s_grouped_heads_are_repeated():
    assert packed_bytes(THREE_SAMPLES, key_heads=HEADS // 2) - packed_bytes(THREE_SAMPLES) == 2 * OF_ONE_ROW


def test_questions_that_share_an_image_and_float32_copy_what_they_compute():
    # Queries, keys and values of each call, and the result; keys and values of the second call with what is shared.
    assert packed_bytes(SHARED_IMAGE) > 4 * OF_ONE_ROW
    assert packed_bytes(THREE_SAMPLES, torch.float32) > 4 * OF_ONE_ROW


def test_attention_over_packs_is_put_back():
    before = packed_attention.has_flash
    with gpu_kernels():
        assert packed_attention.has_flash is not before

    assert packed_attention.has_flash is before
