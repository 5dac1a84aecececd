"""What a run looks at besides its training samples: the loss on held-out groups, and answers to their questions."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.errors import DatasetError
from domainvl.model.generation import generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Sample, Split
from domainvl.training.loading import ImageLoader, LoadedPack, PackLoader
from domainvl.training.mixture import MixtureSpec, open_sources
from domainvl.training.plan import Arrangement, OverLong, plan_all
from domainvl.training.recipe import Recipe
from domainvl.training.sources import DatasetSource, ModelInput

if TYPE_CHECKING:
    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.vision_cache import VisionCache
    from domainvl.training.processes import Processes

Scorer = Callable[[Sequence[tuple[Sample, str]]], float | None]
"""Given samples, each with an answer, returns the share that is right; None where none can be scored."""

ANSWERED_AT_A_TIME = 8
"""Prompts: few, because training holds most of the memory."""


@dataclass(frozen=True)
class AnsweredSample:
    """A held-out question and what the model said.

    Attributes:
        sample: The sample.
        text: The answer.
        likelihood: That the model gives to it.
    """

    sample: Sample
    text: str
    likelihood: float


class HeldOut:
    """The held-out samples of a run's sources.

    Args:
        spec: The sources of the run.
        recipe: How many samples, and how they are put together.
        model: What they are encoded for.
        arrangement: As in training.
        cache: Of a frozen vision encoder's features.
    """

    def __init__(
        self,
        spec: MixtureSpec,
        recipe: Recipe,
        model: ModelInput,
        arrangement: Arrangement,
        cache: VisionCache | None = None,
    ) -> None:
        self._settings = recipe.validation
        self._readers = recipe.compute.readers
        self._preprocessing = model.preprocessing
        self._parts_per_pack = recipe.compute.parts_per_pack
        sources = open_sources(spec, model, recipe.packing.longest_window(), Split.VAL, recipe.validation.max_samples)
        self._sources = sources
        self._plan = plan_all(recipe, sources, model, arrangement)
        self._loader = PackLoader(
            self._plan,
            sources,
            [ImageLoader(source.folder, model.preprocessing, cache=cache) for source in sources],
            model,
            recipe.optimisation.loss_weighting,
        )

    def __bool__(self) -> bool:
        return bool(self._plan.steps)

    @property
    def digest(self) -> str:
        """Hash of what is held out."""
        return " ".join(source.digest for source in self._sources)

    @property
    def over_long(self) -> list[OverLong]:
        """Held-out samples that are longer than the recipe allows; they get fewer tiles or are not looked at."""
        return self._plan.over_long

    def packs(self, processes: Processes) -> Generator[LoadedPack, None, None]:
        """Return what this process computes of them."""
        micros = self._plan.share(0, processes.rank, processes.world_size, self._parts_per_pack)
        return self._loader.read_all(micros, self._readers)

    def can_be_scored(self, score: Scorer | None) -> bool:
        """Return whether answers to any of the questions that are asked can be scored."""
        asked = [sample for _, samples in self._asked() for sample in samples]
        return score is not None and bool(asked) and score([(sample, "") for sample in asked]) is not None

    def answers(self, loaded: LoadedModel) -> list[AnsweredSample]:
        """Answer some of the domain's questions, evenly spread over the sources; not those whose image is broken."""
        answered = []
        for source, samples in self._asked():
            reader = TileReader(source.folder, self._preprocessing)
            readable = [sample for sample in samples if _is_readable(sample, reader)]
            by_id = {sample.id: sample for sample in readable}
            for one in generate_answers(
                loaded,
                readable,
                reader,
                batch_size=ANSWERED_AT_A_TIME,
                max_new_tokens=self._settings.max_new_tokens,
            ):
                answered.append(AnsweredSample(by_id[one.sample_id], one.text, one.likelihood))
        return answered

    def _asked(self) -> list[tuple[DatasetSource, list[Sample]]]:
        asked = [
            source
            for source in self._sources
            if isinstance(source, DatasetSource) and source.role == "domain" and len(source)
        ]
        return [
            (source, source.samples(len(range(number, self._settings.answers, len(asked)))))
            for number, source in enumerate(asked)
        ]


def _is_readable(sample: Sample, reader: TileReader) -> bool:
    """Say whether the images of a sample can be read; the look at the loss lists those that cannot."""
    try:
        reader.read(sample.images)
    except DatasetError:
        return False
    return True


def answer_rows(answered: Sequence[AnsweredSample]) -> list[dict[str, Any]]:
    """Return rows of the log that show answers beside what was expected."""
    return [
        {
            "sample": one.sample.id,
            "expected": one.sample.turns[-1].text,
            "answered": one.text,
            "likelihood": one.likelihood,
        }
        for one in answered
    ]


def score_answers(score: Scorer | None, answered: Sequence[AnsweredSample]) -> float | None:
    """Return the share of the answers that is right; None where nothing can be scored."""
    if score is None or not answered:
        return None
    return score([(one.sample, one.text) for one in answered])
