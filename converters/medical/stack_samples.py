"""The samples of a stack: single slices, several images in one question, montages, projections, videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError, LeftOutError, UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.phrases import Phrasing
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import MADE_OF, Image, Object, Provenance, Sample, Source
from domainvl.schema.writer import Reject, Severity

from .findings import SliceTruth, to_objects
from .image_questions import ask_about_series, ask_about_slice, with_places
from .image_words import projection_preface, series_preface, window_preface, with_preface
from .marking import marked_question
from .pixel_map import PixelMap
from .selection import SelectionRule
from .settings import MedicalSettings
from .stack import DOMAIN, Shown, StackFacts, StackReader
from .tasks import parse_tasks
from .volumes import montage, slabs

SLICES, SERIES, MONTAGE, MIP, VIDEO = "slices", "series", "montage", "mip", "video"
FORMS = (SLICES, SERIES, MONTAGE, MIP, VIDEO)
_OF_SEVERAL = frozenset({SERIES, MONTAGE, VIDEO})


def parse_forms(text: str) -> tuple[str, ...]:
    """Read the setting ``forms``.

    Raises:
        UsageError: If it names something else, or nothing.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or not set(names) <= set(FORMS):
        raise UsageError("Cannot use --forms", rule=f"it must name some of {', '.join(FORMS)}, got {text!r}")
    return names


@dataclass(frozen=True)
class _Kept:
    """What is kept of a slice for the samples that show several."""

    place: int
    shown: Shown
    images: tuple[Image, ...]
    objects: tuple[Object, ...]


def convert_stack(
    stack: StackFacts, reader: StackReader, settings: MedicalSettings, images: ImageStore, provenance: Provenance
) -> UnitResult:
    """Make all samples of a stack; a slice that cannot be read leaves the others as they are.

    Args:
        stack: The stack.
        reader: Reads its slices.
        settings: Which slices, in which forms, and what is asked.
        images: Where pixels go.
        provenance: What makes the samples.
    """
    return _Conversion(stack, reader, settings, images, provenance).run()


