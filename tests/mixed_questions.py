"""Questions with no, one and several images of 1, 3 and 13 tiles, small models to ask, and the official way to ask.

For the tests, the benchmark and the GPU check of generating answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from domainvl.model.checkpoint import LoadedModel
from domainvl.model.generation import GeneratedAnswer, pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Image, Provenance, Sample, Source, Split, Task, TextAnswer, Turn

SIZES_PX = {1: (64, 64), 3: (128, 64), 13: (256, 192)}
"""Width and height of an image by its number of tiles of 64 px, of at most 12 and a thumbnail."""

QUESTIONS = (
    "What colour is the square?",
    "Where?",
    "How many squares are red? Answer with a number.",
    "red square",
    "Is the square blue, and where is it? Say both.",
)


def write_images(folder: Path, tile_counts: Sequence[int], *, side_px: int = 64, seed: int = 0) -> list[Image]:
    """Write one image of noise for each number of tiles, under tiles of some side."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    images = []
    for number, tile_count in enumerate(tile_counts):
        width_px, height_px = (side * side_px // 64 for side in SIZES_PX[tile_count])
        coarse = generator.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        path = f"{number:03d}.png"
        PillowImage.fromarray(coarse).resize((width_px, height_px)).save(folder / path)
        source = Source(uri=path)
        images.append(
            Image(path=path, width_px=width_px, height_px=height_px, pixel_sha256=f"{seed}-{number}", source=source)
        )
    return images


def ask(sample_id: str, question: str, images: Sequence[Image] = (), earlier: Sequence[str] = ()) -> Sample:
    """Make a sample that names its images first; earlier rounds are question and answer in turn."""
    texts = [*earlier, question, "yes"]
    texts[0] = "<image>\n" * len(images) + texts[0]
    turns = tuple(Turn(role="assistant" if number % 2 else "human", text=text) for number, text in enumerate(texts))
    return Sample(
        id=sample_id,
        domain="general",
        task=Task.VQA,
        question=question,
        answer=TextAnswer(text="yes"),
        images=tuple(images),
        turns=turns,
        split=Split.TEST,
        group="g",
        provenance=Provenance(converter="test", version="0", settings_sha256="0", wording="0"),
    )


def show_examples(sample_id: str, question: str, images: Sequence[Image]) -> Sample:
    """Make a sample whose last image is asked about after the others were, each with its answer."""
    sample = ask(sample_id, question, images)
    texts = [text for _ in images for text in (f"<image>\n{question}", "blue")]
    turns = tuple(Turn(role="assistant" if number % 2 else "human", text=text) for number, text in enumerate(texts))
    return sample.model_copy(update={"turns": turns})


def mixed_samples(images: Sequence[Image]) -> list[Sample]:
    """Make questions that share images and such that do not, of all kinds; needs at least four images."""
    samples = [
        ask(f"{image.path}/{number}", question, [image])
        for position, image in enumerate(images)
        for number, question in enumerate(QUESTIONS[: 1 + position % len(QUESTIONS)])
    ]
    samples += [ask(f"text/{number}", question) for number, question in enumerate(QUESTIONS[:3])]
    samples += [ask(f"several/{number}", question, images[:2]) for number, question in enumerate(QUESTIONS[:2])]
    samples.append(ask("several/turned", QUESTIONS[0], images[1::-1]))
    samples.append(ask("several/twice", QUESTIONS[0], [images[0], images[0]]))
    samples += [show_examples(f"examples/{index}", QUESTIONS[0], [*images[:2], images[index]]) for index in (2, 3)]
    samples.append(ask("rounds", QUESTIONS[1], images[:1], [QUESTIONS[0], "red"]))
    return samples


def small_loaded(like: LoadedModel, kind: str, *, seed: int = 1, ends: float = 2.0, **changes: Any) -> LoadedModel:
    """Build a model with a qwen2, llama or phi3, random weights and answers that end sooner or later.

    Args:
        like: Gives the vision encoder's dimensions, the tokenizer and the rest.
        kind: Of the language model.
        seed: Of the weights.
        ends: By how much the end of an answer is more probable, or more improbable, than other tokens; 0 for never.
        **changes: To the language model's config.
    """
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration, LlamaConfig, Phi3Config, Qwen2Config

    given = like.internvl.config
    text = {
        "vocab_size": given.text_config.vocab_size,
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 160,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    model = InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=given.vision_config,
            text_config={"qwen2": Qwen2Config, "llama": LlamaConfig, "phi3": Phi3Config}[kind](**text | changes),
            image_token_id=given.image_token_id,
            image_seq_length=given.image_seq_length,
            downsample_ratio=given.downsample_ratio,
            tie_word_embeddings=False,
        )
    )
    end_id = like.tokenizer.convert_tokens_to_ids(like.spec.chat.markers.end)
    with torch.no_grad():
        model.lm_head.weight[end_id] *= ends
    preprocessing = like.spec.preprocessing.limited_to(12)
    return LoadedModel(model.eval(), like.tokenizer, like.spec.model_copy(update={"preprocessing": preprocessing}))


def answer_one_at_a_time(
    loaded: LoadedModel, samples: Iterable[Sample], reader: TileReader, max_new_tokens: int
) -> dict[str, GeneratedAnswer]:
    """Answer as the official evaluation scripts do: each question alone, by ``generate``, its images encoded for it."""
    import torch
    from transformers import GenerationConfig

    encoder = loaded.encoder()
    end_id = int(loaded.tokenizer.convert_tokens_to_ids(loaded.spec.chat.markers.end))
    found = {}
    for sample in samples:
        grids = loaded.spec.preprocessing.grids(sample.images)
        ids = encoder.encode(sample.turns[:-1], [grid.tile_count for grid in grids]).input_ids
        pixels = pixel_values(loaded, reader.read(sample.images)) if sample.images else None
        row = torch.tensor([ids], device=loaded.device)
        with torch.inference_mode():
            output = loaded.internvl.generate(
                input_ids=row,
                attention_mask=torch.ones_like(row),
                **({} if pixels is None else {"pixel_values": pixels}),
                generation_config=GenerationConfig(
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    eos_token_id=end_id,
                    pad_token_id=end_id,
                    output_scores=True,
                    return_dict_in_generate=True,
                ),
            )
        written = output.sequences[0, len(ids) :].tolist()
        each = [
            float(scores[0].float().log_softmax(-1)[token])
            for scores, token in zip(output.scores, written, strict=True)
        ]
        ended = written[-1] == end_id
        text = loaded.tokenizer.decode(written[: -1 if ended else None], skip_special_tokens=False).strip()
        likelihood = math.exp(sum(each) / len(each))
        found[sample.id] = GeneratedAnswer(sample.id, text, likelihood, token_count=len(written), cut_off=not ended)
    return found
