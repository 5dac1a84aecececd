"""Shows how many answers a processor second gives: the official loop against domainvl, with figures and ratios.

The official loop asks each question by itself, encodes its images for it and calls ``generate`` of transformers
(OpenGVLab/InternVL, internvl_chat/eval/vqa/evaluate_vqa.py with its batch of 1). Models have random weights. Images
have 1, 3 and 13 tiles in turn, and one question in nine has none. ``shared`` asks eight questions of each image,
``apart`` one. ``long`` answers have 24 tokens, ``short`` ones end where the model says so, after a few. Without shared
images most of a short answer is reading its image, which no order of work makes less.

Answers are compared: text, number of tokens, and likelihood to 1e-5.

Run as ``python tests/benchmarks/evaluation/answers.py [--questions 96] [--rounds 3]`` with ``OMP_NUM_THREADS=1``; the
figures are of the quickest round.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from mixed_questions import QUESTIONS, answer_one_at_a_time, ask, small_loaded, write_images
from squares import write_squares, write_untrained

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import GeneratedAnswer, generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.model.quiet import quiet_transformers
from domainvl.schema import Sample

MAX_NEW_TOKENS = 24
BATCH_SIZES = (1, 8, 32)
QUESTIONS_AN_IMAGE = {"apart": 1, "shared": 8}
ENDS = {"short": 2.0, "long": 0.0}
Answers = dict[str, GeneratedAnswer]


@dataclass(frozen=True)
class Model:
    """One model to measure: the kind of its language model, and changes to the small one."""

    kind: str
    changes: dict[str, Any]


LARGER: dict[str, Any] = {
    "initializer_range": 0.1,
    "hidden_size": 256,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "intermediate_size": 704,
}
MODELS = (
    Model("qwen2", {}),
    Model("qwen2", LARGER),
    Model("llama", LARGER),
    Model("phi3", {**LARGER, "num_key_value_heads": 8}),
)


def make_samples(folder: Path, count: int, per_image: int) -> list[Sample]:
    tile_counts = [(1, 3, 13)[number % 3] for number in range(count // per_image)]
    images = write_images(folder / f"images-{per_image}", tile_counts)
    samples = [
        ask(f"{image.path}/{number}", f"{QUESTIONS[number % len(QUESTIONS)]} {number}", [image])
        for image in images
        for number in range(per_image)
    ]
    return samples + [ask(f"text/{number}", f"{number} squares?") for number in range(count // 8)]


def cpu_seconds(function: Callable[[], Answers], rounds: int) -> tuple[float, Answers]:
    times = []
    for _ in range(rounds):
        started = time.process_time()
        answers = function()
        times.append(time.process_time() - started)
    return min(times), answers


def equal(found: Answers, wanted: Answers) -> bool:
    return found.keys() == wanted.keys() and all(
        (one.text, one.token_count, one.cut_off) == (wanted[key].text, wanted[key].token_count, wanted[key].cut_off)
        and math.isclose(one.likelihood, wanted[key].likelihood, abs_tol=1e-5)
        for key, one in found.items()
    )


def answer_together(loaded: LoadedModel, samples: Sequence[Sample], reader: TileReader, batch_size: int) -> Answers:
    answers = generate_answers(loaded, samples, reader, batch_size=batch_size, max_new_tokens=MAX_NEW_TOKENS)
    return {one.sample_id: one for one in answers}


def measure(
    table: Table, name: Sequence[str], loaded: LoadedModel, samples: Sequence[Sample], reader: TileReader, rounds: int
) -> None:
    official, wanted = cpu_seconds(lambda: answer_one_at_a_time(loaded, samples, reader, MAX_NEW_TOKENS), rounds)
    tokens = f"{sum(one.token_count for one in wanted.values()) / len(wanted):.1f}"
    table.add_row(*name, tokens, "official", f"{len(samples) / official:.1f}", "1.0", "")
    for size in BATCH_SIZES:
        seconds, found = cpu_seconds(partial(answer_together, loaded, samples, reader, size), rounds)
        figures = (f"{len(samples) / seconds:.1f}", f"{official / seconds:.1f}")
        table.add_row("", "", "", "", f"batch {size}", *figures, "yes" if equal(found, wanted) else "NO")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    quiet_transformers()
    table = Table("model", "images", "answers", "tokens", "way", "answers a CPU second", "ratio", "identical")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_squares(folder / "squares")
        write_untrained(folder / "untrained", folder / "squares")
        like = load_model(str(folder / "untrained"))
        for model, (length, ends) in product(MODELS, ENDS.items()):
            loaded = small_loaded(like, model.kind, ends=ends, **model.changes)
            million = sum(value.numel() for value in loaded.internvl.parameters()) / 1e6
            for sharing, per_image in QUESTIONS_AN_IMAGE.items():
                samples = make_samples(folder, options.questions, per_image)
                reader = TileReader(folder / f"images-{per_image}", loaded.spec.preprocessing)
                title = (f"{model.kind}, {million:.1f} M", sharing, length)
                measure(table, title, loaded, samples, reader, options.rounds)
    Console(width=110).print(table)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.questions} questions with images")


if __name__ == "__main__":
    main()
