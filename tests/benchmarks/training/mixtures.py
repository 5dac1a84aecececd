"""Makes what the benchmark trains on, and says how much padding there is to remove.

**The mixture** stands for general instruction data: some images or none, one or several questions about them, answers
of a word or of a paragraph. A sample's length is drawn from a log-normal distribution with median 100 tokens and sigma
0.8; what is below 40 and above 800 is drawn again, and one sample of each is there in any case: 1:20, with the long
tail that such data has. Nothing here is fitted to a particular data set. A text is a walk through a ring of made-up
words; the colour of the first image says in which stride the answer walks, so that there is something to learn from
text and from images.

**The model** is an InternVL of random weights with 10 million parameters. Its parts are to each other in work as those
of the 1B are: two and a half times as much for a tile in the vision encoder as for its tokens in the language model,
and a quarter of the language model's work in the output layer.

    OMP_NUM_THREADS=1 python tests/benchmarks/training/mixtures.py OUT [--vqa-rad FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domainvl.model.build import train_tokenizer
from domainvl.model.chat import Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel, load_model, read_spec, save_checkpoint, write_spec
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.sizes import TINY_TILE_SIDE_PX, TINY_TOKENS_PER_TILE, Vocabulary, tiny_config
from domainvl.model.tokens import IMAGE_CONTEXT
from domainvl.schema import (
    WORDING_VERSION,
    DatasetWriter,
    Provenance,
    Question,
    Source,
    Split,
    Task,
    TextAnswer,
    read_samples,
    samples_from_questions,
)

LEAST_TOKENS, MEDIAN_TOKENS, MOST_TOKENS, SIGMA = 40, 100, 800, 0.8
IMAGE_COUNTS, IMAGE_SHARES = (0, 1, 2, 6), (0.25, 0.50, 0.15, 0.10)
SEVERAL_QUESTIONS, SEVERAL_QUESTIONS_SHARE = 3, 0.3
"""How many questions are asked about the same images, and how often it is more than one."""
SHORT_ANSWER_SHARE = 0.6
NOISE = 0.1
"""How often a walk jumps anywhere."""
COLOURS = ((220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 30))
STRIDES = (1, 2, 3, 5)
WORDS = tuple(f"{first}{second}" for first in ("ba", "do", "ki", "lu") for second in "bcdfghjk")
_TOKENS_PER_IMAGE = TINY_TOKENS_PER_TILE + 8
"""With the markers around it and its name in the prompt."""
_TOKENS_AROUND = 19
"""Of the chat format and the prompt's request for a short answer."""
_LEAST_WORDS = 12
VOCABULARY_SIZE = 1024
VOCABULARY_ROWS = 6144
"""Rows of the embeddings, as many that the output layer is as large a part of the language model as in Qwen2-0.5B."""
PROVENANCE = Provenance(converter="mixture", version="0", settings_sha256="0" * 64, wording=WORDING_VERSION)


def write_mixture(folder: Path, *, train_sets: int = 240, val_sets: int = 32, seed: int = 0) -> None:
    """Write the 1:20 mixture.

    Args:
        folder: Of the data set to make.
        train_sets: Number of sets of images (or of none) that are asked about in training.
        val_sets: Likewise held out.
        seed: Of everything.
    """
    generator = np.random.default_rng(seed)
    with DatasetWriter(folder, name="mixture") as writer:
        for number in range(train_sets + val_sets):
            split = Split.TRAIN if number < train_sets else Split.VAL
            # The extremes are there in any case, so that it is 1:20 however few there are.
            length = {0: LEAST_TOKENS, 1: MOST_TOKENS}.get(number) or _draw_length(generator)
            count = min(int(generator.choice(IMAGE_COUNTS, p=IMAGE_SHARES)), _most_images(length))
            colours = generator.integers(0, len(COLOURS), count)
            images = []
            for index, colour in enumerate(colours):
                pixels = generator.integers(0, 30, (TINY_TILE_SIDE_PX, TINY_TILE_SIDE_PX, 3)) + COLOURS[colour]
                stored = writer.images.put_pixels(np.minimum(pixels, 255).astype(np.uint8))
                images.append(stored.to_image(Source(uri=f"{number}-{index}")))
            several = count > 0 and generator.random() < SEVERAL_QUESTIONS_SHARE
            lengths = [length] + [_draw_length(generator) for _ in range(several * (SEVERAL_QUESTIONS - 1))]
            stride = STRIDES[colours[0]] if count else STRIDES[0]
            samples = samples_from_questions(
                [_question(f"q{key}", tokens, count, stride, generator) for key, tokens in enumerate(lengths)],
                id_prefix=f"{number:04d}",
                domain="general",
                images=images,
                group=f"g{number}",
                fixed_split=split,
                provenance=PROVENANCE,
            )
            for sample in samples:
                writer.add(sample)
        settings = {"train_sets": train_sets, "val_sets": val_sets, "seed": seed}
        writer.finish(command="mixture", settings=settings, sources=[], versions={})


