"""What each lever of training changes, saves and costs on a GPU; prints one line a lever, ends with 1 if one is wrong.

    python tests/gpu/levers.py --folder DIR

Each lever is compared with the same steps without it: loss and gradients of the first step, seconds a step and peak
memory of later ones. Needs about 8 GB of disk and 16 GB of GPU memory. With ``--device cpu --small`` the script itself
can be tried anywhere; liger-kernel is left out there.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import sys
import time
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from full_size import write_full_size

from domainvl.model.checkpoint import LoadedModel
from domainvl.model.packed_attention import PackLayout, UnitPlace
from domainvl.model.published.importing import import_checkpoint
from domainvl.model.quiet import quiet_transformers
from domainvl.model.vision_cache import VisionCache
from domainvl.model.visual import VisualInput
from domainvl.training.batches import IGNORED, Batch
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.preparation import prepare_model
from domainvl.training.recipe_files import load_recipe

SAMPLES, TILES, TEXT_TOKENS, ANSWER_TOKENS = 4, 3, 64, 16
WARM_STEPS, STEPS = 3, 5

FROZEN_VISION = ("lora.vision=frozen", "lora.dropout=0.0")
TRAINED_VISION = ("lora.vision=lora", "lora.dropout=0.0")


@dataclass(frozen=True)
class Lever:
    """One lever.

    Attributes:
        name: How it is called.
        base: Changes to the recipe that it is compared with.
        own: Changes that switch it on.
        gradient_limit: Largest difference of a gradient, relative to that parameter's largest, in fp32.
        cached: Whether features are kept on disk.
    """

    name: str
    base: tuple[str, ...]
    own: tuple[str, ...] = ()
    gradient_limit: float = 1e-3
    cached: bool = False


LEVERS = (
    Lever("vision features on disk", FROZEN_VISION, cached=True),
    Lever("vision checkpointed", TRAINED_VISION, ("compute.gradient_checkpointing={vision: true}",)),
    Lever("language model checkpointed", TRAINED_VISION, ("compute.gradient_checkpointing={language_model: true}",)),
    Lever("both checkpointed", TRAINED_VISION, ("compute.gradient_checkpointing=true",)),
    Lever("optimizer in 8 bits", TRAINED_VISION, ("optimisation.optimizer=adamw-8bit",)),
    Lever("liger kernels", TRAINED_VISION, ("compute.liger=true",)),
    Lever(
        "liger kernels, both checkpointed",
        TRAINED_VISION,
        ("compute.liger=true", "compute.gradient_checkpointing=true"),
    ),
)


@dataclass(frozen=True)
class Measured:
    """What some steps came to.

    Attributes:
        losses: Before each step.
        gradients: Of the first step, on the CPU.
        seconds: Of a later step, the median.
        peak_bytes: Of GPU memory in a later step; 0 on a CPU.
    """

    losses: list[float]
    gradients: dict[str, torch.Tensor]
    seconds: float
    peak_bytes: int


def make_batch(loaded: LoadedModel) -> Batch:
    """Pack some samples of random tiles and tokens."""
    config = loaded.internvl.config
    generator = np.random.default_rng(0)
    side_px = config.vision_config.image_size[0]
    visual = TILES * config.image_seq_length
    length = visual + TEXT_TOKENS
    ids = torch.from_numpy(generator.integers(40, 200, (1, SAMPLES * length)))
    labels = torch.full_like(ids, IGNORED)
    places, images = [], []
    for index in range(SAMPLES):
        start = index * length
        ids[0, start : start + visual] = config.image_token_id
        answer = slice(start + length - ANSWER_TOKENS, start + length)
        labels[0, answer] = ids[0, answer]
        places.append(UnitPlace(0, start, 0, (length,)))
        tiles = generator.integers(0, 256, (TILES, side_px, side_px, 3), dtype=np.uint8)
        images.append(VisualInput(tiles, hashlib.sha256(tiles.tobytes()).hexdigest()))
    return Batch(
        input_ids=ids,
        position_ids=torch.arange(length).repeat(SAMPLES)[None],
        labels=labels,
        weights=(labels != IGNORED).float(),
        sources=torch.zeros_like(ids),
        layout=PackLayout(tuple(places), 1, SAMPLES * length),
        images=tuple(images),
    )


def measure(
    model: str, device: torch.device, precision: str, changes: tuple[str, ...], features: Path | None
) -> Measured:
    """Take some steps."""
    overrides = [f"compute.precision={precision}", "compute.gradient_checkpointing=false", *changes]
    recipe = load_recipe("_shared/lora", model=model, overrides=overrides)
    torch.manual_seed(0)
    loaded = prepare_model(recipe, device, {})
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(1)
        for name, value in loaded.model.named_parameters():
            if "lora_B" in name:  # zero at first, which would hide what reaches A
                torch.nn.init.normal_(value, std=0.01)
    arithmetic = torch.bfloat16 if precision == "bf16" else torch.float32
    cache = VisionCache(features, loaded, arithmetic) if features is not None else None
    loss_of = AnswerLoss(loaded, cache=cache)
    optimizer = build_optimizer(loaded.model, recipe.optimisation)
    batch = make_batch(loaded)
    loaded.model.train()
    losses, seconds = [], []
    gradients: dict[str, torch.Tensor] = {}
    for step in range(WARM_STEPS + STEPS):
        if cache is not None and step > 0:  # as the threads that read ahead do from the second epoch on
            known = tuple(VisualInput(key=image.key, features=cache.read(str(image.key))) for image in batch.images)
            batch = replace(batch, images=known)
        if step == WARM_STEPS and device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = time.perf_counter()
        with torch.autocast(device.type, dtype=arithmetic, enabled=arithmetic != torch.float32):
            loss = loss_of(batch).sum() / batch.weights.sum()
        loss.backward()
        if step == 0:
            gradients = {
                name: value.grad.float().cpu()
                for name, value in loaded.model.named_parameters()
                if value.grad is not None
            }
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())  # waits for the GPU
        seconds.append(time.perf_counter() - started)
    peak_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Measured(losses, gradients, float(np.median(seconds[WARM_STEPS:])), peak_bytes)


def gradient_difference(one: Measured, other: Measured) -> float:
    """Return the largest difference of a gradient, relative to the largest value of that parameter's."""
    if one.gradients.keys() != other.gradients.keys():
        return float("inf")
    return max(
        float((gradient - other.gradients[name]).abs().max() / gradient.abs().max().clamp(min=1e-7))
        for name, gradient in one.gradients.items()
    )


