"""Who answers: a checkpoint that is asked about images which lie in a folder, and what is said of it in a result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from domainvl import __version__
from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import CheckpointSpec, find_checkpoint, hash_weights, load_model, read_spec
from domainvl.model.generation import GeneratedAnswer, generate_answers
from domainvl.model.preprocessing import Preprocessing, TileReader
from domainvl.schema import WORDING_VERSION, Sample

if TYPE_CHECKING:
    from domainvl.model.checkpoint import LoadedModel

LIKELIHOOD_DECIMALS = 3
"""Of likelihoods in results: the last digits of a float depend on what is computed beside it."""

_COORDINATES = "0-1000"

Progress = Callable[[int, int], None]
"""Told how many answers there are and will be."""


@dataclass(frozen=True)
class ModelIdentity:
    """Which model answered, as a result says it; no path of a machine is in it.

    Attributes:
        name: Name of the checkpoint or of its folder.
        weights_sha256: Hash of its weights.
        base: For an adapter, the name of its base.
        base_sha256: Hash of that one's weights.
        wording: Version of the wording of questions.
        domainvl: Version of domainvl.
    """

    name: str
    weights_sha256: str
    base: str | None = None
    base_sha256: str | None = None
    wording: str = WORDING_VERSION
    domainvl: str = __version__

    def record(self) -> dict[str, str]:
        """Return what is known of it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Model(Protocol):
    """Answers samples; a checkpoint, or what stands for one."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        ...

    @property
    def training(self) -> Mapping[str, Any]:
        """What it was trained on, as its checkpoint says."""
        ...

    def answer(
        self, samples: Sequence[Sample], folder: Path, on_progress: Progress | None = None
    ) -> list[GeneratedAnswer]:
        """Answer the last question of each sample.

        Args:
            samples: What to answer; each id once.
            folder: Where the paths of their images start.
            on_progress: Told how far it is.

        Returns:
            One answer a sample, in their order.
        """
        ...


@dataclass(frozen=True)
class AnsweringSettings:
    """How a checkpoint answers.

    Attributes:
        device: auto, cpu, cuda, cuda:1 and so on.
        batch_size: Samples at a time; no answer depends on it.
        max_new_tokens: Longest answer in tokens.
    """

    device: str = "auto"
    batch_size: int = 32
    max_new_tokens: int = 256


class CheckpointModel:
    """A checkpoint that answers; its weights are loaded when it is first asked.

    Args:
        reference: The checkpoint, as :func:`domainvl.model.checkpoint.find_checkpoint` takes it.
        settings: How it answers.

    Raises:
        CheckpointError: If there is none, or it writes boxes in other coordinates or was asked in other words.
    """

    def __init__(self, reference: str, settings: AnsweringSettings | None = None) -> None:
        self._reference = reference
        self._settings = settings or AnsweringSettings()
        self._folder = find_checkpoint(reference)
        self._spec = read_spec(self._folder)
        self._loaded: LoadedModel | None = None
        _check_spec(self._folder, self._spec)
        base = self._spec.base
        self._identity = ModelIdentity(
            # A run of finetune holds its checkpoint in a folder of that name.
            name=Path(reference).resolve().name,
            weights_sha256=hash_weights(self._folder),
            base=None if base is None else Path(base.name).name,
            base_sha256=None if base is None else base.weights_sha256,
            wording=self._spec.preprocessing.wording,
        )

    @property
    def identity(self) -> ModelIdentity:
        """Which model it is."""
        return self._identity

    @property
    def training(self) -> Mapping[str, Any]:
        """What it was trained on."""
        return self._spec.training

    @property
    def preprocessing(self) -> Preprocessing:
        """How images become tiles of the vision encoder."""
        return self._spec.preprocessing

    @property
    def loaded(self) -> LoadedModel:
        """The model in memory.

        Raises:
            CheckpointError: If it cannot be loaded.
            UsageError: If there is no such device.
        """
        from domainvl.model.device import choose_device, choose_precision

        if self._loaded is None:
            device = choose_device(self._settings.device)
            self._loaded = load_model(self._reference, device=device, dtype=choose_precision("auto", device))
        return self._loaded

    def answer(
        self, samples: Sequence[Sample], folder: Path, on_progress: Progress | None = None
    ) -> list[GeneratedAnswer]:
        """Answer the last question of each sample, in their order.

        Raises:
            DatasetError: If an image cannot be used.
        """
        if not samples:
            return []
        answers = generate_answers(
            self.loaded,
            samples,
            TileReader(folder, self.preprocessing),
            batch_size=self._settings.batch_size,
            max_new_tokens=self._settings.max_new_tokens,
            on_progress=on_progress,
        )
        by_id = {answer.sample_id: answer for answer in answers}
        return [by_id[sample.id] for sample in samples]


def _check_spec(folder: Path, spec: CheckpointSpec) -> None:
    """Refuse a model whose boxes or words this version would read or write in another way."""
    preprocessing = spec.preprocessing
    for what, seen, known in (
        ("boxes in the coordinates", preprocessing.coordinate_space, _COORDINATES),
        ("questions in the wording", preprocessing.wording, WORDING_VERSION),
    ):
        if seen != known:
            raise CheckpointError(
                "Cannot predict",
                where=folder,
                rule=f"the model must be trained on {what} {known}, got {seen}",
                action="Use the version of domainvl that it was trained with",
            )
