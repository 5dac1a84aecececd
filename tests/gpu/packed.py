"""What attention over packs does on a GPU: exactness against float32 samples alone, and times; a table of each.

    python tests/gpu/packed.py

One layer stack of the size of the 1B's language model, random weights. Ends with 1 if a difference is too large. With
``--device cpu --small`` the script itself can be tried anywhere, without flex attention's gradients and without bf16.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2Model

from domainvl.model import packed_attention
from domainvl.model.packed_attention import PackLayout, UnitPlace, attention_inputs, register_packed_attention

LAYERS, REPEATS = 4, 5
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Largest relative difference of a gradient by norm; bf16 keeps 8 bits, and errors add up over the layers."""

Variant = tuple[str, str, Callable[[torch.Tensor], bool]]
"""Name, implementation, and whether torch's varlen attention may be taken."""

HAS_FLASH = packed_attention.has_flash
"""The real one, which each variant replaces by its own."""


def variants(plain: bool) -> list[Variant]:
    found: list[Variant] = [
        ("dense mask, sdpa", "sdpa", _never),
        ("packed_sdpa, loop", "packed_sdpa", _never),
        ("flex_attention", "flex_attention", _never),
    ]
    if plain:
        found.append(("packed_sdpa, varlen", "packed_sdpa", HAS_FLASH))
        if find_spec("flash_attn") is not None:
            found.append(("flash_attention_2", "flash_attention_2", _never))
    return found


def _never(_: torch.Tensor) -> bool:
    return False


def language_model(device: torch.device, dtype: torch.dtype, small: bool) -> Qwen2Model:
    width, heads, groups = (64, 4, 2) if small else (896, 14, 2)
    config = Qwen2Config(
        vocab_size=1024,
        hidden_size=width,
        intermediate_size=width * 5,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads,
        num_key_value_heads=groups,
    )
    torch.manual_seed(0)
    return Qwen2Model(config).to(device, dtype)