class _Conversion:
    def __init__(
        self,
        stack: StackFacts,
        reader: StackReader,
        settings: MedicalSettings,
        images: ImageStore,
        provenance: Provenance,
    ) -> None:
        self._stack = stack
        self._reader = reader
        self._settings = settings
        self._images = images
        self._provenance = provenance
        self._tasks = parse_tasks(settings.tasks)
        self._phrasing = Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed)
        self._samples: list[Sample] = []
        self._rejects: list[Reject] = []
        self._warnings = list(stack.warnings)

    def run(self) -> UnitResult:
        forms = parse_forms(self._settings.forms)
        chosen = self._choose()
        if self._stack.reports and "report" in self._tasks and not self._shows_report(forms):
            self._rejects.append(self._report_not_shown())
        asked = set(spread(chosen, self._settings.header_slices_per_stack))
        together = spread(chosen, self._settings.images_per_sample) if _OF_SEVERAL & set(forms) else []
        wanted = chosen if SLICES in forms else together
        kept: list[_Kept] = []
        for place in wanted:
            seen = self._read(place)
            if seen is None:
                continue
            if SLICES in forms:
                self._add_slice(seen, asks_header=place in asked)
            if place in together:
                kept.append(seen)
        if self._stack.along_axis is False and not self._stack.is_cine:
            kept.reverse()  # from feet to head, from front to back, from right to left, however it was stored
        for form, add in ((SERIES, self._add_series), (VIDEO, self._add_series), (MONTAGE, self._add_montage)):
            if form in forms and kept:
                add(kept, form)
        if MIP in forms:
            self._add_projections(chosen)
        return UnitResult(self._samples, self._rejects)

    def _shows_report(self, forms: Sequence[str]) -> bool:
        return bool(_OF_SEVERAL & set(forms)) or (self._stack.report_on_slices and SLICES in forms)

    def _report_not_shown(self) -> Reject:
        return Reject(
            self._stack.range_name(range(len(self._stack.slices))),
            "convert",
            "report-not-shown",
            "its study has a report about all of its slices, and no sample shows several",
            "Add --forms series, montage or video, or leave report out of --tasks",
            Severity.SKIPPED,
        )

    def _choose(self) -> list[int]:
        slices = self._stack.slices
        rule = SelectionRule.parse(self._settings.select)
        found_at = [place for place, thing in enumerate(slices) if thing.is_of_interest]
        # Frames of one place follow each other in time: there is no distance to choose by.
        positions = None if self._stack.is_cine else self._stack.positions_mm
        choice = rule.choose(positions, found_at, count=len(slices))
        if choice.warning is not None:
            self._warnings.append(choice.warning)
        left_out = len(slices) - len(choice.indices)
        if left_out:
            self._rejects.append(
                Reject(
                    self._stack.range_name(range(len(slices))),
                    "convert",
                    "not-selected",
                    f"{left_out} of {len(slices)} slices are left out by --select {self._settings.select}",
                    severity=Severity.SKIPPED,
                )
            )
        return list(choice.indices)

    def _read(self, place: int) -> _Kept | None:
        name = self._stack.slice_name(place)
        try:
            shown = self._reader.show(place)
        except ItemError as error:
            self._rejects.append(_reject_of(name, error))
            return None
        truth = self._stack.slices[place].truth
        objects, rejects = to_objects(truth, shown.map, key=name) if truth is not None else ((), ())
        self._rejects += rejects
        return _Kept(place, shown, self._store(shown), objects)

    def _store(self, shown: Shown) -> tuple[Image, ...]:
        stored = []
        for view in shown.views:
            details = {**shown.source.details, **view.details}
            source = shown.source.model_copy(update={"details": details})
            name = view.name if len(shown.views) > 1 else None
            stored.append(self._images.put_pixels(view.pixels).to_image(source, view=name))
        return tuple(stored)

    def _add_slice(self, seen: _Kept, *, asks_header: bool) -> None:
        stack, name = self._stack, self._stack.slice_name(seen.place)
        truth = stack.slices[seen.place].truth
        questions = [*self._of_header(seen.shown)] if asks_header else []
        if truth is not None:
            questions += ask_about_slice(
                truth,
                seen.objects,
                key=name,
                tasks=self._tasks,
                size_px=(seen.shown.map.width_px, seen.shown.map.height_px),
                spacing_mm=seen.shown.spacing_mm,
                can_measure=seen.shown.can_measure,
                several_images=len(seen.images) > 1,
            )
        if stack.report_on_slices:
            questions += self._of_report()
        questions = _with_window(questions, seen)
        self._add(name, questions, seen.images, seen.objects, [seen])
        marked = self._add_marked(seen, name)
        if not questions and not marked:
            self._nothing_to_ask(name)

    def _add_marked(self, seen: _Kept, name: str) -> bool:
        """Add the sample that asks what is marked on the image."""
        truth = self._stack.slices[seen.place].truth
        if "marked" not in self._tasks or truth is None:
            return False
        found = marked_question(
            seen.shown.views[0].pixels,
            with_places(seen.objects, truth),
            truth.classes,
            key=name,
            marks=self._settings.marks,
        )
        if found is None:
            return False
        question, pixels, details = found
        source = seen.images[0].source
        image = self._images.put_pixels(pixels).to_image(_made_of(source, seen.images[:1], mark=details))
        self._add(name, _with_window([question], seen, first_only=True), (image,), (), [seen])
        return True

    def _add_series(self, kept: Sequence[_Kept], form: str) -> None:
        """Add the samples that show several slices, as images or as the frames of a video."""
        places = [seen.place for seen in kept]
        name = f"{self._stack.range_name(sorted(places))}/{form}"
        pictures, objects = [], []
        for number, seen in enumerate(kept, start=1):
            frame = number if form == VIDEO else None
            pictures.append(seen.images[0].model_copy(update={"frame": frame, "view": None}))
            objects += [
                thing.model_copy(update={"id": f"{number}/{thing.id}", "image": number - 1}) for thing in seen.objects
            ]
        preface, names = self._preface(places)
        if form == SERIES:
            pictures = [image.model_copy(update={"view": view}) for image, view in zip(pictures, names, strict=True)]
        self._add_several(name, kept, pictures, objects, preface)

    def _add_montage(self, kept: Sequence[_Kept], form: str) -> None:
        """Add the samples that show several slices in one image, row by row."""
        places = [seen.place for seen in kept]
        name = f"{self._stack.range_name(sorted(places))}/{form}"
        pixels, maps = montage([seen.shown.views[0].pixels for seen in kept])
        indices: list[JsonValue] = [self._stack.slices[place].index for place in places]
        parents = [seen.images[0] for seen in kept]
        image = self._images.put_pixels(pixels).to_image(_made_of(parents[0].source, parents, montage_of=indices))
        objects = [
            _moved(thing, where, f"{number}/{thing.id}")
            for number, (seen, where) in enumerate(zip(kept, maps, strict=True), start=1)
            for thing in seen.objects
        ]
        preface, _ = self._preface(places, in_one_image=True)
        self._add_several(name, kept, [image], objects, preface)

    def _preface(self, places: Sequence[int], *, in_one_image: bool = False) -> tuple[str | None, list[str]]:
        """Say what the slices of a sample are, and name each; a single one needs no words."""
        stack = self._stack
        preface, names = series_preface(
            [stack.slices[place].position_mm for place in places],
            plane=stack.plane,
            modality=stack.modality,
            along_axis=None if stack.along_axis is None else True,
            is_cine=stack.is_cine,
            are_slices=stack.are_slices,
            in_one_image=in_one_image,
        )
        return preface if len(places) > 1 else None, names

    def _add_projections(self, chosen: Sequence[int]) -> None:
        stack = self._stack
        positions = stack.positions_mm
        if positions is None or not stack.is_volume:
            why = "its slices do not lie behind each other, or the header does not say where"
            action = "Convert it in another of --forms"
            name = stack.range_name(range(len(stack.slices)))
            self._rejects.append(Reject(name, "convert", "mip-no-volume", why, action, Severity.SKIPPED))
            return
        for slab in slabs([positions[place] for place in chosen], self._settings.slab_mm):
            places = [chosen[index] for index in slab]
            extent_mm = abs(positions[places[-1]] - positions[places[0]])
            self._add_projection(places, extent_mm)

    def _add_projection(self, places: Sequence[int], extent_mm: float) -> None:
        """Add the samples that show the projection of a slab, whose outermost slices are so far apart."""
        stack, count = self._stack, len(places)
        name = f"{stack.range_name(places)}/{MIP}"
        if count < 2:
            why = f"its slab of {self._settings.slab_mm:g} mm holds one slice, which is no projection"
            self._rejects.append(Reject(name, "convert", "mip-one-slice", why, "Raise --slab-mm", Severity.SKIPPED))
            return
        try:
            shown = self._reader.project(places)
        except ItemError as error:
            self._rejects.append(_reject_of(name, error))
            return
        seen = _Kept(places[0], shown, self._store(shown), ())
        truths = [stack.slices[place].truth for place in places]
        things = [to_objects(truth, shown.map, key=name)[0] if truth is not None else () for truth in truths]
        questions = [*self._of_header(shown), *self._of_union(truths, things, name, len(seen.images) > 1)]
        # Each slice stands for what lies between it and the next one.
        thickness_mm = round(extent_mm * count / (count - 1), 1)
        preface = projection_preface(thickness_mm, plane=stack.plane, modality=stack.modality)
        self._add(name, with_preface(_with_window(questions, seen), preface), seen.images, (), [seen])
        if not questions:
            self._nothing_to_ask(name)

    def _add_several(
        self,
        name: str,
        kept: Sequence[_Kept],
        pictures: Sequence[Image],
        objects: Sequence[Object],
        preface: str | None,
    ) -> None:
        truths = [self._stack.slices[seen.place].truth for seen in kept]
        things = [seen.objects for seen in kept]
        questions = [*self._of_header(kept[0].shown), *self._of_union(truths, things, name, len(pictures) > 1)]
        questions = _with_window([*questions, *self._of_report()], kept[0], first_only=True)
        questions = with_preface(questions, preface)
        self._add(name, questions, pictures, objects, kept)
        if not questions:
            self._nothing_to_ask(name)

    def _of_header(self, shown: Shown) -> Iterator[Question]:
        yield from (question for question in shown.questions if question.key in self._tasks)

    def _of_union(
        self, truths: Sequence[SliceTruth | None], things: Sequence[Sequence[Object]], name: str, several: bool
    ) -> list[Question]:
        return ask_about_series(truths, things, key=name, tasks=self._tasks, several_images=several)

    def _of_report(self) -> Iterable[Question]:
        return self._stack.reports if "report" in self._tasks else ()

    def _add(
        self,
        name: str,
        questions: Sequence[Question],
        pictures: Sequence[Image],
        objects: Sequence[Object],
        seen: Sequence[_Kept],
    ) -> None:
        warnings = dict.fromkeys(warning for thing in seen for warning in thing.shown.warnings)
        self._samples += samples_from_questions(
            questions,
            id_prefix=name,
            domain=DOMAIN,
            images=pictures,
            objects=objects,
            group=self._stack.group,
            provenance=self._provenance,
            warnings=(*warnings, *self._warnings),
            phrasing=self._phrasing,
        )

    def _nothing_to_ask(self, name: str) -> None:
        self._rejects.append(
            Reject(
                name,
                "convert",
                "no-question",
                "neither its header nor its labels give a question among --tasks",
                "Name a table that lists it with --labels, or ask for more --tasks",
                Severity.SKIPPED,
            )
        )


