"""Shows predicted memory beside measured memory: real steps of small models on a CPU, and their rehearsal.

Bytes are counted by torch's profiler from the events of torch's CPU allocator. ``--rss`` adds the high-water mark of
the resident memory of a process of its own, for models large enough that the rest does not matter. Run as
``python tests/benchmarks/memory.py [--rss]``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import InternVLForConditionalGeneration

from domainvl.model.chat import Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel, find_checkpoint, load_tokenizer, save_checkpoint
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.quiet import quiet_transformers
from domainvl.model.sizes import size_config
from domainvl.model.vision_cache import VisionCache
from domainvl.model.visual import VisualInput
from domainvl.planning.rehearsal import BatchShape, Row, TrainingRehearsal, rehearse_answering
from domainvl.training.batches import Batch, ReadUnit, collate
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.preparation import prepare_model
from domainvl.training.recipe_files import load_recipe
from domainvl.training.units import EncodedUnit

MIB = 1 << 20
FAMILIES = {"qwen2": "1b", "llama": "2b", "phi3": "4b"}
WORD_ID = 600


@dataclass(frozen=True)
class Case:
    """One step to predict and to measure.

    Attributes:
        family: Architecture of the language model.
        method: lora or full.
        checkpointing: Whether activations are computed again.
        batch: Samples at a time: rows where they are grouped, one behind the other where they are packed.
        row: Tiles, text and answer of each, in tokens of 16 a tile.
        hidden: Width of the language model.
        layers: Of the language model and of the vision encoder.
        overrides: Further changes of the recipe.
        packed: Whether the samples stand in one row.
        questions: Samples about the same images that share one pass; ``row`` is then what they have together.
        parts: What is computed at a time is so often in a step.
    """

    family: str
    method: str
    checkpointing: bool
    batch: int
    row: tuple[int, int, int] = (30, 320, 64)
    hidden: int = 256
    layers: int = 4
    overrides: tuple[str, ...] = ()
    packed: bool = False
    questions: int = 1
    parts: int = 1

    def shape(self) -> BatchShape:
        of = BatchShape.of(Row(*self.row), **{"units" if self.packed else "rows": self.batch})
        return replace(of, questions=self.questions)

    def recipe(self, model: str = "none"):
        return load_recipe(
            f"_shared/{self.method}",
            model=model,
            overrides=[
                "compute.device=cpu",
                f"compute.gradient_checkpointing={str(self.checkpointing).lower()}",
                f"packing.arrangement={'packed' if self.packed else 'grouped'}",
                *self.overrides,
            ],
        )

    def config(self):
        """A published size made small: 16 tokens a tile of 112 px."""
        config = size_config(FAMILIES[self.family])
        vision, text = config.vision_config, config.text_config
        vision.hidden_size, vision.intermediate_size, vision.image_size = 128, 512, [112, 112]
        vision.num_attention_heads, vision.num_hidden_layers = 4, self.layers
        text.hidden_size, text.intermediate_size, text.num_hidden_layers = self.hidden, 3 * self.hidden, self.layers
        text.num_attention_heads, text.num_key_value_heads = 4, 4 if self.family == "phi3" else 2
        text.vocab_size, text.bos_token_id, text.eos_token_id, text.pad_token_id = 3000, None, 2, 0
        if self.family == "qwen2":
            text.layer_types = ["full_attention"] * self.layers
        if self.family == "llama":
            text.head_dim = self.hidden // 4
        if self.family == "phi3":
            ones = [1.0] * (self.hidden // 8)
            text.rope_parameters = {**text.rope_parameters, "short_factor": ones, "long_factor": ones}
        config.image_seq_length, config.image_token_id = 16, 5
        return config


def real_batch(case: Case, config) -> Batch:
    """Collate as training does: units of equal length, their visual tokens first, their answers last."""
    tiles, text, answer = case.row
    visual = tiles * config.image_seq_length
    shared = visual if case.questions > 1 else 0
    ids = (config.image_token_id,) * visual + (WORD_ID,) * text
    own = (text + visual - shared) // case.questions
    flags = ((False,) * (own - answer // case.questions) + (True,) * (answer // case.questions)) * case.questions
    unit = EncodedUnit(
        ids, (False,) * shared + flags, shared, (own,) * case.questions, (), (tiles,), tiles, ("sample",)
    )
    pixels = np.zeros((tiles, *config.vision_config.image_size, 3), np.uint8)
    units = [ReadUnit(unit, 0, (VisualInput(tiles=pixels, key=str(number)),)) for number in range(case.batch)]
    return collate(units, 0, "packed" if case.packed else "grouped")


class AlwaysEmpty(VisionCache):
    """A cache as a run's first epoch finds it."""

    def read(self, key: str) -> None:
        return None

    def write(self, key: str, features: torch.Tensor) -> None:
        pass


