"""Batched greedy answers, with the likelihood that the model gives to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from domainvl.model.answer_groups import Borders, Load, Question, divide, encode_questions
from domainvl.model.checkpoint import dynamic_border_of
from domainvl.model.preprocessing import TileReader, Tiles, blank_tiles, normalise
from domainvl.schema import Sample

if TYPE_CHECKING:
    import torch

    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.decoding import CachedRows

_TILES_AT_A_TIME = 32
"""Tiles that the vision encoder is given at once: more is no quicker, and their activations are large."""


@dataclass(frozen=True)
class GeneratedAnswer:
    """What a model answered.

    Attributes:
        sample_id: To which sample.
        text: The answer.
        likelihood: Exponential of the mean log-probability of its tokens, the end token included; 0 to 1.
        token_count: Tokens generated, the end token included.
        cut_off: Whether the answer met the limit of tokens before its end.
        options: Probability of each option of the sample's question, adding up to 1; None if it was not asked for.
    """

    sample_id: str
    text: str
    likelihood: float
    token_count: int = 0
    cut_off: bool = False
    options: dict[str, float] | None = None


def generate_answers(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    reader: TileReader,
    *,
    batch_size: int = 32,
    max_new_tokens: int = 64,
    blank_images: bool = False,
    options_of: Callable[[Sample], Sequence[str] | None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[GeneratedAnswer]:
    """Answer the last question of each sample.

    Questions of the same images, in the same order and cut the same way, share what the model computes of them: the
    vision encoder and the prompt up to the last visual token run once, and each question goes on from there. Samples
    are taken in order of their visual tokens, then of the length of their prompt, so that little is padded. Each answer
    is the one that its sample gets alone, so a run can be resumed with the samples that are left.

    The probability of an option is that of all its tokens and of the end of the answer, divided by the sum over the
    options: how probable the model finds this answer, given that it gives one of them. It is not normalised by
    length, as the mean over an option's tokens is no probability, and could not be calibrated.

    Args:
        loaded: The model.
        samples: What to answer; each sample once.
        reader: Reads the samples' images.
        batch_size: Samples at a time.
        max_new_tokens: Longest answer.
        blank_images: Show grey instead of the images, to see what can be answered without looking.
        options_of: Gives the options of a sample's question, None or empty if it has none.
        on_progress: Called with the number of answers given and wanted.

    Yields:
        One answer a sample, not in the order of ``samples``; as soon as its batch is complete.

    Raises:
        DatasetError: If an image cannot be used, or the placeholders of a prompt do not match its images.
    """
    options = {sample.id: tuple(dict.fromkeys(options_of(sample) or ())) for sample in samples} if options_of else {}
    questions = encode_questions(loaded.encoder(), loaded.spec.preprocessing, samples, options)
    borders = Borders(loaded.rope_border, dynamic_border_of(loaded.internvl.config))
    loads = divide(questions, batch_size, max_new_tokens, borders)
    shown = (group.questions[0].images for load in loads for group in load.groups)
    with closing(reader.read_all(shown)) as read_ahead:
        done = 0
        for load in loads:
            tiles = list(islice(read_ahead, len(load.groups)))
            if blank_images:
                tiles = [blank_tiles(parts, loaded.spec.preprocessing) for parts in tiles]
            for answers in _answer_load(loaded, load, tiles, batch_size, max_new_tokens):
                yield from answers
                if on_progress is not None:
                    done += len(answers)
                    on_progress(done, len(questions))


def _answer_load(
    loaded: LoadedModel, load: Load, tiles: Sequence[Sequence[Tiles]], batch_size: int, max_new_tokens: int
) -> Iterator[list[GeneratedAnswer]]:
    """Yield answers by batches; what is known of the images is computed once."""
    import torch

    from domainvl.model.decoding import CachedRows

    stems = None
    with torch.inference_mode():
        features = _image_features(loaded, load, tiles)
        if load.groups[0].prefix_ids:
            stems = CachedRows.empty(loaded.internvl, len(load.groups))
            stems.read([group.prefix_ids for group in load.groups], features)
            features = None
    batches = list(load.batches(batch_size))
    for batch in batches:
        with torch.inference_mode():
            numbers = [number for number, _ in batch]
            if stems is None:
                rows = CachedRows.empty(loaded.internvl, len(batch))
            elif batch is batches[-1]:
                rows = stems
                rows.keep(numbers)
            else:
                rows = stems.take(numbers)
            answers = _answer_batch(loaded, load, batch, rows, features, batch_size, max_new_tokens)
        yield answers


def _image_features(loaded: LoadedModel, load: Load, tiles: Sequence[Sequence[Tiles]]) -> torch.Tensor | None:
    """Return what stands for the images of the groups one after the other; equal images are encoded once.

    Returns:
        Shape (tiles, tokens of a tile, width of the language model), None if there are no images.
    """
    import numpy as np
    import torch

    keys = [key for group in load.groups for key in group.questions[0].keys]
    by_key = dict(zip(keys, (image for of_group in tiles for image in of_group), strict=True))
    if not by_key:
        return None
    stacked = np.concatenate(list(by_key.values()))
    encoded = []
    for start in range(0, len(stacked), _TILES_AT_A_TIME):
        pixels = pixel_values(loaded, [stacked[start : start + _TILES_AT_A_TIME]])
        encoded.append(loaded.internvl.get_image_features(pixel_values=pixels, return_dict=True).pooler_output)
    parts = torch.split(torch.cat(encoded), [len(image) for image in by_key.values()])
    features = dict(zip(by_key, parts, strict=True))
    return torch.cat([features[key] for key in keys])


def _answer_batch(
    loaded: LoadedModel,
    load: Load,
    batch: Sequence[tuple[int, Question]],
    rows: CachedRows,
    features: torch.Tensor | None,
    batch_size: int,
    max_new_tokens: int,
) -> list[GeneratedAnswer]:
    """Answer questions: from rows in which their prefixes were read, or empty ones and the features of all images."""
    from domainvl.model.decoding import continuation_log_probabilities, last_states, write_greedily

    model = loaded.internvl
    rest = [load.groups[number].rest(question) for number, question in batch]
    states = last_states(rows.read(rest, features), [len(ids) for ids in rest])
    continuations = [(row, ids) for row, (_, question) in enumerate(batch) for ids in question.option_ids.values()]
    of_options = iter(
        continuation_log_probabilities(model, rows, states, continuations, 1 if load.alone else batch_size)
    )
    end_id = int(loaded.tokenizer.convert_tokens_to_ids(loaded.spec.chat.markers.end))
    answers = []
    for (_, question), written in zip(batch, write_greedily(model, rows, states, end_id, max_new_tokens), strict=True):
        ended = written.ids[-1] == end_id
        text = loaded.tokenizer.decode(list(written.ids[: -1 if ended else None]), skip_special_tokens=False).strip()
        answers.append(
            GeneratedAnswer(
                question.sample_id,
                text,
                math.exp(written.log_probability / len(written.ids)),
                token_count=len(written.ids),
                cut_off=not ended,
                options=_shares({option: next(of_options) for option in question.option_ids}),
            )
        )
    return answers


def _shares(log_probabilities: Mapping[str, float]) -> dict[str, float] | None:
    """Return probabilities that add up to 1; None of nothing."""
    if not log_probabilities:
        return None
    largest = max(log_probabilities.values())
    weights = {option: math.exp(value - largest) for option, value in log_probabilities.items()}
    total = math.fsum(weights.values())
    return {option: weight / total for option, weight in weights.items()}


def pixel_values(loaded: LoadedModel, tiles: Sequence[Tiles]) -> torch.Tensor | None:
    """Put the tiles of a batch on the model's device, normalised; None if there are none.

    Args:
        loaded: The model.
        tiles: uint8 tiles of each image, shape (tiles, side, side, 3).

    Returns:
        Shape (all tiles, 3, side, side).
    """
    import numpy as np
    import torch

    if not tiles:
        return None
    stacked = torch.from_numpy(np.concatenate(tiles)).to(loaded.device)
    return normalise(stacked, loaded.spec.preprocessing, loaded.internvl.dtype)