def _draw_length(generator: np.random.Generator) -> int:
    while True:
        length = float(generator.lognormal(np.log(MEDIAN_TOKENS), SIGMA))
        if LEAST_TOKENS <= length <= MOST_TOKENS:
            return round(length)


def _most_images(tokens: int) -> int:
    room = tokens - _TOKENS_AROUND - _LEAST_WORDS
    return max(count for count in IMAGE_COUNTS if count == 0 or count * _TOKENS_PER_IMAGE <= room)


def _question(key: str, tokens: int, images: int, stride: int, generator: np.random.Generator) -> Question:
    words = max(_LEAST_WORDS, tokens - images * _TOKENS_PER_IMAGE - _TOKENS_AROUND)
    if generator.random() < SHORT_ANSWER_SHARE:
        answered = int(generator.integers(1, 6))
    else:
        answered = words - 6
    asked = list(_walk(int(generator.integers(len(WORDS))), STRIDES[0], words - answered, generator))
    answer = list(_walk(asked[-1], stride, answered + 1, generator))[1:]
    text = " ".join(WORDS[index] for index in asked)
    return Question(key, Task.VQA, text, TextAnswer(text=" ".join(WORDS[index] for index in answer)))


def _walk(start: int, stride: int, count: int, generator: np.random.Generator) -> Iterator[int]:
    for _ in range(count):
        yield start
        jumps = generator.random() < NOISE
        start = int(generator.integers(len(WORDS))) if jumps else (start + stride) % len(WORDS)


