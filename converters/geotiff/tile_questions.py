"""The questions about a tile: which follow from what is known of each of its dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shapely import MultiPolygon, Polygon

from domainvl.schema import Object, Task
from domainvl.schema.questions import (
    ClassQuestions,
    CoverQuestions,
    ObjectQuestions,
    Question,
    ask_about_change,
    ask_about_cover,
    ask_about_cover_change,
    ask_about_objects,
    ask_for_class,
)

from .knowledge import Known, KnownCover, KnownObjects
from .labels.placed import UNKNOWN_CLASS
from .labels.truth import SceneLabel
from .objects import TileObjects
from .parsing import TaskChoice, parse_tasks
from .settings import GeotiffSettings
from .tile_images import DrawnTile

_OBJECT_TASKS = (Task.PRESENCE, Task.COUNTING, Task.GROUNDING)
_COVER_TASKS = (Task.CLASSIFICATION, Task.AREA, Task.PRESENCE, Task.COMPARISON)
_CHANGE_TASKS = (Task.COMPARISON, Task.COUNTING)
_COVER_CHANGE_TASKS = (Task.COMPARISON, Task.AREA)


@dataclass(frozen=True)
class Shown:
    """What a tile shows of one scene, and what is known about it.

    Attributes:
        number: Number of the scene in its site.
        first_image: Index of its first image in the sample.
        date: Its date.
        drawn: Its images.
        known: What is known about the scene.
        objects: Labelled objects in the tile.
        elsewhere: Objects that are seen, but belong to another tile.
        ignored_areas: What is seen of ignored objects, in pixels of the grid.
        repaired: How many objects had invalid rings.
        without_area: Ids of objects from which no area follows: boxes, and polygons that leave out holes.
        shares: Share of the image that each class covers, where that is known.
        is_cover_complete: Whether the class of every valid pixel is known.
    """

    number: int
    first_image: int
    date: str | None
    drawn: DrawnTile
    known: Known | None
    objects: tuple[Object, ...] = ()
    elsewhere: tuple[Object, ...] = ()
    ignored_areas: tuple[Polygon | MultiPolygon, ...] = ()
    repaired: int = 0
    without_area: frozenset[str] = frozenset()
    shares: Mapping[str, float] | None = None
    is_cover_complete: bool = True

    def with_objects(self, seen: TileObjects, prefix: str) -> Shown:
        """Return it with the objects that are seen, as those of its first image."""

        def place(thing: Object) -> Object:
            return thing.model_copy(update={"id": f"{prefix}{thing.id}", "image": self.first_image})

        ignored_count = sum(thing.ignore for thing in seen.objects)
        return replace(
            self,
            objects=tuple(place(thing) for thing in seen.objects),
            elsewhere=tuple(place(thing) for thing in seen.elsewhere),
            ignored_areas=tuple(seen.ignored_areas[:ignored_count]),
            repaired=seen.repaired,
            without_area=frozenset(f"{prefix}{name}" for name in seen.without_area),
        )


def ask(shown: Sequence[Shown], *, gsd_m: float | None, key: str, settings: GeotiffSettings) -> list[Question]:
    """Ask what the labels of a tile allow to be answered.

    Args:
        shown: What the tile shows of each scene, in the order of the dates.
        gsd_m: Side of a pixel on the ground, where it is known.
        key: Names the tile; equal keys give equal choices.
        settings: The converter's settings.
    """
    choice = parse_tasks(settings.tasks)
    asker = _Asker(choice, gsd_m, key, settings, several=len(shown) > 1)
    questions = [question for scene in shown if scene.known is not None for question in asker.about(scene)]
    return questions + list(asker.about_change(shown))


@dataclass(frozen=True)
class _Asker:
    """Asks about one tile; ``several`` says that there are several dates."""

    choice: TaskChoice | None
    gsd_m: float | None
    key: str
    settings: GeotiffSettings
    several: bool

    def about(self, scene: Shown) -> Iterator[Question]:
        match scene.known:
            case SceneLabel(label=label, classes=classes):
                if self._wants(Task.CLASSIFICATION):
                    asked = ask_for_class(
                        label,
                        classes,
                        key=self.key,
                        settings=ClassQuestions(
                            gsd_m=self.gsd_m,
                            prompt_gsd=self.settings.prompt_gsd,
                            several_images=self._has_several_images(scene),
                        ),
                    )
                    yield self._of_date(asked, scene)
            case KnownObjects(classes=classes):
                asked_about = self._object_questions(scene)
                objects = [
                    # Without polygons no area is asked for.
                    thing.model_copy(update={"polygons_px": None}) if thing.id in scene.without_area else thing
                    for thing in (*scene.objects, *scene.elsewhere, *_unclear(scene))
                ]
                yield from ask_about_objects(objects, classes, key=self.key, settings=asked_about)
            case KnownCover():
                yield from ask_about_cover(
                    scene.shares or {},
                    key=self.key,
                    image_area_m2=self._image_area_m2(),
                    settings=self._cover_questions(scene),
                )

    def about_change(self, shown: Sequence[Shown]) -> Iterator[Question]:
        """Ask what changed between two dates whose labels are both known."""
        if self.choice is not None and not self.choice.change:
            return
        with_objects = [scene for scene in shown if isinstance(scene.known, KnownObjects)]
        if len(with_objects) > 1:
            classes = set.intersection(
                *(set(scene.known.classes) for scene in with_objects if isinstance(scene.known, KnownObjects))
            )
            yield from ask_about_change(
                [thing for scene in with_objects for thing in (*scene.objects, *scene.elsewhere, *_unclear(scene))],
                classes,
                key=self.key,
                images=[(scene.first_image, scene.date or "") for scene in with_objects],
                settings=replace(self._object_questions(with_objects[0]), tasks=_CHANGE_TASKS, image=None),
            )
        covers = [(scene.date or "", scene.shares) for scene in shown if scene.shares is not None]
        if len(covers) > 1:
            settings = replace(self._cover_questions(shown[0]), tasks=_COVER_CHANGE_TASKS, prefix="")
            yield from ask_about_cover_change(covers, key=self.key, settings=settings)

    def _has_several_images(self, scene: Shown) -> bool:
        return self.several or len(scene.drawn.views) > 1

    def _wants(self, task: Task) -> bool:
        return self.choice is None or task in self.choice.tasks

    def _place(self, scene: Shown) -> str:
        if self.several:
            return f"in the image of {scene.date}"
        return "in the image" if len(scene.drawn.views) == 1 else "in the scene"

    def _of_date(self, question: Question, scene: Shown) -> Question:
        """Say which date a question is about whose words do not."""
        if not self.several:
            return question
        which = f"This is asked about the image of {scene.date}."
        preface = f"{question.preface} {which}" if question.preface else which
        return replace(question, key=f"image{scene.first_image + 1}-{question.key}", preface=preface)

    def _object_questions(self, scene: Shown) -> ObjectQuestions:
        side_px = self.settings.tile_px
        return ObjectQuestions(
            tasks=_OBJECT_TASKS if self.choice is None else self.choice.tasks,
            place=self._place(scene),
            image=scene.first_image if self.several else None,
            size_px=(side_px, side_px),
            gsd_m=self.gsd_m,
            prompt_gsd=self.settings.prompt_gsd,
            several_images=self._has_several_images(scene),
        )

    def _cover_questions(self, scene: Shown) -> CoverQuestions:
        tasks = _COVER_TASKS if self.choice is None else self.choice.tasks
        return CoverQuestions(
            # What nobody classified may hold any class.
            tasks=tasks if scene.is_cover_complete else tuple(task for task in tasks if task is not Task.PRESENCE),
            place=self._place(scene),
            prefix=f"image{scene.first_image + 1}-" if self.several else "",
            gsd_m=self.gsd_m,
            prompt_gsd=self.settings.prompt_gsd,
            several_images=self._has_several_images(scene),
        )

    def _image_area_m2(self) -> float | None:
        return None if self.gsd_m is None else (self.settings.tile_px * self.gsd_m) ** 2


def _unclear(scene: Shown) -> Iterator[Object]:
    """Stand for labels without a place: of their classes neither number nor absence is known."""
    if isinstance(scene.known, KnownObjects):
        unclear = scene.known.unclear
        if UNKNOWN_CLASS in unclear:  # it may be of any class
            unclear = unclear | set(scene.known.classes)
        for label in sorted(unclear):
            yield Object(id=f"unclear/{label}", label=label, image=scene.first_image, ignore=True)