def compare(
    lever: Lever, model: str, device: torch.device, folder: Path, bases: dict[tuple[str, ...], Measured]
) -> bool:
    """Measure a lever in fp32 for its result and in bf16 for its cost; print what came out, say whether it is right."""
    results = {}
    for precision in ("fp32", "bf16"):
        base = (precision, *lever.base)
        if base not in bases:
            bases[base] = measure(model, device, precision, lever.base, None)
            free(device)
        features = folder / f"features-{precision}" if lever.cached else None
        results[precision] = bases[base], measure(model, device, precision, (*lever.base, *lever.own), features)
        free(device)
    exact, found = results["fp32"]
    difference = gradient_difference(exact, found)
    loss_difference = abs(found.losses[0] / exact.losses[0] - 1)
    right = difference < lever.gradient_limit and loss_difference < 1e-5 and found.losses[-1] < found.losses[0]
    before, after = results["bf16"]
    print(
        f"{'ok    ' if right else 'FAILED'}  {lever.name}: fp32 loss differs by {loss_difference:.1g}, gradients by "
        f"{difference:.1g} at most; bf16 loss {before.losses[0]:.4f} and {after.losses[0]:.4f}, after "
        f"{WARM_STEPS + STEPS - 1} steps {before.losses[-1]:.4f} and {after.losses[-1]:.4f}; a step "
        f"{1e3 * before.seconds:.1f} and {1e3 * after.seconds:.1f} ms, {before.seconds / after.seconds:.2f} times as "
        f"fast; peak {before.peak_bytes / 1e9:.2f} and {after.peak_bytes / 1e9:.2f} GB",
        flush=True,
    )
    return right


def free(device: torch.device) -> None:
    """Give back what the last model held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", metavar="TEXT", help="the levers that have this in their name")
    parser.add_argument("--small", action="store_true", help="take the tiny model, not the 1B")
    options = parser.parse_args()
    quiet_transformers()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device(options.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU", torch.__version__)
    options.folder.mkdir(parents=True)
    model = "tiny"
    if not options.small:
        write_full_size(options.folder / "InternVL2-1B", "1b")
        model = str(options.folder / "imported")
        import_checkpoint(options.folder / "InternVL2-1B", Path(model))
    missing = [
        f"{name} is left out: {why}"
        for name, why in (
            (
                "liger",
                "it needs a GPU" if device.type != "cuda" else "" if find_spec("liger_kernel") else "not installed",
            ),
            ("8 bits", "" if find_spec("bitsandbytes") else "bitsandbytes is not installed"),
        )
        if why
    ]
    print(*missing, sep="\n")
    left_out = [line.split(" is left out")[0] for line in missing]
    bases: dict[tuple[str, ...], Measured] = {}
    right = [
        compare(lever, model, device, options.folder, bases)
        for lever in LEVERS
        if options.only in lever.name and not any(name in lever.name for name in left_out)
    ]
    sys.exit(not all(right))


if __name__ == "__main__":
    main()
