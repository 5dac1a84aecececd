"""What generating answers does on a GPU: whether they are identical, answers a second, memory; one line a check.

    python tests/gpu/answers.py --folder DIR

Compares with the official loop, which asks each question by itself, and ends with 1 if an answer differs. Random
weights, of the full size of the 1B unless ``--small``. Needs 24 GB of GPU memory. With ``--device cpu --small`` the
script itself can be tried anywhere.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from mixed_questions import QUESTIONS, answer_one_at_a_time, ask, mixed_samples, small_loaded, write_images
from models import require, run_checks
from squares import write_squares, write_untrained

from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import GeneratedAnswer, generate_answers
from domainvl.model.preprocessing import Preprocessing, TileReader
from domainvl.model.quiet import quiet_transformers
from domainvl.model.sizes import size_config
from domainvl.schema import Sample

MAX_NEW_TOKENS = 24
BATCH_SIZES = (1, 8, 32)
LIKELIHOOD_LIMIT = 1e-4
"""A GPU adds in another order for each size of batch; on the CPU 1e-5 holds."""


def full_loaded(like: LoadedModel, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    """Build the 1B with random weights, whose visual tokens are those of a small tokenizer."""
    from transformers import InternVLForConditionalGeneration

    config = size_config("1b")
    config.image_token_id = like.internvl.config.image_token_id
    torch.manual_seed(0)
    with device:
        model = InternVLForConditionalGeneration._from_config(
            config, dtype=dtype, attn_implementation=choose_attention(device, dtype, packs=False)
        )
    spec = like.spec.model_copy(update={"preprocessing": Preprocessing()})
    return LoadedModel(model.eval(), like.tokenizer, spec)


def small_on(like: LoadedModel, kind: str, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    loaded = small_loaded(like, kind)
    loaded.model.to(device, dtype)
    return loaded


def together(
    loaded: LoadedModel, samples: Sequence[Sample], folder: Path, batch_size: int
) -> dict[str, GeneratedAnswer]:
    reader = TileReader(folder, loaded.spec.preprocessing, cache_bytes=1 << 30)
    answers = generate_answers(loaded, samples, reader, batch_size=batch_size, max_new_tokens=MAX_NEW_TOKENS)
    return {one.sample_id: one for one in answers}


def check_identical(loaded: LoadedModel, samples: Sequence[Sample], folder: Path) -> str:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    reader = TileReader(folder, loaded.spec.preprocessing, cache_bytes=1 << 30)
    wanted = answer_one_at_a_time(loaded, samples, reader, MAX_NEW_TOKENS)
    largest = 0.0
    for size in BATCH_SIZES:
        found = together(loaded, samples, folder, size)
        other = [key for key, one in found.items() if one.text != wanted[key].text]
        require(not other, f"{len(other)} of {len(samples)} answers differ at batch {size}, first {other[:1]}")
        off = max(abs(one.likelihood - wanted[key].likelihood) for key, one in found.items())
        require(off < LIKELIHOOD_LIMIT, f"a likelihood differs by {off:.2g} at batch {size}")
        largest = max(largest, off)
    return f"{len(samples)} answers, equal at batch {', '.join(map(str, BATCH_SIZES))}; likelihoods to {largest:.1g}"


def check_speed(loaded: LoadedModel, samples: Sequence[Sample], folder: Path, batch_size: int) -> str:
    """Measure answers a second; with a batch of 0 those of the official loop, on every fourth question."""
    if batch_size == 0:
        samples = samples[::4]
    together(loaded, samples[:2], folder, 2)
    if loaded.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(loaded.device)
    started = time.perf_counter()
    if batch_size == 0:
        reader = TileReader(folder, loaded.spec.preprocessing, cache_bytes=1 << 30)
        answer_one_at_a_time(loaded, samples, reader, MAX_NEW_TOKENS)
    else:
        together(loaded, samples, folder, batch_size)
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(loaded.device) / 1e9 if loaded.device.type == "cuda" else float("nan")
    return f"{len(samples) / seconds:.2f} answers a second, peak {peak:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", metavar="TEXT", help="the checks that have this in their name")
    parser.add_argument("--small", action="store_true", help="leave the full-size model out")
    options = parser.parse_args()
    quiet_transformers()
    device = torch.device(options.device)
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU", torch.__version__)
    options.folder.mkdir(parents=True)
    write_squares(options.folder / "squares")
    write_untrained(options.folder / "untrained", options.folder / "squares")
    like = load_model(str(options.folder / "untrained"))
    small, large = options.folder / "small", options.folder / "large"
    samples = mixed_samples(write_images(small, [1, 3, 13, 1, 13]))
    checks: dict[str, Callable[[], str]] = {}
    for kind in ("qwen2", "llama", "phi3"):
        checks[f"identical, small {kind}"] = lambda kind=kind: check_identical(
            small_on(like, kind, device, torch.float32), samples, small
        )
    if options.small:
        held = {"small": lambda dtype: small_on(like, "qwen2", device, dtype)}
        images = write_images(large, [1, 3, 13] * 4)
    else:
        held = {"1B": lambda dtype: full_loaded(like, device, dtype)}
        images = write_images(large, [1, 3, 13] * 16, side_px=448)
    questions = {
        "apart": [ask(f"{image.path}", QUESTIONS[number % 5], [image]) for number, image in enumerate(images)],
        "shared": [ask(f"{image.path}/{n}", QUESTIONS[n % 5], [image]) for image in images[:6] for n in range(8)],
    }
    for (name, build), (sharing, asked) in ((one, other) for one in held.items() for other in questions.items()):
        title = f"{name}, images {sharing}"
        checks[f"identical, float32 {title}"] = lambda build=build, asked=asked: check_identical(
            build(torch.float32), asked[::3], large
        )
        for size in (0, *BATCH_SIZES):
            way = f"batch {size}" if size else "the official loop"
            checks[f"speed, bf16 {title}, {way}"] = lambda build=build, asked=asked, size=size: check_speed(
                build(torch.bfloat16), asked, large, size
            )
    sys.exit(bool(run_checks({name: check for name, check in checks.items() if options.only in name})))


if __name__ == "__main__":
    main()
