"""What is to be scored, with which models, and whether that can be done at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.corpus.scoring.aesthetics import find_predictor
from domainvl.corpus.scoring.placement import MIN_SIMILARITY
from domainvl.corpus.scoring.weights import check_folder, identity
from domainvl.errors import UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class ClassifierChoice:
    """A text classifier that the user named.

    Attributes:
        name: What its score is called.
        folder: Where it lies.
        label: The label whose probability is the score; found by the name where None.
    """

    name: str
    folder: Path
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> ClassifierChoice:
        """Read ``NAME=FOLDER`` or ``NAME=FOLDER:LABEL``.

        Raises:
            UsageError: If it is neither.
        """
        name, equals, place = text.partition("=")
        if not equals or not place or _NAME.fullmatch(name) is None:
            rule = f"--text-classifier must be NAME=FOLDER or NAME=FOLDER:LABEL, got {text!r}"
            raise UsageError("Cannot score a corpus", rule=rule)
        folder, colon, label = place.rpartition(":")
        if not colon or Path(place).is_dir():  # a colon can be part of the folder's name
            return cls(name, Path(place))
        return cls(name, Path(folder), label)


@dataclass(frozen=True)
class ScoreSettings:
    """What is asked of which model.

    Device and batch size change no more than the last of the decimals that are kept.

    Attributes:
        clip: Folder of an image-text model.
        aesthetics: LAION's predictor, which looks at the features of ``clip``; a file or its folder.
        nsfw: Folder of an image classifier.
        nsfw_label: Its label for what is not safe; found by its name where None.
        text_classifiers: Classifiers of whole documents.
        place: Place the images of documents without a layout by similarity.
        min_similarity: Images that are less like every sentence are switched off then.
        device: Where models run: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images or texts at a time.
    """

    clip: Path | None = None
    aesthetics: Path | None = None
    nsfw: Path | None = None
    nsfw_label: str | None = None
    text_classifiers: tuple[ClassifierChoice, ...] = ()
    place: bool = False
    min_similarity: float = MIN_SIMILARITY
    device: str = "auto"
    batch_size: int = 32

    def check(self) -> None:
        """Refuse what cannot be done, before any model is loaded.

        Raises:
            UsageError: If nothing is asked for, options do not fit, or a model is not there.
        """
        _check_options(self)
        for folder, option in ((self.clip, "--clip"), (self.nsfw, "--nsfw")):
            if folder is not None:
                check_folder(folder, option)
        if self.aesthetics is not None:
            find_predictor(self.aesthetics)
        for choice in self.text_classifiers:
            check_folder(choice.folder, f"--text-classifier {choice.name}")

    def decisive(self) -> dict[str, Any]:
        """Return all that decides what comes out, as JSON: models by name and hash, never by path."""
        models = {"clip": self.clip, "nsfw": self.nsfw}
        predictor = None if self.aesthetics is None else find_predictor(self.aesthetics)
        return {
            **{name: None if folder is None else identity(folder) for name, folder in models.items()},
            "aesthetics": None if predictor is None else identity(predictor),
            "nsfw_label": self.nsfw_label,
            "text_classifiers": [
                {"score": choice.name, "label": choice.label, **identity(choice.folder)}
                for choice in self.text_classifiers
            ],
            "place": self.place,
            "min_similarity": self.min_similarity if self.place else None,
        }


def _check_options(settings: ScoreSettings) -> None:
    if settings.clip is None and settings.nsfw is None and not settings.text_classifiers:
        needing = "--aesthetics" if settings.aesthetics is not None else "--place" if settings.place else None
        rule = f"{needing} needs --clip" if needing else "no model is named"
        action = "Name one with --clip, --nsfw or --text-classifier; nothing is downloaded"
        raise UsageError("Cannot score a corpus", rule=rule, action=action)
    for wanted, option in ((settings.aesthetics is not None, "--aesthetics"), (settings.place, "--place")):
        if wanted and settings.clip is None:
            rule = f"{option} looks at features of a CLIP model, and none is named"
            raise UsageError("Cannot score a corpus", rule=rule, action="Add --clip FOLDER")
    if settings.nsfw_label is not None and settings.nsfw is None:
        raise UsageError("Cannot score a corpus", rule="--nsfw-label names a label of --nsfw, which is not given")
    names = [choice.name for choice in settings.text_classifiers]
    if len(set(names)) != len(names):
        raise UsageError("Cannot score a corpus", rule=f"each text classifier needs its own name, got {names}")
    if settings.batch_size < 1:
        raise UsageError("Cannot score a corpus", rule=f"--batch-size must be 1 or more, got {settings.batch_size}")
    if not -1 <= settings.min_similarity <= 1:
        rule = f"--min-similarity is a cosine, from -1 to 1, got {settings.min_similarity:g}"
        raise UsageError("Cannot score a corpus", rule=rule)
