"""Merging an adapter into its base, and proving on real samples that nothing else changed."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError, NothingToDoError
from domainvl.files import check_target, complete_folder
from domainvl.model.checkpoint import (
    SPEC_NAME,
    CheckpointSpec,
    LoadedModel,
    find_checkpoint,
    hash_weights,
    load_model,
    read_spec,
    save_checkpoint,
    stored_dtype,
)
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.generation import generate_answers, pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.model.trained_on import copy_trained_on
from domainvl.schema import Sample, SampleFile, Split

if TYPE_CHECKING:
    import torch

_BOUNDS = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest difference of a logit that is accepted, as a share of the largest logit.

In float32 only the order of additions differs. In half precision each merged weight is rounded once more, to 8
(bfloat16) or 11 (float16) significant bits; the bounds leave room for about ten such roundings in a row.
"""


@dataclass(frozen=True)
class MergeSummary:
    """What was merged, and how near the result is.

    Attributes:
        out: The folder that was made.
        dtype: Of its weights.
        samples: On how many samples adapter and merged model were compared.
        positions: At how many positions of their answers.
        difference: Largest difference of a logit, as a share of the largest logit.
        bound: What was accepted.
        answers: Answers that both generated, all of them equal.
        seconds: How long it took.
    """

    out: Path
    dtype: str
    samples: int
    positions: int
    difference: float
    bound: float
    answers: int
    seconds: float


@dataclass(frozen=True)
class _Behaviour:
    """What a model says on some samples: logits at each position of the answers, and its own answers."""

    logits: list[torch.Tensor]
    answers: dict[str, str]


def merge_adapter(
    reference: str,
    out: Path,
    dataset: Path,
    *,
    sample_count: int = 8,
    max_new_tokens: int = 32,
    dtype: str | None = None,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
) -> MergeSummary:
    """Write a standalone checkpoint of an adapter and its base, if it behaves as they do.

    Args:
        reference: Name or folder of the adapter; it is merged into its whole base, in however many bits that was held
            in training.
        out: Folder to make.
        dataset: Data set to compare on; its held-out samples if it has some.
        sample_count: How many samples, spread over the file.
        max_new_tokens: Longest generated answer.
        dtype: Of the weights that are written; the base's where None.
        device: Where both are compared, in float32.
        overwrite: Replace an earlier checkpoint.

    Raises:
        CheckpointError: If it is no adapter, or the merged model behaves otherwise; nothing is written then.
        NothingToDoError: If the data set has no samples.
        UsageError: If ``out`` is taken.
    """
    started = time.perf_counter()
    check_target(out, marker=SPEC_NAME, overwrite=overwrite)
    folder = find_checkpoint(reference)
    spec = read_spec(folder)
    if spec.kind != "adapter" or spec.base is None:
        raise CheckpointError(
            "Cannot merge",
            where=folder,
            rule="it must be an adapter, got a whole model",
            action="Use it as it is, or export it with domainvl model export",
        )
    samples = _choose(dataset, sample_count)
    base_folder = find_checkpoint(spec.base.name)
    kept_dtype = dtype or stored_dtype(base_folder)
    merged_spec = spec.model_copy(
        update={
            "kind": "model",
            "base": None,
            "origin": read_spec(base_folder).origin,
            "training": {**spec.training, "merged_adapter_sha256": hash_weights(folder)},
        }
    )
    with complete_folder(out) as work:
        before = _merge_into(reference, merged_spec, work, kept_dtype, device, samples, dataset, max_new_tokens)
        gc.collect()  # the adapted model goes before the merged one comes
        after = _behaviour(load_model(str(work), device=device), samples, dataset, max_new_tokens)
        difference = _compare(before, after, _BOUNDS[kept_dtype], folder)
        copy_trained_on(folder, work)
    return MergeSummary(
        out,
        kept_dtype,
        len(samples),
        sum(len(rows) for rows in before.logits),
        difference,
        _BOUNDS[kept_dtype],
        len(before.answers),
        time.perf_counter() - started,
    )


def _choose(dataset: Path, count: int) -> list[Sample]:
    for split in (Split.TEST, Split.VAL, Split.TRAIN):
        samples = SampleFile(dataset, split)
        if samples:
            step = max(1, len(samples) // count)
            return [samples[index] for index in range(0, len(samples), step)][:count]
    raise NothingToDoError(
        "Cannot merge", where=dataset, rule="there are no samples to compare on", action="Name a data set with samples"
    )


def _merge_into(
    reference: str,
    merged_spec: CheckpointSpec,
    work: Path,
    dtype: str,
    device: torch.device | str,
    samples: Sequence[Sample],
    dataset: Path,
    max_new_tokens: int,
) -> _Behaviour:
    """Save the merged model and return what the adapted one says."""
    import torch

    loaded = load_model(reference, device=device, quantisation="none")  # 4 bits would round the sum again
    before = _behaviour(loaded, samples, dataset, max_new_tokens)
    adapted: Any = loaded.model
    merged = adapted.merge_and_unload(safe_merge=True).to(getattr(torch, dtype))
    save_checkpoint(LoadedModel(merged, loaded.tokenizer, merged_spec, loaded.published), work)
    return before


def _behaviour(loaded: LoadedModel, samples: Sequence[Sample], dataset: Path, max_new_tokens: int) -> _Behaviour:
    reader = TileReader(dataset, loaded.spec.preprocessing)
    answers = {
        answer.sample_id: answer.text
        for answer in generate_answers(loaded, samples, reader, max_new_tokens=max_new_tokens)
    }
    encoder = loaded.encoder()
    return _Behaviour([_answer_logits(loaded, encoder, sample, reader) for sample in samples], answers)


def _answer_logits(
    loaded: LoadedModel, encoder: ConversationEncoder, sample: Sample, reader: TileReader
) -> torch.Tensor:
    """Return the logits that predict each token of the answers, shape (tokens, vocabulary)."""
    import torch

    tile_counts = [grid.tile_count for grid in loaded.spec.preprocessing.grids(sample.images)]
    encoded = encoder.encode(sample.turns, tile_counts)
    positions = [index - 1 for index, supervised in enumerate(encoded.supervised) if supervised]
    with torch.inference_mode():
        logits: torch.Tensor = loaded.internvl(
            input_ids=torch.tensor([encoded.input_ids], device=loaded.device),
            pixel_values=pixel_values(loaded, reader.read(sample.images)),
            use_cache=False,
            logits_to_keep=torch.tensor(positions, device=loaded.device),
        ).logits
    return logits[0].float().cpu()


def _compare(before: _Behaviour, after: _Behaviour, bound: float, folder: Path) -> float:
    import torch

    old, new = torch.cat(before.logits), torch.cat(after.logits)
    difference = float((old - new).abs().max() / old.abs().max())  # not a number where one of them is none
    changed = [name for name, text in before.answers.items() if after.answers[name] != text]
    if difference <= bound and not changed:
        return difference
    found = f"the largest difference of a logit is {difference:.2g} of the largest logit"
    if changed:
        found += f", and the answer to {changed[0]} changed"
    raise CheckpointError(
        "Cannot merge: the merged model behaves otherwise",
        where=folder,
        rule=f"logits must agree to {bound:g} and all answers be equal; {found}",
        action="Keep more precision with --dtype float32",
    )
