"""Attention over packs: the same as for each sample alone, and no token sees another sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import pytest
import torch
from architectures import IMAGE_ID, small_model
from torch.nn import functional
from torch.nn.attention import varlen

from domainvl.errors import UsageError
from domainvl.model import packed_attention
from domainvl.model.adapters import LoraSettings, add_lora
from domainvl.model.packed_attention import (
    PackLayout,
    UnitPlace,
    attention_inputs,
    attention_pairs,
    register_packed_attention,
)

KINDS = ["qwen2", "llama", "phi3"]
IMAGE = [IMAGE_ID] * 4
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Unit:
    """Token ids of what is shared, and of each question; where in a pack."""

    row: int
    start: int
    shared: Sequence[int]
    questions: Sequence[Sequence[int]]

    @property
    def place(self) -> UnitPlace:
        return UnitPlace(self.row, self.start, len(self.shared), tuple(map(len, self.questions)))

    @property
    def samples(self) -> Iterator[list[int]]:
        return ([*self.shared, *question] for question in self.questions)


MIXED = [
    Unit(0, 0, [], [[7, 8, *IMAGE, 9, 10, 11]]),
    Unit(0, 9, [12, *IMAGE, 13], [[14, 15, 16], [17, 18, 19, 20, 21], [22], [23, 24]]),
    Unit(0, 28, [], [[25, 26, 27]]),
    Unit(1, 2, [28, *IMAGE], [[29, 30], [31, 32]]),
    Unit(1, 11, [], [[33, 34, 35]]),
    Unit(1, 16, [], [[36, 37, 38, 39]]),
]
"""Padding before, between and behind units; units of equal and of different shapes; questions alone and together."""

PLAIN = [
    Unit(0, 0, [], [[7, 8, *IMAGE, 9, 10]]),
    Unit(0, 8, [], [[11, 12, 13, 14, 15]]),
    Unit(1, 1, [], [[16, *IMAGE]]),
]


def layout_of(units: Sequence[Unit]) -> PackLayout:
    return PackLayout(tuple(unit.place for unit in units), rows=2, tokens=max(unit.place.end for unit in units) + 1)


def model_with(implementation: str, kind: str, **changes: Any) -> Any:
    register_packed_attention()
    model = small_model(kind, **changes)
    model.set_attn_implementation({"text_config": implementation})
    assert model.config.text_config._attn_implementation == implementation
    return model


def pixels_of(ids: Sequence[int]) -> torch.Tensor | None:
    """One image for each four placeholders, of the token before them, so that each sample has its own."""
    starts = [place for place, token in enumerate(ids) if token == IMAGE_ID and ids[place - 1] != IMAGE_ID]
    images = [torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(ids[place - 1])) for place in starts]
    return torch.stack(images) if images else None


def pack_inputs(model: Any, units: Sequence[Unit], **changes: Any) -> dict[str, Any]:
    layout = layout_of(units)
    ids = torch.full((layout.rows, layout.tokens), 3)
    positions = torch.zeros_like(ids)
    for unit in units:
        place, shared = unit.place, len(unit.shared)
        ids[unit.row, unit.start : place.end] = torch.tensor([*unit.shared, *chain(*unit.questions)])
        counted = [*range(shared)] + [shared + index for own in place.questions for index in range(own)]
        positions[unit.row, unit.start : place.end] = torch.tensor(counted)
    text = model.config.text_config
    attention = attention_inputs(
        layout, text._attn_implementation, torch.float32, CPU, sliding_window=getattr(text, "sliding_window", None)
    )
    pixels = [found for unit in units if (found := pixels_of([*unit.shared, *unit.questions[0]])) is not None]
    given = {"input_ids": ids, "position_ids": positions, "pixel_values": torch.cat(pixels), "use_cache": False}
    return {**given, **attention, **changes}


def packed_hidden(model: Any, units: Sequence[Unit], **changes: Any) -> list[torch.Tensor]:
    """What the model makes of each question's own tokens, in a pack."""
    hidden = model.model(**pack_inputs(model, units, **changes)).last_hidden_state
    found = []
    for unit in units:
        start = unit.start + len(unit.shared)
        for question in unit.questions:
            found.append(hidden[unit.row, start : start + len(question)])
            start += len(question)
    return found


