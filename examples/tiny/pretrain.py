"""Pretrain `tiny`, the model that ships with domainvl, on a CPU from a fixed seed.

    python examples/tiny/pretrain.py --out tiny-run

Generates the scenes, trains the tokenizer on their text, builds the model and trains all of it with
domainvl's own training code and the recipe beside this file. The folder `checkpoint` of the run is what
ships as domainvl/model/tiny.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from scenes import SceneKind, write_scenes

from domainvl.model.build import build_tiny, train_tokenizer
from domainvl.model.chat import Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel, save_checkpoint
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.sizes import TINY_TILE_SIDE_PX, TINY_TOKENS_PER_TILE
from domainvl.schema import Split, read_samples
from domainvl.training.log import LogRow
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import Reporting, finetune

HERE = Path(__file__).parent
SEED = 20241021
VOCABULARY_SIZE = 640
TOKENIZER_TEXTS = 20_000
TOKENIZER_STAGE = "boxes"


@dataclass(frozen=True)
class Stage:
    """One part of the training; each goes on from the one before.

    Attributes:
        name: How it is called.
        scenes: What it sees.
        scene_count: How many of them.
        changes: Of the recipe.
    """

    name: str
    scenes: SceneKind
    scene_count: int
    changes: tuple[str, ...]


# First what colour and place are, with the digits of boxes counting most; then telling classes apart, with all
# questions counting alike; then sets of images, and boxes again. A model this small that starts with the last of
# these, or with every colour in every shape, does not learn to look within the hour.
STAGES = (
    Stage("one", SceneKind(1, False, 0.0), 10_000, ("optimisation.epochs=2", "optimisation.loss_weighting=token")),
    Stage("few", SceneKind(4, True, 0.0), 12_000, ("optimisation.batch_size=24", "optimisation.max_steps=2500")),
    Stage(
        "sets",
        SceneKind(5, True, 0.25),
        12_000,
        ("optimisation.batch_size=24", "optimisation.max_steps=2500", "optimisation.loss_weighting=square"),
    ),
    Stage(
        "boxes",
        SceneKind(3, True, 0.15, white_share=0.45),
        14_000,
        ("optimisation.batch_size=24", "optimisation.max_steps=2600", "optimisation.loss_weighting=token"),
    ),
    Stage(
        "all",
        SceneKind(
            5, False, 0.22, white_share=0.15, grey_share=0.25, clutter=4, detect_share=0.4, named_views_share=0.6
        ),
        24_000,
        (
            "optimisation.epochs=2",
            "optimisation.batch_size=24",
            "optimisation.max_steps=10000",
            "optimisation.loss_weighting=square",
        ),
    ),
    Stage(
        "words",
        SceneKind(
            3,
            False,
            0.12,
            white_share=0.05,
            grey_share=0.35,
            clutter=4,
            detect_share=0.4,
            named_views_share=0.6,
            one_word_share=0.65,
        ),
        18_000,
        ("optimisation.batch_size=24", "optimisation.max_steps=4500", "optimisation.loss_weighting=square"),
    ),
)

# Words of the fields, so that their class names and views are a few tokens long, not one token a letter.
FIELD_WORDS = (
    "FRONT_LEFT FRONT FRONT_RIGHT BACK_LEFT BACK BACK_RIGHT views view car truck bus pedestrian traffic cone "
    "storage tank greenhouse brickfield pond building field Detect nodule cavity drain mass lesion CT MR "
    "radiograph axial coronal sagittal plane modality slice Classify the image within one of the given classes "
    "Answer with one word or short phrase What Which Where does this show A. B. C. D. "
    "Answer with the option's letter from the given choices directly. yes no None"
)


def main() -> None:
    """Run the whole of it, leaving out what is there already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="shorten it, to try it out")
    parser.add_argument("--set", action="append", default=[], help="change the recipe, as in domainvl finetune")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more threads are slower on matrices this small

    for stage in STAGES:
        dataset = options.out / f"{stage.name}-scenes"
        if not dataset.exists():
            count = int(stage.scene_count * options.scale)
            write_scenes(dataset, stage.scenes, scene_count=count, seed=SEED)
    model = options.out / "start"
    if not model.exists():
        _write_start(options.out / f"{TOKENIZER_STAGE}-scenes", model)
    for stage in STAGES:
        changes = [*stage.changes, *options.set]
        recipe = load_recipe(str(HERE / "pretrain.yaml"), model=str(model), overrides=changes)
        run = options.out / f"{stage.name}-run"
        if not (run / "checkpoint").exists():
            dataset = options.out / f"{stage.name}-scenes"
            summary = finetune(recipe, dataset, run, resume=run.exists(), reporting=Reporting(on_row=_print_row))
            print(f"{stage.name}: {summary.steps} steps, loss {summary.final_loss:.4f}, {summary.seconds:.0f} s")
        model = run / "checkpoint"


def _write_start(dataset: Path, start: Path) -> None:
    texts = [FIELD_WORDS] * 200
    for sample in read_samples(dataset, Split.TRAIN):
        texts.append("\n".join(turn.text for turn in sample.turns))
        if len(texts) >= TOKENIZER_TEXTS:
            break
    tokenizer = train_tokenizer(texts, start, vocabulary_size=VOCABULARY_SIZE)
    model = build_tiny(tokenizer, seed=SEED)
    spec = CheckpointSpec(
        kind="model",
        chat=Chat(format="Hermes-2", system_message=None),
        preprocessing=Preprocessing(tile_side_px=TINY_TILE_SIDE_PX, tokens_per_tile=TINY_TOKENS_PER_TILE, max_tiles=1),
    )
    save_checkpoint(LoadedModel(model, tokenizer, spec), start)


def _print_row(row: LogRow) -> None:
    if row["kind"] == "validation" or (row["kind"] == "train" and row["step"] % 50 == 0):
        print(f"{row['kind']:10} step {row['step']}/{row['of']}  loss {row['loss']:.4f}", flush=True)
    elif row["kind"] == "answer":
        print(f"    {row['expected']!r} <- {row['answered']!r}", flush=True)


if __name__ == "__main__":
    main()