def write_small_model(folder: Path, dataset: Path, *, max_tiles: int, seed: int = 0) -> None:
    """Write a checkpoint of random weights whose tokenizer knows the words of a data set."""
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Config

    texts = [turn.text for sample in read_samples(dataset, Split.TRAIN) for turn in sample.turns] * 4
    texts += ["user\n", "assistant\n"] * len(texts)  # The roles of the chat format, each one token.
    tokenizer = train_tokenizer(texts, folder, vocabulary_size=VOCABULARY_SIZE)
    vocabulary = Vocabulary(
        size=VOCABULARY_ROWS,
        image_id=int(tokenizer.convert_tokens_to_ids(IMAGE_CONTEXT)),
        end_id=tokenizer.eos_token_id,
        padding_id=tokenizer.pad_token_id,
    )
    tiny = tiny_config(vocabulary)
    vision = tiny.vision_config.to_dict() | {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "initializer_range": 0.05,
    }
    text = Qwen2Config(
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=1024,
        max_position_embeddings=4096,
        initializer_range=0.05,
        vocab_size=vocabulary.size,
        bos_token_id=None,
        eos_token_id=vocabulary.end_id,
        pad_token_id=vocabulary.padding_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=vision,
            text_config=text,
            image_token_id=tiny.image_token_id,
            image_seq_length=tiny.image_seq_length,
            downsample_ratio=tiny.downsample_ratio,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():  # As in domainvl.model.build: left at zero, they learn slowly.
        model.model.vision_tower.embeddings.position_embeddings.normal_(0.0, 0.3)
        model.model.vision_tower.embeddings.cls_token.normal_(0.0, 0.3)
    preprocessing = Preprocessing(
        tile_side_px=TINY_TILE_SIDE_PX, tokens_per_tile=TINY_TOKENS_PER_TILE, max_tiles=max_tiles
    )
    spec = CheckpointSpec(kind="model", chat=Chat(format="Hermes-2", system_message=None), preprocessing=preprocessing)
    save_checkpoint(LoadedModel(model, tokenizer, spec), folder)


def with_max_tiles(folder: Path, max_tiles: int) -> None:
    """Let a checkpoint cut images into at most so many tiles."""
    spec = read_spec(folder)
    preprocessing = spec.preprocessing.model_copy(update={"max_tiles": max_tiles})
    write_spec(folder, spec.model_copy(update={"preprocessing": preprocessing}))


@dataclass(frozen=True)
class Sizes:
    """What the samples of a split are to a model, each by itself.

    Attributes:
        tokens: Of each sample, visual ones included.
        supervised: How many of them the loss counts.
        tiles: Of each sample.
        sets: How many different sets of images the samples are about, text-only samples not counted.
    """

    tokens: tuple[int, ...]
    supervised: tuple[int, ...]
    tiles: tuple[int, ...]
    sets: int

    def padded(self, batch_size: int, *, orders: int = 50, seed: int = 0) -> float:
        """Return the tokens of one epoch of random batches padded to their longest: the mean over some orders."""
        lengths = np.array(self.tokens)
        generator = np.random.default_rng(seed)
        totals = []
        for _ in range(orders):
            order = generator.permutation(lengths)
            parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
            totals.append(sum(int(part.max()) * len(part) for part in parts))
        return float(np.mean(totals))

    def fewest_packs(self, max_tokens: int, max_tiles: int) -> float:
        """Return what no plan of packs can be below: all that there is, over the limits."""
        return max(sum(self.tokens) / max_tokens, sum(self.tiles) / max_tiles)


def measure_sizes(dataset: Path, loaded: LoadedModel, split: Split = Split.TRAIN) -> Sizes:
    """Encode all samples of a split and count."""
    encoder, preprocessing = loaded.encoder(), loaded.spec.preprocessing
    tokens, supervised, tiles, sets = [], [], [], set()
    for sample in read_samples(dataset, split):
        counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
        encoded = encoder.encode(sample.turns, counts)
        tokens.append(len(encoded.input_ids))
        supervised.append(sum(encoded.supervised))
        tiles.append(sum(counts))
        if sample.images:
            sets.add(tuple(image.pixel_sha256 for image in sample.images))
    return Sizes(tuple(tokens), tuple(supervised), tuple(tiles), len(sets))


def describe(name: str, sizes: Sizes, batch_sizes: Sequence[int] = (4, 8, 16)) -> str:
    """Say how long the samples are and how much of random batches is padding."""
    lengths, real = np.array(sizes.tokens), sum(sizes.tokens)
    quantiles = " ".join(f"{value:.0f}" for value in np.quantile(lengths, (0, 0.1, 0.5, 0.9, 0.99, 1)))
    lines = [
        f"{name}: {len(lengths)} samples about {sizes.sets} sets of images, {sizes.tiles.count(0)} about none",
        f"  tokens: {real} ({sum(sizes.supervised) / real:.1%} supervised), 1:{lengths.max() / lengths.min():.1f}; "
        f"least, 10 %, median, 90 %, 99 %, most: {quantiles}; tiles: {sum(sizes.tiles)}, at most {max(sizes.tiles)}",
    ]
    for size in batch_sizes:
        padded = sizes.padded(size)
        lines.append(
            f"  random batches of {size}: {padded:.0f} tokens, {1 - real / padded:.1%} of them padding, which is what "
            f"can be removed: {padded / real:.2f} times"
        )
    return "\n".join(lines)


def main() -> None:
    """Write the data sets and models, and print what there is to gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vqa-rad", type=Path, help="a data set that domainvl convert vqa-rad made")
    arguments = parser.parse_args()
    mixture, model = arguments.out / "mixture", arguments.out / "mixture-model"
    write_mixture(mixture)
    write_small_model(model, mixture, max_tiles=12)
    print(describe("mixture 1:20", measure_sizes(mixture, load_model(str(model)))))
    if arguments.vqa_rad:
        model = arguments.out / "vqa-rad-model"
        write_small_model(model, arguments.vqa_rad, max_tiles=12)
        for max_tiles in (6, 12):
            with_max_tiles(model, max_tiles)
            sizes = measure_sizes(arguments.vqa_rad, load_model(str(model)))
            print(describe(f"VQA-RAD, {max_tiles} tiles", sizes))


if __name__ == "__main__":
    main()
