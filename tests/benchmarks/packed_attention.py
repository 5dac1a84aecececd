"""What attention over packs costs on a CPU, by implementation: one forward and backward pass of a language model.

    python tests/benchmarks/packed_attention.py [--tokens 1024 4096 8192] [--flex]

``packs`` is what is computed together: samples of lengths 1:20 in one row, or very many short ones; ``padded`` puts the
same samples into rows of their own, eight at a time as they come, padded to the longest of the eight. Times are the
median of the repeats; flex attention has no backward pass on a CPU, its time is the forward pass alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2Model

from domainvl.model import packed_attention
from domainvl.model.packed_attention import (
    PACKED_SDPA,
    PackLayout,
    UnitPlace,
    attention_inputs,
    attention_pairs,
    register_packed_attention,
)

SEED = 0
ROWS_PADDED = 8
SHARED_TOKENS, QUESTION_TOKENS = 0.6, 24


def language_model(implementation: str) -> Qwen2Model:
    config = Qwen2Config(
        vocab_size=256,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        attn_implementation=implementation,
    )
    torch.manual_seed(SEED)
    return Qwen2Model(config)


def lengths_until(tokens: int, shortest: int, longest: int) -> list[int]:
    """Lengths between two, evenly on a logarithmic scale, until ``tokens`` are full."""
    generator = np.random.default_rng(SEED)
    lengths: list[int] = []
    while sum(lengths) < tokens:
        drawn = round(float(np.exp(generator.uniform(np.log(shortest), np.log(longest)))))
        lengths.append(min(drawn, tokens - sum(lengths)))
    return lengths


def packed(units: Sequence[tuple[int, tuple[int, ...]]], tokens: int) -> PackLayout:
    """One row of units, each given by what is shared and its questions."""
    starts = np.cumsum([0, *(shared + sum(questions) for shared, questions in units)]).tolist()
    places = [UnitPlace(0, start, *unit) for start, unit in zip(starts, units, strict=False)]
    return PackLayout(tuple(places), rows=1, tokens=tokens)


def padded(lengths: Sequence[int]) -> list[PackLayout]:
    """The same samples in rows of their own."""
    parts = [lengths[start : start + ROWS_PADDED] for start in range(0, len(lengths), ROWS_PADDED)]
    return [
        PackLayout(tuple(UnitPlace(row, 0, 0, (length,)) for row, length in enumerate(part)), len(part), max(part))
        for part in parts
    ]


def positions(layout: PackLayout) -> torch.Tensor:
    found = torch.zeros(layout.rows, layout.tokens, dtype=torch.long)
    for unit in layout.units:
        counted = [*range(unit.shared)] + [unit.shared + index for own in unit.questions for index in range(own)]
        found[unit.row, unit.start : unit.end] = torch.tensor(counted)
    return found


def seconds(implementation: str, layouts: Sequence[PackLayout], repeats: int, *, backward: bool = True) -> float:
    """Median time of all layouts, masks included."""
    model = language_model(implementation)
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        for layout in layouts:
            inputs: dict[str, Any] = attention_inputs(layout, implementation, torch.float32, torch.device("cpu"))
            ids = torch.full((layout.rows, layout.tokens), 7)
            with torch.set_grad_enabled(backward):
                output = model(input_ids=ids, position_ids=positions(layout), use_cache=False, **inputs)
            if backward:
                output.last_hidden_state.square().mean().backward()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def one_by_one(layout: PackLayout, repeats: int) -> float:
    """``packed_sdpa`` with each unit in a call of its own, to see what computing equal shapes together is worth."""
    cut = packed_attention._cut

    def apart(*given: Any) -> Any:
        found = cut(*given)
        single = [
            replace(group, queries=(queries,), keys=(keys,))
            for group in found.groups
            for queries, keys in zip(group.queries, group.keys, strict=True)
        ]
        return replace(found, groups=tuple(single))

    packed_attention._cut = apart  # type: ignore[assignment]
    try:
        return seconds(PACKED_SDPA, [layout], repeats)
    finally:
        packed_attention._cut = cut


def show(name: str, layouts: Sequence[PackLayout], implementation: str, time_s: float) -> None:
    useful = sum(unit.end - unit.start for layout in layouts for unit in layout.units)
    pairs = sum(attention_pairs(layout, implementation) for layout in layouts)
    print(f"  {name:34} {time_s * 1000:9.0f} ms {useful / time_s:9.0f} tokens/s {pairs / 1e6:9.2f} M pairs", flush=True)


def compare(title: str, lengths: Sequence[int], repeats: int, flex: bool) -> None:
    tokens = sum(lengths)
    pack = packed([(0, (length,)) for length in lengths], tokens)
    print(f"{title}: {tokens} tokens, {len(lengths)} samples of {min(lengths)} to {max(lengths)}")
    for implementation in ("sdpa", PACKED_SDPA):
        name = "dense mask, sdpa" if implementation == "sdpa" else implementation
        show(f"packed, {name}", [pack], implementation, seconds(implementation, [pack], repeats))
    show("packed, packed_sdpa one by one", [pack], PACKED_SDPA, one_by_one(pack, repeats))
    rows = padded(lengths)
    for implementation in ("sdpa", PACKED_SDPA):
        show(f"padded, {implementation}", rows, implementation, seconds(implementation, rows, repeats))
    if flex:
        for name, implementation in (("flex_attention", "flex_attention"), ("packed_sdpa", PACKED_SDPA)):
            time_s = seconds(implementation, [pack], repeats, backward=False)
            show(f"forward alone, {name}", [pack], implementation, time_s)


def compare_shared(tokens: int, repeats: int) -> None:
    """Questions about the same images: what they share is computed once."""
    shared = round(tokens * SHARED_TOKENS)
    questions = (QUESTION_TOKENS,) * ((tokens - shared) // QUESTION_TOKENS)
    pack = packed([(shared, questions)], tokens)
    print(f"questions: {len(questions)} of {QUESTION_TOKENS} tokens that share {shared}")
    for implementation in ("sdpa", PACKED_SDPA):
        show(f"packed, {implementation}", [pack], implementation, seconds(implementation, [pack], repeats))
    show("packed, packed_sdpa one by one", [pack], PACKED_SDPA, one_by_one(pack, repeats))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 4096, 8192], help="lengths of packs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flex", action="store_true", help="flex attention too; torch compiles it for minutes")
    given = parser.parse_args()
    register_packed_attention()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, 4 layers of width 256, 8 heads over 2")
    for tokens in given.tokens:
        compare("1:20", lengths_until(tokens, 100, 2000), given.repeats, given.flex)
        compare("short", lengths_until(tokens, 20, 60), given.repeats, flex=False)
        compare_shared(tokens, given.repeats)


if __name__ == "__main__":
    main()