class RealStep:
    """The step of training, on a random checkpoint that is loaded and prepared as training does it."""

    def __init__(self, case: Case) -> None:
        config = case.config()
        with tempfile.TemporaryDirectory() as folder:
            save_random(config, Path(folder))
            self.recipe = case.recipe(folder)
            self.loaded = prepare_model(self.recipe, torch.device("cpu"), {})
        self.batch = real_batch(case, config)
        cache = AlwaysEmpty(Path("nowhere"), self.loaded) if self.recipe.compute.cache_vision else None
        self.loss = AnswerLoss(self.loaded, cache=cache)
        self.parts = case.parts
        self.optimizer = build_optimizer(self.loaded.model, self.recipe.optimisation)
        self.trained = [value for value in self.loaded.model.parameters() if value.requires_grad]

    def __call__(self) -> None:
        self.loaded.model.train()
        bf16 = self.recipe.compute.precision == "bf16"
        for _ in range(self.parts):
            with torch.autocast("cpu", dtype=torch.bfloat16) if bf16 else nullcontext():
                loss = self.loss(self.batch).sum()
            loss.backward()
            del loss
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def staying_bytes(self) -> int:
        """Weights and optimizer state, each storage once."""
        tensors = [*self.loaded.model.parameters(), *self.loaded.model.buffers()]
        states = [part for state in self.optimizer.state.values() for part in state.values()]
        return storage_bytes([*tensors, *(part for part in states if isinstance(part, torch.Tensor))])


def save_random(config, folder: Path) -> None:
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config)
    preprocessing = Preprocessing(tile_side_px=112, tokens_per_tile=16)
    spec = CheckpointSpec(kind="model", chat=Chat(format="Hermes-2"), preprocessing=preprocessing)
    save_checkpoint(LoadedModel(model, load_tokenizer(find_checkpoint("tiny")), spec), folder)


def storage_bytes(tensors) -> int:
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def allocator_peak_bytes(function) -> int:
    """What torch's CPU allocator gave out at most while a function ran, over what it had given out before."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    held, most = 0, 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def measured_training_bytes(case: Case) -> int:
    step = RealStep(case)
    step()  # the optimizer makes its state
    return step.staying_bytes() + allocator_peak_bytes(step)


def predicted_training_bytes(case: Case) -> int:
    rehearsal = TrainingRehearsal(case.config(), case.recipe(), "cpu")
    return rehearsal.peak(case.shape(), whole_step=case.parts == 1).total_bytes


NEW_TOKENS = 24


def measured_answering_bytes(case: Case) -> int:
    from transformers import GenerationConfig

    config = case.config()
    torch.manual_seed(0)
    model = InternVLForConditionalGeneration(config).eval()
    batch = real_batch(case, config)
    mask = torch.ones_like(batch.input_ids)
    if case.batch > 1:
        mask[0, 0] = 0
    pixels = torch.zeros(case.row[0] * case.batch, 3, 112, 112)
    settings = GenerationConfig(
        max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=2, pad_token_id=0
    )

    def generate() -> None:
        with torch.inference_mode():
            model.generate(
                input_ids=batch.input_ids, attention_mask=mask, pixel_values=pixels, generation_config=settings
            )

    held = storage_bytes([*model.parameters(), *model.buffers(), batch.input_ids, mask, pixels])
    return held + allocator_peak_bytes(generate)


def predicted_answering_bytes(case: Case) -> int:
    row = Row(*case.row)
    config = case.config()
    return rehearse_answering(
        config, torch.float32, "cpu", row=row, batch_size=case.batch, new_tokens=NEW_TOKENS
    ).total_bytes


def training_cases() -> list[Case]:
    return [
        Case(family, method, checkpointing, batch)
        for family in FAMILIES
        for method in ("lora", "full")
        for checkpointing in (False, True)
        for batch in (1, 4)
    ] + [
        Case("qwen2", "full", False, 2, parts=2),
        Case("qwen2", "full", False, 1, overrides=("full.vision=false",)),
        Case("llama", "lora", False, 1, overrides=("lora.vision=frozen", "lora.projector=frozen")),
        Case("qwen2", "lora", True, 2, overrides=("lora.dora=true",)),
        Case("qwen2", "lora", True, 2, overrides=("compute.precision=bf16",)),
        Case("llama", "full", True, 2, overrides=("compute.precision=bf16",)),
        Case("phi3", "full", False, 1, overrides=("compute.attention=eager",)),
        Case("llama", "lora", False, 2, row=(40, 700, 128), hidden=512, layers=6),
        *(Case(family, "lora", again, 4, packed=True) for family in FAMILIES for again in (False, True)),
        Case("qwen2", "full", False, 4, packed=True, parts=2),
        Case("qwen2", "lora", False, 4, packed=True, overrides=("compute.attention=sdpa",)),
        Case("qwen2", "lora", False, 4, packed=True, overrides=("compute.attention=eager",)),
        Case("qwen2", "lora", False, 2, packed=True, questions=4),
        Case("llama", "lora", False, 4, packed=True, overrides=("lora.vision=frozen", "compute.cache_vision=true")),
        Case("qwen2", "full", True, 4, packed=True, overrides=("optimisation.optimizer=adamw-8bit",)),
    ]


def rss_cases() -> list[Case]:
    return [
        Case("qwen2", "full", False, 4),
        Case("llama", "lora", False, 2, row=(40, 700, 128), hidden=512, layers=6),
        Case("phi3", "full", True, 4, hidden=512, layers=8),
    ]


def status_bytes(field: str) -> int:
    """Read a field of Linux' /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def run_child(case: Case) -> None:
    """Print what one process grew by from before its model to the height of its third step."""
    quiet_transformers()
    RealStep(Case(case.family, case.method, case.checkpointing, 1, row=(1, 20, 4), hidden=32, layers=1))()
    gc.collect()
    before = status_bytes("VmRSS")
    step = RealStep(case)
    for _ in range(3):
        step()
    print(json.dumps({"growth_bytes": status_bytes("VmHWM") - before}))


