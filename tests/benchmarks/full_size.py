"""A model of published size with random weights: written, imported, run once, trained; time and peak memory.

    python tests/benchmarks/full_size.py --model 1b --folder DIR      written in the published layout, imported, run
    python tests/benchmarks/full_size.py --model 1b --steps 2         steps of LoRA on the CPU, one tile each

The first takes about 4 GB of disk (1.9 GB twice); its tokenizer has the published number of tokens, most of them
unreachable. The second takes no disk. It prints what ``domainvl plan`` predicts beside what was measured.
"""

from __future__ import annotations

import argparse
import json
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tokenizers import pre_tokenizers

from domainvl.model.attention import choose_attention
from domainvl.model.chat import INTERNVL2_SYSTEM_MESSAGE, Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel
from domainvl.model.device import choose_frozen_weights, choose_precision
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published.config import published_config
from domainvl.model.published.layout import published_bindings
from domainvl.model.published.tensors import CheckpointTensors, TensorInfo, write_tensors
from domainvl.model.published.transfer import model_shapes
from domainvl.model.sizes import build_on_meta, size_config
from domainvl.model.tokens import ADDED_TOKENS
from domainvl.model.trial import peak_memory_bytes
from domainvl.model.visual import VisualInput
from domainvl.planning.plan import PlanSettings, make_plan
from domainvl.training.batches import Batch, ReadUnit, collate
from domainvl.training.loading import LoadedPack
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.parallel import parallelise
from domainvl.training.preparation import adapt
from domainvl.training.processes import join_processes
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.stepping import Stepper
from domainvl.training.units import EncodedUnit

WORDS = 151_643
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def write_full_size(folder: Path, size: str) -> None:
    config = size_config(size)
    shapes = model_shapes(build_on_meta(config))
    generator = torch.Generator().manual_seed(0)
    infos: dict[str, TensorInfo] = {}
    parts: dict[str, list[tuple[int, ...]]] = {}
    bindings = published_bindings(config)
    for binding in bindings:
        parts[binding.stored] = [shapes[name] for name in binding.native]
        rows = sum(shape[0] for shape in parts[binding.stored])
        infos[binding.stored] = TensorInfo(torch.bfloat16, (rows, *parts[binding.stored][0][1:]))

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        for binding in bindings:
            drawn = [random_tensor(binding.stored, shape, generator) for shape in parts[binding.stored]]
            yield binding.stored, binding.join(drawn)

    folder.mkdir(parents=True)
    write_tensors(folder, infos, tensors())
    chat = Chat(format="Hermes-2", system_message=INTERNVL2_SYSTEM_MESSAGE)
    made = published_config(config, chat, Preprocessing(), "bfloat16")
    (folder / "config.json").write_text(json.dumps(made))
    write_tokenizer(folder)


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    drawn = torch.empty(shape).normal_(0.0, 0.02, generator=generator)
    if "norm" in name and name.endswith("weight"):
        drawn += 1.0
    return drawn.to(torch.bfloat16)