def separate_hidden(model: Any, units: Sequence[Unit]) -> list[torch.Tensor]:
    """What the model makes of each question's own tokens, each sample in a row of its own, without any mask."""
    found = []
    for unit in units:
        for ids in unit.samples:
            hidden = model.model(input_ids=torch.tensor([ids]), pixel_values=pixels_of(ids), use_cache=False)
            found.append(hidden.last_hidden_state[0, len(unit.shared) :])
    return found


def loss_of(model: Any, hidden: Sequence[torch.Tensor], units: Sequence[Unit]) -> torch.Tensor:
    """Each own token but the first is predicted by the one before it."""
    questions = [torch.tensor(question) for unit in units for question in unit.questions]
    losses = [
        functional.cross_entropy(model.lm_head(states[:-1]), ids[1:], reduction="sum")
        for states, ids in zip(hidden, questions, strict=True)
    ]
    return torch.stack(losses).sum()


def gradients(model: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def require_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Each gradient to 1e-5 of its norm, the largest of all where its own is nothing but rounding."""
    assert found.keys() == wanted.keys()
    largest = max(float(value.norm()) for value in wanted.values())
    for name, value in wanted.items():
        assert float((found[name] - value).norm()) <= 1e-5 * max(float(value.norm()), 1e-2 * largest), name


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "packed_sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_are_those_of_separate_samples(kind: str, implementation: str) -> None:
    alone = model_with("eager", kind)
    wanted_loss = loss_of(alone, separate_hidden(alone, MIXED), MIXED)
    wanted = gradients(alone, wanted_loss)
    model = model_with(implementation, kind)
    loss = loss_of(model, packed_hidden(model, MIXED), MIXED)
    assert float(loss.detach()) == pytest.approx(float(wanted_loss.detach()), rel=1e-5)
    require_equal(gradients(model, loss), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_under_checkpointing_and_adapters(kind: str) -> None:
    found = []
    for implementation, checkpointing in [("eager", False), ("packed_sdpa", True)]:
        model = model_with(implementation, kind)
        add_lora(model, LoraSettings(rank=2, dropout=0.0))
        generator = torch.Generator().manual_seed(1)
        for name, value in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(value, std=0.1, generator=generator)
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        hidden = packed_hidden(model, MIXED) if checkpointing else separate_hidden(model, MIXED)
        found.append(gradients(model, loss_of(model, hidden, MIXED)))
    assert any("lora" in name for name in found[0])
    require_equal(found[1], found[0])


@pytest.mark.slow  # torch compiles a kernel
def test_flex_attention_computes_the_same_forward() -> None:
    alone = model_with("eager", "qwen2")
    model = model_with("flex_attention", "qwen2")
    with torch.no_grad():
        found, wanted = packed_hidden(model, MIXED), separate_hidden(alone, MIXED)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def perturbed(units: Sequence[Unit]) -> list[Unit]:
    """The same units, other tokens in the last question of the first unit of each row."""
    return [
        Unit(unit.row, unit.start, unit.shared, [*unit.questions[:-1], [*unit.questions[-1][:-1], 50]])
        if index in (0, 3)
        else unit
        for index, unit in enumerate(units)
    ]


def changed_questions(model: Any, **changes: Any) -> list[int]:
    with torch.no_grad():
        before, after = packed_hidden(model, MIXED, **changes), packed_hidden(model, perturbed(MIXED), **changes)
    return [
        number
        for number, (one, other) in enumerate(zip(before, after, strict=True))
        if float((one - other).abs().max()) > 1e-6
    ]


PERTURBED = [0, 7]
"""Numbers of the two questions that :func:`perturbed` changes, among all of ``MIXED``."""


@pytest.mark.parametrize("use_cache", [False, None], ids=["no-cache", "default"])
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "packed_sdpa"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_sample_sees_another(kind: str, implementation: str, use_cache: bool | None) -> None:
    assert changed_questions(model_with(implementation, kind), use_cache=use_cache) == PERTURBED


@pytest.mark.parametrize(
    "given",
    [{"attention_mask": torch.ones(2, 32, dtype=torch.long)}, {"attention_mask": None, "use_cache": None}],
    ids=["ones", "cache"],
)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_transformers_own_masks_leak(implementation: str, given: dict[str, Any]) -> None:
    """The trap: nothing fails, and samples see those before them. Should this fail one day, the trap is gone."""
    assert changed_questions(model_with(implementation, "qwen2"), **given) != PERTURBED


def test_inputs_of_packed_sdpa_make_any_other_attention_fail_visibly() -> None:
    model = model_with("sdpa", "qwen2")
    given = attention_inputs(layout_of(MIXED), "packed_sdpa", torch.float32, CPU)
    with torch.no_grad():
        found = packed_hidden(model, MIXED, **given)
    assert all(bool(states.isnan().all()) for states in found)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_generated_as_by_sdpa(kind: str) -> None:
    ids = torch.tensor([[0, 0, 0, 7, 8, *IMAGE, 9], [10, 11, 12, 13, 14, *IMAGE, 15]])
    pixels = torch.cat([found for row in ids.tolist() if (found := pixels_of(row)) is not None])
    found = []
    for implementation in ("sdpa", "packed_sdpa"):
        model = model_with(implementation, kind)
        output = model.generate(
            input_ids=ids,
            attention_mask=(ids != 0).long(),
            pixel_values=pixels,
            max_new_tokens=6,
            do_sample=False,
            eos_token_id=None,
            output_logits=True,
            return_dict_in_generate=True,
        )
        found.append(torch.stack(output.logits))
    assert torch.equal(found[0], found[1])


WINDOWS = {
    "phi3": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
}
"""A window on all layers, and on those from the second on."""


@pytest.mark.parametrize("kind", WINDOWS)
def test_sliding_window_is_that_of_separate_samples(kind: str) -> None:
    alone = model_with("eager", kind, **WINDOWS[kind])
    wanted_loss = loss_of(alone, separate_hidden(alone, MIXED), MIXED)
    without = model_with("eager", kind)
    assert abs(float((wanted_loss - loss_of(without, separate_hidden(without, MIXED), MIXED)).detach())) > 1e-3
    model = model_with("packed_sdpa", kind, **WINDOWS[kind])
    loss = loss_of(model, packed_hidden(model, MIXED), MIXED)
    assert float(loss.detach()) == pytest.approx(float(wanted_loss.detach()), rel=1e-5)
    require_equal(gradients(model, loss), gradients(alone, wanted_loss))


@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_sliding_window_that_a_mask_would_ignore_is_refused(implementation: str) -> None:
    with pytest.raises(UsageError, match="window of 10 tokens, one has 11"):
        attention_inputs(layout_of(MIXED), implementation, torch.float32, CPU, sliding_window=10)
    attention_inputs(layout_of(MIXED), implementation, torch.float32, CPU, sliding_window=11)


def sample_by_sample(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    _: torch.Tensor,
    longest: int,
    __: int,
    *,
    scale: float,
    window_size: tuple[int, int],
) -> torch.Tensor:
    """What torch says of ``varlen_attn``, in plain words: shape (all tokens, heads, width), causal in a window."""
    before, after = window_size
    assert (after, boundaries.dtype, query.shape) == (0, torch.int32, key.shape)
    assert query.dtype == key.dtype == value.dtype
    ends = boundaries.tolist()
    assert (ends[0], ends[-1], longest) == (0, len(query), max(b - a for a, b in pairwise(ends)))
    outputs = []
    for start, end in pairwise(ends):
        scores = torch.einsum("qhd,khd->hqk", query[start:end], key[start:end]) * scale
        distance = torch.arange(end - start)[:, None] - torch.arange(end - start)
        hidden = (distance < 0) | ((distance > before) & (before >= 0))
        weights = scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)
        outputs.append(torch.einsum("hqk,khd->qhd", weights, value[start:end]))
    return torch.cat(outputs)


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 4}], ids=["whole", "window"])
def test_varlen_attention_is_given_what_it_takes(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    """The kernel needs a GPU (tests/gpu/packed.py); here its definition stands in for it."""
    calls = []
    monkeypatch.setattr(packed_attention, "has_flash", lambda query: calls.append(1) or True)
    monkeypatch.setattr(varlen, "varlen_attn", sample_by_sample)
    alone, model = model_with("eager", "phi3", **changes), model_with("packed_sdpa", "phi3", **changes)
    wanted_loss = loss_of(alone, separate_hidden(alone, PLAIN), PLAIN)
    loss = loss_of(model, packed_hidden(model, PLAIN), PLAIN)
    assert len(calls) == model.config.text_config.num_hidden_layers
    assert float(loss.detach()) == pytest.approx(float(wanted_loss.detach()), rel=1e-5)
    require_equal(gradients(model, loss), gradients(alone, wanted_loss))
    packed_hidden(model, MIXED)
    assert len(calls) == model.config.text_config.num_hidden_layers, "shared tokens are not for varlen attention"


@pytest.mark.parametrize("flash", [False, True])
def test_arithmetic_in_bf16_by_automatic_casting(monkeypatch: pytest.MonkeyPatch, flash: bool) -> None:
    """Casting makes queries and keys of two types, and does not reach varlen attention."""
    types = []
    monkeypatch.setattr(packed_attention, "has_flash", lambda query: types.append(query.dtype) or flash)
    monkeypatch.setattr(varlen, "varlen_attn", sample_by_sample)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = packed_hidden(model_with("packed_sdpa", "qwen2"), PLAIN)
        wanted = separate_hidden(model_with("eager", "qwen2"), PLAIN)
    assert set(types) == {torch.bfloat16}
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), other.float(), rtol=0.1, atol=0.1)


def test_flash_attention_is_told_where_samples_begin() -> None:
    given = attention_inputs(layout_of(PLAIN), "flash_attention_2", torch.bfloat16, CPU)
    # Rows of 14 tokens: 8, 5 and 1 of padding; 1 of padding, 5, and 8 of padding.
    boundaries = given["cu_seq_lens_q"]
    assert boundaries.tolist() == [0, 8, 13, 14, 15, 20, 28]
    assert boundaries.dtype == torch.int32
    assert (given["cu_seq_lens_k"] is boundaries, given["max_length_q"], given["max_length_k"]) == (True, 8, 8)
    assert given["attention_mask"] is None
    with pytest.raises(UsageError, match="share their images"):
        attention_inputs(layout_of(MIXED), "flash_attention_2", torch.bfloat16, CPU)


def test_unknown_implementation_is_refused() -> None:
    with pytest.raises(UsageError, match="'paged'"):
        attention_inputs(layout_of(PLAIN), "paged", torch.float32, CPU)


def test_pairs_are_counted_by_hand() -> None:
    layout = PackLayout((UnitPlace(0, 0, 0, (5,)), UnitPlace(0, 5, 4, (2, 2, 3)), UnitPlace(1, 0, 0, (6,))), 2, 20)
    assert attention_pairs(layout, "sdpa") == attention_pairs(layout, "eager") == 2 * 20 * 20
    # Two questions have no more tokens than the 4 they share and are computed together, the third alone.
    wanted = 5 * 5 + (4 * 4 + (2 + 2) * (4 + 2 + 2) + 3 * (4 + 3)) + 6 * 6
    assert attention_pairs(layout, "packed_sdpa") == attention_pairs(layout, "flex_attention") == wanted
    # One question that shares with nobody is a plain sample.
    assert attention_pairs(PackLayout((UnitPlace(0, 0, 3, (2,)),), 1, 5), "packed_sdpa") == 25


@pytest.mark.parametrize(
    "units",
    [
        [UnitPlace(0, 0, 0, (5,)), UnitPlace(0, 4, 0, (2,))],
        [UnitPlace(0, 0, 0, (11,))],
        [UnitPlace(2, 0, 0, (1,))],
        [UnitPlace(1, 0, 0, (1,)), UnitPlace(0, 0, 0, (1,))],
        [UnitPlace(0, 0, 0, ())],
        [UnitPlace(0, 0, 2, (1, 0))],
        [UnitPlace(0, 0, 0, (1, 1))],
        [UnitPlace(0, -1, 0, (1,))],
    ],
    ids=["overlap", "too-long", "no-such-row", "order", "no-question", "empty", "nothing-shared", "before-the-row"],
)
def test_impossible_layouts_are_refused(units: list[UnitPlace]) -> None:
    with pytest.raises(ValueError, match="nits must stand|uestions need"):
        PackLayout(tuple(units), rows=2, tokens=10)