def measured_rss_bytes(case: Case, *, return_freed: bool) -> int:
    command = [sys.executable, __file__, "--child", json.dumps(asdict(case))]
    # By default glibc keeps freed blocks of up to 32 MiB for itself, where they crumble. Below this size, they go back.
    malloc = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"} if return_freed else {}
    output = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **malloc}).stdout
    return json.loads(output.splitlines()[-1])["growth_bytes"]


def show(title: str, rows) -> None:
    print(f"{title}\n  {'':58} predicted  measured  ratio")
    for name, predicted, measured in rows:
        print(f"  {name:58}{predicted / MIB:8.1f}  {measured / MIB:8.1f}  {predicted / measured:5.3f}", flush=True)


def describe(case: Case) -> str:
    again = "again" if case.checkpointing else "kept"
    changes = f" {','.join(case.overrides)}" if case.overrides else ""
    tokens = case.row[0] * 16 + case.row[1]
    how = (" packed" if case.packed else "") + (f" {case.questions} questions" if case.questions > 1 else "")
    how += f" {case.parts} parts" if case.parts > 1 else ""
    return f"{case.family:6}{case.method:5}{again:6}{case.batch} x {tokens} h{case.hidden}{how}{changes}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rss", action="store_true", help="measure resident memory too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child:
        fields = json.loads(options.child)
        run_child(Case(**{**fields, "row": tuple(fields["row"]), "overrides": tuple(fields["overrides"])}))
        return
    quiet_transformers()
    show(
        "training, MiB of tensors (activations kept or computed again; samples x tokens; width)",
        ((describe(case), predicted_training_bytes(case), measured_training_bytes(case)) for case in training_cases()),
    )
    answering = [Case(family, "full", False, batch) for family in FAMILIES for batch in (1, 4)]
    show(
        f"answering with {NEW_TOKENS} tokens, MiB of tensors",
        ((describe(case), predicted_answering_bytes(case), measured_answering_bytes(case)) for case in answering),
    )
    if not options.rss:
        return
    for title, return_freed in (("malloc returns what is freed", True), ("malloc as it is", False)):
        show(
            f"training, MiB of resident memory (VmHWM less VmRSS before), {title}",
            (
                (describe(case), predicted_training_bytes(case), measured_rss_bytes(case, return_freed=return_freed))
                for case in rss_cases()
            ),
        )


if __name__ == "__main__":
    main()
