"""What of the models can be checked on a GPU only; prints one line a check and ends with 1 if one failed.

    python tests/gpu/models.py --folder DIR

Needs about 8 GB of disk and 24 GB of GPU memory. With ``--device cpu --small`` the script itself can be tried anywhere.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1]))

from full_size import write_full_size
from squares import write_squares

from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.preprocessing import Preprocessing, normalise
from domainvl.model.published.importing import import_checkpoint
from domainvl.model.quiet import quiet_transformers
from domainvl.model.visual import VisualInput
from domainvl.planning.plan import PlanSettings, make_plan
from domainvl.training.batches import Batch, ReadUnit, collate
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.preparation import prepare_model
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune
from domainvl.training.units import EncodedUnit

TEXT_TOKENS, ANSWER_TOKENS = 256, 128
STEPS, BATCHES = 3, 2


def check_normalisation(device: torch.device) -> str:
    tiles = torch.from_numpy(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3))
    here = normalise(tiles, Preprocessing(), torch.float32)
    there = normalise(tiles.to(device), Preprocessing(), torch.float32).cpu()
    require(torch.equal(here, there), f"{int((here != there).sum())} of {here.numel()} values differ from the CPU's")
    return "the same bits as on the CPU"


def check_logits(device: torch.device) -> str:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    here, there = (tiny_logits(torch.device("cpu"), torch.float32), tiny_logits(device, torch.float32))
    off = float((here - there).abs().max() / here.abs().max())
    require(off < 1e-4, f"logits differ by {off:.2g} of the largest")
    half = float((here - tiny_logits(device, torch.bfloat16)).abs().max() / here.abs().max())
    require(half < 0.05, f"logits in bf16 differ by {half:.2g} of the largest")
    chosen = choose_attention(device, torch.bfloat16, packs=False)
    return f"float32 differs by {off:.2g}, bf16 by {half:.2g} of the largest; attention {chosen}"


def tiny_logits(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    loaded = load_model("tiny", device=device, dtype=dtype)
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[40, 41, *[loaded.internvl.config.image_token_id] * 16, 42, 43]])
    with torch.inference_mode():
        output = loaded.internvl(input_ids=ids.to(device), pixel_values=pixels.to(device, dtype))
    return output.logits.float().cpu()


def check_training(device: torch.device, folder: Path, *changes: str) -> str:
    out = folder / ("run-" + "-".join(change.replace("=", "-") for change in changes))
    recipe = load_recipe(
        "_shared/lora", model="tiny", overrides=[f"compute.device={device}", "optimisation.max_steps=4", *changes]
    )
    started = time.perf_counter()
    summary = finetune(recipe, folder / "squares", out)
    require(np.isfinite(summary.final_loss), f"the loss is {summary.final_loss}")
    return f"{summary.steps} steps, loss {summary.final_loss:.3f}, {time.perf_counter() - started:.1f} s"


def check_memory(device: torch.device, model: str, method: str, batch_size: int, *changes: str) -> str:
    """Compare with the prediction, of so many rows; where that is 0, of a pack as full as the recipe has it."""
    settings = PlanSettings(
        model=model,
        method=method,
        overrides=changes,
        max_tiles=12,
        text_tokens=TEXT_TOKENS,
        answer_tokens=ANSWER_TOKENS,
        micro_batch_size=batch_size or None,
    )
    plan = make_plan(settings)
    footprint = plan.training.footprint
    predicted, needed = footprint.total_bytes, footprint.needed_bytes(on_gpu=True)
    recipe = plan.recipe.model_copy(update={"model": model})
    loaded = prepare_model(recipe, device, {})
    optimizer = build_optimizer(loaded.model, recipe.optimisation)
    batch = full_batch(loaded.internvl.config, plan.samples.pack.rows, plan.samples.pack.units)
    loaded.model.train()
    take_steps(loaded, optimizer, batch)
    torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    take_steps(loaded, optimizer, batch)
    seconds = (time.perf_counter() - started) / STEPS
    measured, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    free_bytes, total_bytes = torch.cuda.mem_get_info(device)
    outside = total_bytes - free_bytes - torch.cuda.memory_reserved(device)
    text = f"predicted {predicted / 1e9:.2f} GB, allocated {measured / 1e9:.2f}, ratio {predicted / measured:.3f}; "
    text += f"with the allowance {needed / 1e9:.2f}, reserved {reserved / 1e9:.2f} and {outside / 1e9:.2f} outside; "
    text += f"a step of {BATCHES} batches {seconds:.2f} s"
    require(abs(predicted / measured - 1) < 0.1, text)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((needed - outside) / total_bytes, device)
    try:
        take_steps(loaded, optimizer, batch)
    except torch.OutOfMemoryError:
        require(False, f"{text}; not enough with the allowance")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return f"{text}; the allowance is enough"


def take_steps(loaded: LoadedModel, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    trained = [value for value in loaded.model.parameters() if value.requires_grad]
    answer_loss = AnswerLoss(loaded)
    for _ in range(STEPS):
        for _ in range(BATCHES):  # where there are several, gradients are there when the second begins
            with torch.autocast(loaded.device.type, dtype=torch.bfloat16):
                loss = answer_loss(batch).sum()
            loss.backward()
            del loss
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    torch.cuda.synchronize(loaded.device)


def full_batch(config, rows: int, units: int) -> Batch:
    tiles = 13
    visual = tiles * config.image_seq_length
    ids = (config.image_token_id,) * visual + (600,) * TEXT_TOKENS
    flags = (False,) * (len(ids) - ANSWER_TOKENS) + (True,) * ANSWER_TOKENS
    unit = EncodedUnit(ids, flags, 0, (len(ids),), (), (tiles,), tiles, ("sample",))
    image = VisualInput(tiles=np.zeros((tiles, *config.vision_config.image_size, 3), np.uint8))
    samples = [ReadUnit(unit, 0, (image,))] * (rows * units)
    return collate(samples, 0, "grouped" if units == 1 else "packed")


def require(holds: bool, found: str) -> None:
    if not holds:
        raise RuntimeError(found)


def run_checks(checks: dict[str, Callable[[], str]]) -> int:
    failed = 0
    for name, check in checks.items():
        try:
            print(f"ok      {name}: {check()}", flush=True)
        except Exception as error:  # noqa: BLE001 - the border of a check: the others are still run
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}", flush=True)
            traceback.print_exc()
        gc.collect()  # what a check held in a cycle would count as the next one's
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", metavar="TEXT", help="the checks that have this in their name")
    parser.add_argument("--small", action="store_true", help="leave the full-size model out")
    options = parser.parse_args()
    quiet_transformers()
    device = torch.device(options.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())  # what limits memory wants the number
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU", torch.__version__)
    options.folder.mkdir(parents=True)
    write_squares(options.folder / "squares")
    checks: dict[str, Callable[[], str]] = {
        "normalisation": lambda: check_normalisation(device),
        "logits": lambda: check_logits(device),
        "training, bf16": lambda: check_training(device, options.folder, "compute.precision=bf16"),
        "training, QLoRA": lambda: check_training(device, options.folder, "quantisation=nf4-double"),
    }
    if not options.small:
        write_full_size(options.folder / "InternVL2-1B", "1b")
        model = str(options.folder / "imported")
        import_checkpoint(options.folder / "InternVL2-1B", Path(model))
        for method, batch_size in (("lora", 1), ("lora", 2), ("qlora", 1), ("full", 1)):
            checks[f"memory of the 1B, {method}, {batch_size} samples"] = lambda method=method, batch_size=batch_size: (
                check_memory(device, model, method, batch_size)
            )
        for method, changes in (("lora", ()), ("qlora", ()), ("full", ("optimisation.optimizer=adamw-8bit",))):
            checks[f"memory of the 1B, {method}, a pack{''.join(f', {one}' for one in changes)}"] = (
                lambda method=method, changes=changes: check_memory(device, model, method, 0, *changes)
            )
    # Last, for compiling alone took a minute and a half beside an H100.
    checks["training, compiled"] = lambda: check_training(device, options.folder, "compute.compile=true")
    sys.exit(bool(run_checks({name: check for name, check in checks.items() if options.only in name})))


if __name__ == "__main__":
    main()