def write_tokenizer(folder: Path) -> None:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(first, second) for first in string.ascii_lowercase for second in string.ascii_lowercase]
    words = letters + [first + second for first, second in pairs]
    words += [f"unreachable{number}" for number in range(WORDS - len(words))]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    merges = [f"{first} {second}" for first, second in pairs]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    added = {token: WORDS + index for index, token in enumerate([*CHAT_TOKENS, *ADDED_TOKENS])}
    (folder / "added_tokens.json").write_text(json.dumps(added))
    content = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 8192,
        "added_tokens_decoder": {
            str(index): {"content": token, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            | {"single_word": False}
            for token, index in added.items()
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(content))


def run(*arguments: str) -> None:
    """Run a command of domainvl in a process of its own; it says itself what it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "domainvl", *arguments], check=True)
    print(f"  {' '.join(arguments[:2])}: {time.perf_counter() - started:.1f} s in all", flush=True)


def random_model(size: str, recipe: Recipe, device: torch.device) -> LoadedModel:
    """Build a model with random weights from no file, and make it ready as training does.

    It has no tokenizer.
    """
    from transformers import InternVLForConditionalGeneration

    arithmetic = choose_precision(recipe.compute.precision, device)
    requested = None if recipe.compute.attention == "auto" else recipe.compute.attention
    weights = choose_frozen_weights(recipe.compute.weights, arithmetic, adapters=recipe.method == "lora")
    config = size_config(size)
    torch.manual_seed(0)
    with device:
        internvl = InternVLForConditionalGeneration._from_config(config, dtype=weights)
    internvl.set_attn_implementation(choose_attention(device, arithmetic, packs=True, requested=requested))
    preprocessing = Preprocessing(
        tile_side_px=config.vision_config.image_size[0], tokens_per_tile=config.image_seq_length
    )
    spec = CheckpointSpec(kind="model", chat=Chat(format="Hermes-2"), preprocessing=preprocessing)
    return LoadedModel(adapt(internvl, recipe), None, spec)


def random_unit(config, tiles: int, text_tokens: int, answer_tokens: int, seed: int) -> ReadUnit:
    """Make a sample of random words about an image of noise: the image, a question, its answer."""
    generator = np.random.default_rng(seed)
    visual = tiles * config.image_seq_length
    words = generator.integers(40, 200, text_tokens).tolist()  # of any vocabulary, and never the image's token
    side_px = config.vision_config.image_size[0]
    pixels = generator.integers(0, 256, (tiles, side_px, side_px, 3), dtype=np.uint8)
    length = visual + text_tokens
    unit = EncodedUnit(
        input_ids=(config.image_token_id,) * visual + tuple(words),
        supervised=(False,) * (length - answer_tokens) + (True,) * answer_tokens,
        shared=0,
        questions=(length,),
        images=(),
        tile_counts=(tiles,),
        max_tiles=tiles,
        names=(str(seed),),
    )
    return ReadUnit(unit, 0, (VisualInput(tiles=pixels),))


def as_pack(batch: Batch, units: list[ReadUnit]) -> LoadedPack:
    """Say of a batch what a reader says of one."""
    return LoadedPack(
        batch,
        samples=(len(units),),
        tokens=(sum(len(one.unit.input_ids) for one in units),),
        tiles=sum(sum(one.unit.tile_counts) for one in units),
        names=tuple(name for one in units for name in one.unit.names),
        skipped=(),
    )


class Trainer:
    """The steps of a run without its files: loss, gradients, clipping and optimizer are those of ``finetune``."""

    def __init__(self, loaded: LoadedModel, recipe: Recipe) -> None:
        self._recipe = recipe
        self._device = loaded.device
        self._arithmetic = choose_precision(recipe.compute.precision, loaded.device)
        with join_processes(loaded.device) as processes:
            self._parallel = parallelise(AnswerLoss(loaded), [], processes, "ddp")
            self._stepper = Stepper(self._parallel, processes, 1, self._autocast, recipe.seed)
        self._optimizer = build_optimizer(loaded.model, recipe.optimisation)
        loaded.model.train()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=self._arithmetic, enabled=self._arithmetic != torch.float32)

    @property
    def trainable_parameters(self) -> int:
        return sum(value.numel() for value in self._parallel.parameters.values())

    def step(self, number: int, packs: list[LoadedPack]) -> float:
        """Take a step and return its loss."""
        seen = self._stepper.backward(number, iter(packs), len(packs), stopping=lambda: False)
        self._stepper.clip(seen.weight, self._recipe.optimisation.max_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return seen.loss


STEP_TEXT_TOKENS, STEP_ANSWER_TOKENS = 256, 128
STEP_CHANGES = (
    "compute.device=cpu",
    "compute.precision=bf16",
    "preprocessing.max_tiles=1",
    "packing.arrangement=grouped",
    "optimisation.micro_batch_size=1",
    "optimisation.batch_size=1",
)


def take_steps(size: str, count: int) -> None:
    """Build a model, take steps of LoRA and print what it took; the peaks are the whole process's."""
    libraries_bytes = peak_memory_bytes()
    started = time.perf_counter()
    recipe = load_recipe("_shared/lora", overrides=STEP_CHANGES, model=size)
    loaded = random_model(size, recipe, torch.device("cpu"))
    trainer = Trainer(loaded, recipe)
    print(f"  built in {time.perf_counter() - started:.1f} s, peak {peak_memory_bytes() / 1e9:.2f} GB", flush=True)
    unit = random_unit(loaded.internvl.config, 1, STEP_TEXT_TOKENS, STEP_ANSWER_TOKENS, seed=0)
    pack = as_pack(collate([unit], 0, "packed", recipe.optimisation.loss_weighting), [unit])
    print(f"  {trainer.trainable_parameters:,} trainable weights, {sum(pack.tokens)} tokens, {pack.tiles} tile")
    for number in range(1, count + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        loss = trainer.step(number, [pack])
        print(
            f"  step {number}: loss {loss:.4f}, {time.perf_counter() - wall:.1f} s, "
            f"{time.process_time() - cpu:.1f} CPU-seconds on {torch.get_num_threads()} threads",
            flush=True,
        )
    print(f"  peak {peak_memory_bytes() / 1e9:.2f} GB resident, {libraries_bytes / 1e9:.2f} GB before the model")


def print_plan(size: str) -> None:
    """Print what ``domainvl plan`` says of these steps."""
    settings = PlanSettings(
        model=size,
        method="lora",
        overrides=STEP_CHANGES,
        text_tokens=STEP_TEXT_TOKENS,
        answer_tokens=STEP_ANSWER_TOKENS,
    )
    footprint = make_plan(settings).training.footprint
    parts = ", ".join(f"{kind} {held_bytes / 1e9:.2f}" for kind, held_bytes in footprint.bytes_by_kind.items())
    print(f"  predicted, tensors alone: {footprint.total_bytes / 1e9:.2f} GB ({parts})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="1b", choices=["1b"])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="write, import and export a model there")
    what.add_argument("--steps", type=int, help="take so many steps of LoRA")
    options = parser.parse_args()
    if options.folder is None:
        take_steps(options.model, options.steps)
        print_plan(options.model)
    else:
        import_and_export(options.folder, options.model)


def import_and_export(folder: Path, size: str) -> None:
    published = folder / f"InternVL2-{size.upper()}"
    if not published.exists():
        started = time.perf_counter()
        write_full_size(published, size)
        print(f"  written in {time.perf_counter() - started:.1f} s")
    native = folder / "imported"
    run("model", "import", str(published), "--out", str(native), "--overwrite")
    run("model", "import", str(published), "--out", str(native), "--overwrite", "--check")
    run("model", "export", str(native), "--to", "published", "--out", str(folder / "exported"), "--overwrite")
    print(f"  tensors that differ after import and export: {count_different(published, folder / 'exported')}")


def count_different(one: Path, other: Path) -> int:
    left, right = CheckpointTensors(one), CheckpointTensors(other)
    names = left.infos.keys() | right.infos.keys()
    return sum(
        left.infos.get(name) != right.infos.get(name) or not torch.equal(left.read(name), right.read(name))
        for name in names
    )


if __name__ == "__main__":
    main()
