"""``corpus degrade --to fewshot-sft``: pairs of a corpus, each with solved examples from other documents before it.

As OmniCorpus fine-tunes (arXiv 2406.08418, section 5; OpenGVLab/OmniCorpus, scripts/convert_fewshot_sft.py): examples
are turns of one conversation, and the plain copies of the samples are not in the set.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from domainvl.conversion.run import ConversionSummary, RunSettings, convert
from domainvl.corpus.degrading.pairs import CorpusPairs, PairSettings
from domainvl.corpus.folder import check_kind
from domainvl.corpus.scoring.clip import Clip
from domainvl.corpus.scoring.pixels import read_rgb
from domainvl.files import hidden_sibling
from domainvl.schema import Image
from domainvl.schema.operations.few_shot import (
    FewShotSettings,
    FewShotSummary,
    ImageFeatures,
    check_settings,
    few_shot_dataset,
)
from domainvl.schema.operations.rows import check_output

if TYPE_CHECKING:
    import torch

_IMAGES_AT_A_TIME = 32


@dataclass(frozen=True)
class Features:
    """What says which images are alike.

    Attributes:
        name: Names the model in the manifest.
        look: Given the folder of a data set, returns what looks at its images.
    """

    name: str
    look: Callable[[Path], ImageFeatures]


def clip_features(folder: Path, device: torch.device) -> Features:
    """Load a model of the CLIP family, by whose image features OmniCorpus chose examples (CLIP ViT-B/32).

    Args:
        folder: Checkpoint.
        device: Where it runs.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If there are no weights in it, or it is no such model.
    """
    clip = Clip(folder, device=device, batch_size=_IMAGES_AT_A_TIME)

    def look(dataset: Path, images: Sequence[Image]) -> npt.NDArray[np.float32]:
        rows = []
        for start in range(0, len(images), _IMAGES_AT_A_TIME):
            batch = images[start : start + _IMAGES_AT_A_TIME]
            rows.append(clip.encode_images([clip.prepare(read_rgb(dataset / one.path, one.path)) for one in batch]))
        return np.concatenate(rows) if rows else np.zeros((0, clip.width), np.float32)

    return Features(folder.name, lambda dataset: functools.partial(look, dataset))


@dataclass(frozen=True)
class FewShotPairs:
    """What was made.

    Attributes:
        pairs: The plain pairs.
        few_shot: The data set with examples.
    """

    pairs: ConversionSummary
    few_shot: FewShotSummary


def plain_folder(out: Path) -> Path:
    """Return where the plain pairs are kept, beside the data set that has them with examples."""
    return out.with_name(f"{out.name}-plain")


def degrade_to_few_shot(
    source: Path,
    out: Path,
    pairs: PairSettings,
    shots: FewShotSettings,
    *,
    features: Features | None = None,
    keep_plain: bool = False,
    overwrite: bool = False,
    run: RunSettings | None = None,
) -> FewShotPairs:
    """Make a data set of few-shot samples.

    Args:
        source: The corpus.
        out: Folder of the data set to make.
        pairs: Which pairs are made.
        shots: What is put before them.
        features: What says which images are alike, for ``by="similar"``.
        keep_plain: Keep the plain pairs too, as a data set beside (:func:`plain_folder`), to be mixed with it.
        overwrite: Replace data sets that are there.
        run: How pairs are made.

    Raises:
        InputNotFoundError: If there is no such corpus.
        NothingToDoError: If there is no pair, or none that would have examples.
        UsageError: If a setting is out of range, it is no corpus, or a target is taken.
        StoppedError: If the run was stopped before its end.
    """
    check_settings(shots, features_given=features is not None)
    plain = plain_folder(out) if keep_plain else hidden_sibling(out, "pairs")
    check_output(out, [source], overwrite=overwrite)
    for folder in (out, plain):
        check_kind(folder, makes_corpus=False)
    try:
        made = convert(CorpusPairs(), source, plain, pairs, overwrite=overwrite or not keep_plain, run=run)
        few_shot = few_shot_dataset(
            plain,
            out,
            shots,
            features=features.look(plain) if features is not None else None,
            features_of=features.name if features is not None else None,
            overwrite=overwrite,
        )
    finally:
        if not keep_plain:
            shutil.rmtree(plain, ignore_errors=True)
    return FewShotPairs(made, few_shot)