def layout_of(tokens: int, plain: bool) -> PackLayout:
    """One row: samples of lengths 1:20, or units of which a quarter is questions; 5 % padding behind them."""
    generator = np.random.default_rng(tokens)
    units: list[UnitPlace] = []
    start = 0
    while start < tokens * 0.95:
        length = min(round(float(np.exp(generator.uniform(np.log(100), np.log(2000))))), tokens - start)
        if plain or length < 120:
            units.append(UnitPlace(0, start, 0, (length,)))
        else:
            units.append(UnitPlace(0, start, length - 3 * (length // 12), (length // 12,) * 3))
        start = units[-1].end
    return PackLayout(tuple(units), 1, tokens)


def weights_of(ids: torch.Tensor, width: int) -> torch.Tensor:
    """Fixed random directions of the hidden states: their products are a loss that depends on all of them."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1024, width, generator=generator)[ids.cpu()].to(ids.device)


def packed_loss(model: Qwen2Model, layout: PackLayout, ids: torch.Tensor, implementation: str) -> torch.Tensor:
    positions = torch.zeros_like(ids)
    own = torch.zeros_like(ids, dtype=torch.bool)
    for unit in layout.units:
        counted = [*range(unit.shared)] + [unit.shared + index for one in unit.questions for index in range(one)]
        positions[0, unit.start : unit.end] = torch.tensor(counted)
        own[0, unit.start + unit.shared : unit.end] = True
    inputs = attention_inputs(layout, implementation, model.dtype, ids.device)
    hidden = model(input_ids=ids, position_ids=positions, use_cache=False, **inputs).last_hidden_state
    return (hidden.float() * weights_of(ids, hidden.shape[-1]))[own].sum() / ids.numel()


def separate_loss(model: Qwen2Model, layout: PackLayout, ids: torch.Tensor) -> torch.Tensor:
    losses = []
    for unit in layout.units:
        shared = ids[:, unit.start : unit.start + unit.shared]
        start = unit.start + unit.shared
        for length in unit.questions:
            sample = torch.cat([shared, ids[:, start : start + length]], dim=1)
            hidden = model(input_ids=sample, use_cache=False).last_hidden_state
            losses.append((hidden * weights_of(sample, hidden.shape[-1]))[:, unit.shared :].sum())
            start += length
    return torch.stack(losses).sum() / ids.numel()


def gradients(model: Qwen2Model) -> list[torch.Tensor]:
    found = [value.grad.float().clone() for value in model.parameters() if value.grad is not None]
    model.zero_grad()
    return found


def difference(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """Norm of the difference of all gradients, relative to theirs."""
    squares = sum(float((one - other).double().square().sum()) for one, other in zip(found, wanted, strict=True))
    return float((squares / sum(float(one.double().square().sum()) for one in wanted)) ** 0.5)


def compare(device: torch.device, tokens: int, plain: bool, small: bool) -> bool:
    layout = layout_of(tokens, plain)
    ids = torch.randint(0, 1024, (1, tokens), generator=torch.Generator().manual_seed(0)).to(device)
    reference = language_model(device, torch.float32, small)
    reference.set_attn_implementation("eager")
    wanted_loss = separate_loss(reference, layout, ids)
    wanted_loss.backward()
    wanted = gradients(reference)
    right = True
    print(f"exactness, {tokens} tokens, {len(layout.units)} {'samples' if plain else 'units with questions'}")
    for dtype in LIMITS if device.type == "cuda" else (torch.float32,):
        for name, implementation, flash in variants(plain):
            if implementation == "flash_attention_2" and dtype != torch.bfloat16:
                continue
            packed_attention.has_flash = flash
            model = language_model(device, dtype, small)
            model.set_attn_implementation(implementation)
            backward = device.type == "cuda" or implementation != "flex_attention"
            with torch.set_grad_enabled(backward):
                loss = packed_loss(model, layout, ids, implementation)
            off = float(abs((loss.detach() - wanted_loss.detach()) / wanted_loss.detach()))
            gradient = None
            if backward:
                loss.backward()
                gradient = difference(gradients(model), wanted)
            ok = off < LIMITS[dtype] and (gradient is None or gradient < LIMITS[dtype])
            right &= ok
            text = "none" if gradient is None else f"{gradient:.1e}"
            print(f"  {name:22} {dtype!s:15} loss {off:.1e} gradient {text} {'ok' if ok else 'TOO FAR'}", flush=True)
    return right


def time_all(device: torch.device, tokens: int, plain: bool, small: bool) -> None:
    layout = layout_of(tokens, plain)
    ids = torch.randint(0, 1024, (1, tokens)).to(device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    print(f"forward and backward in {dtype}, {tokens} tokens, {'samples' if plain else 'units with questions'}")
    for name, implementation, flash in variants(plain):
        if implementation == "flex_attention" and device.type != "cuda":
            continue
        packed_attention.has_flash = flash
        model = language_model(device, dtype, small)
        model.set_attn_implementation(implementation)
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        taken = []
        for _ in range(REPEATS):
            synchronise(device)
            started = time.perf_counter()
            packed_loss(model, layout, ids, implementation).backward()
            synchronise(device)
            taken.append(time.perf_counter() - started)
            model.zero_grad()
        memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
        middle = sorted(taken[1:])[len(taken[1:]) // 2]
        print(f"  {name:22} {middle * 1000:9.1f} ms {tokens / middle:10.0f} tokens/s {memory:6.2f} GB", flush=True)
        del model


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small model and short packs, to try the script")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.backends.cuda.matmul.allow_tf32 = False
    register_packed_attention()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, flash-attn {'is' if find_spec('flash_attn') else 'is not'} installed")
    right = [compare(device, 512 if given.small else 4096, plain, given.small) for plain in (True, False)]
    for tokens in (1024,) if given.small else (4096, 8192, 16384):
        for plain in (True, False):
            time_all(device, tokens, plain, given.small)
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