def spread(places: Sequence[int], limit: int | None) -> list[int]:
    """Choose at most so many of some places, the middles of equal parts; all where there is no limit."""
    if limit is None or limit >= len(places):
        return list(places)
    return [places[(2 * part + 1) * len(places) // (2 * limit)] for part in range(limit)]


def _reject_of(name: str, error: ItemError) -> Reject:
    severity = Severity.SKIPPED if isinstance(error, LeftOutError) else Severity.FAILED
    return Reject(name, "convert", error.reason, str(error), error.action, severity)


def _with_window(questions: Sequence[Question], seen: _Kept, *, first_only: bool = False) -> list[Question]:
    """Let prompts say through which window the first picture is seen, where no name of an image does."""
    name = seen.shown.views[0].name
    return with_preface(questions, window_preface(name) if first_only or len(seen.shown.views) == 1 else None)


def _made_of(source: Source, parents: Sequence[Image], **details: JsonValue) -> Source:
    """Describe an image that was made of stored ones: what keeps them out of a data set keeps it out too."""
    made_of: list[JsonValue] = [image.pixel_sha256 for image in parents]
    return source.model_copy(update={"details": {**source.details, **details, MADE_OF: made_of}})


def _moved(thing: Object, where: PixelMap, name: str) -> Object:
    """Return an object as it lies in a larger image."""
    moved: dict[str, object] = {"id": name}
    if thing.box_px is not None:
        moved["box_px"] = where.box(thing.box_px)
    if thing.polygons_px is not None:
        moved["polygons_px"] = tuple(where.ring(ring) for ring in thing.polygons_px)
    if thing.point_px is not None:
        moved["point_px"] = where.point(thing.point_px)
    return thing.model_copy(update=moved)
