"""Generated scenes of plain coloured shapes: what the shipped model `tiny` is pretrained on.

Shapes, colours, places and numbers are all that they show. None of the classes, sensors or layouts of the
three fields occur in them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw

from domainvl import __version__
from domainvl.schema import (
    WORDING_VERSION,
    DatasetWriter,
    Image,
    ImageStore,
    Object,
    ObjectQuestions,
    Provenance,
    Question,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    ask_about_objects,
    samples_from_questions,
)

SIDE_PX = 64
SUPERSAMPLING = 2
COLOURS = {
    "red": (215, 40, 35),
    "green": (40, 165, 60),
    "blue": (45, 75, 215),
    "yellow": (235, 215, 45),
    "purple": (150, 50, 180),
    "cyan": (50, 205, 215),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "orange": (245, 140, 30),
    "grey": (128, 128, 128),
}
SHAPES = ("circle", "square", "triangle", "ring", "cross", "bar")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
GREY_SHARE = 0.2
MAX_SATURATION = 0.5
BRIGHT, DARK = 235, 110
GREY_GROUND = (40, 90)
GREYS = ("white", "grey", "black")
SHAPE_WORD_SHARE = 0.35
VIEW_NAMES = ("A", "B", "C", "D", "left", "right", "top", "middle", "bottom", "centre")

FEW_CLASSES = (
    "red circle",
    "green square",
    "blue triangle",
    "yellow ring",
    "purple cross",
    "white bar",
    "orange square",
    "cyan circle",
)


@dataclass(frozen=True)
class SceneKind:
    """What scenes show.

    Attributes:
        max_objects: Most objects in an image; with one there always is one.
        few_classes: Only eight classes of one colour each, not every colour with every shape.
        multi_image_share: Share of scenes that are sets of two to six images.
        white_share: Share of images in which all things are white on a dark ground and differ by shape alone.
        grey_share: Share of images without any colour, in which things are white, grey or black.
        clutter: Most lines, arcs and large patches in the ground, which are no things.
        detect_share: Share of scenes that are asked where things are in the words of remote sensing ("Detect ...").
        named_views_share: Share of sets in which the images have names instead of numbers.
        one_word_share: Share of scenes that are asked about by colour alone or by shape alone, in one word.
    """

    max_objects: int
    few_classes: bool
    multi_image_share: float
    white_share: float = 0.0
    grey_share: float = 0.0
    clutter: int = 0
    detect_share: float = 0.0
    named_views_share: float = 0.0
    one_word_share: float = 0.0


Drawn = tuple[npt.NDArray[np.uint8], list[Object]]


def write_scenes(out: Path, kind: SceneKind, *, scene_count: int, seed: int) -> None:
    """Generate scenes and write them as a data set, a tenth of them held out.

    Args:
        out: Folder to make.
        kind: What the scenes show.
        scene_count: Number of scenes.
        seed: Of everything.
    """
    settings = {**asdict(kind), "scene_count": scene_count, "seed": seed}
    provenance = Provenance(
        converter="tiny-scenes",
        version=__version__,
        settings_sha256=hashlib.sha256(repr(settings).encode()).hexdigest(),
        wording=WORDING_VERSION,
    )
    with DatasetWriter(out, name=out.name) as writer:
        for number in range(scene_count):
            generator = np.random.default_rng([seed, number])
            split = (Split.TEST, Split.VAL)[number % 2] if number % 20 < 2 else Split.TRAIN
            for sample in _scene(number, split, kind, generator, writer.images, provenance):
                writer.add(sample)
        writer.finish(
            command="tiny-scenes",
            settings=settings,
            sources=[],
            versions={"domainvl": __version__, "numpy": np.__version__},
            licence="Apache-2.0",
        )


def _scene(
    number: int,
    split: Split,
    kind: SceneKind,
    generator: np.random.Generator,
    store: ImageStore,
    provenance: Provenance,
) -> Iterator[Sample]:
    several = kind.multi_image_share > 0 and generator.random() < kind.multi_image_share
    count = int(generator.integers(2, 7)) if several else 1
    names: list[str] = []
    if several and kind.named_views_share > 0 and generator.random() < kind.named_views_share:
        names = [str(name) for name in generator.choice(VIEW_NAMES, count, replace=False)]
    images: list[Image] = []
    objects: list[Object] = []
    for index in range(count):
        pixels, drawn = draw_scene(generator, replace(kind, max_objects=2) if several else kind)
        source = Source(uri=f"generated/{number}/{index}")
        images.append(store.put_pixels(pixels).to_image(source, view=names[index] if names else None))
        objects += [thing.model_copy(update={"id": f"{index}-{thing.id}", "image": index}) for thing in drawn]
    classes = {thing.label for thing in objects} | {_random_label(generator, kind) for _ in range(3)}
    detect = kind.detect_share > 0 and generator.random() < kind.detect_share
    if any(thing.label.startswith("white") for thing in objects):
        classes |= {f"white {generator.choice(SHAPES)}" for _ in range(2)}
    one_word = kind.one_word_share > 0 and generator.random() < kind.one_word_share
    if one_word:
        # As in the fields, where a class is one word however it looks.
        place = int(generator.random() < SHAPE_WORD_SHARE)
        objects = [thing.model_copy(update={"label": thing.label.split()[place]}) for thing in objects]
        classes = {label.split()[place] for label in classes}
    if several:
        questions = list(_ask_several(objects, classes, number, names))
    else:
        questions = list(_ask_one(objects, classes, number, alone=kind.max_objects == 1, one_word=one_word))
    yield from samples_from_questions(
        questions,
        id_prefix=f"scene-{number:06d}",
        domain="remote-sensing" if detect else "general",
        images=images,
        objects=objects,
        fixed_split=split,
        group=f"scene-{number:06d}",
        provenance=provenance,
    )


def _ask_one(
    objects: list[Object], classes: set[str], number: int, *, alone: bool, one_word: bool
) -> Iterator[Question]:
    # Of a thing alone only colour and place are asked: they are what has to be learned first.
    settings = ObjectQuestions(tasks=(Task.GROUNDING,)) if alone else None
    yield from ask_about_objects(objects, classes, key=str(number), settings=settings)
    if one_word:
        return
    by_shape: dict[str, list[Object]] = {}
    for thing in objects:
        by_shape.setdefault(thing.label.split()[1], []).append(thing)
    for shape, things in by_shape.items():
        if len(things) == 1 and things[0].box_px is not None:
            colour = things[0].label.split()[0]
            yield Question(f"colour-{shape}", Task.VQA, f"What colour is the {shape}?", TextAnswer(text=colour))
            yield Question(f"where-{shape}", Task.VQA, f"Where is the {shape}?", TextAnswer(text=_where(things[0])))


def _ask_several(objects: list[Object], classes: set[str], number: int, names: list[str]) -> Iterator[Question]:
    settings = ObjectQuestions(tasks=(Task.COUNTING, Task.PRESENCE), place="in the images")
    yield from ask_about_objects(objects, classes, key=str(number), settings=settings)
    by_label: dict[str, set[int]] = {}
    for thing in objects:
        by_label.setdefault(thing.label, set()).add(thing.image)
    for label, where in by_label.items():
        if len(where) == 1:
            answer = names[min(where)] if names else f"Image-{min(where) + 1}"
            key = f"which-{label.replace(' ', '-')}"
            text = f"Which {'view' if names else 'image'} shows the {label}?"
            yield Question(key, Task.VQA, text, TextAnswer(text=answer))


def _where(thing: Object) -> str:
    x_min, y_min, x_max, y_max = thing.box_px or (0.0, 0.0, 0.0, 0.0)
    row = ROWS[min(2, int((y_min + y_max) / 2 / SIDE_PX * 3))]
    column = COLUMNS[min(2, int((x_min + x_max) / 2 / SIDE_PX * 3))]
    return f"{row} {column}"


def _random_label(generator: np.random.Generator, kind: SceneKind, colours: tuple[str, ...] = tuple(COLOURS)) -> str:
    if colours == ("white",):
        return f"white {generator.choice(SHAPES)}"
    if kind.few_classes:
        return FEW_CLASSES[int(generator.integers(len(FEW_CLASSES)))]
    return f"{generator.choice(colours)} {generator.choice(SHAPES)}"


def draw_scene(generator: np.random.Generator, kind: SceneKind) -> Drawn:
    """Draw one image.

    Args:
        generator: Source of all randomness.
        kind: What it may show.

    Returns:
        uint8 RGB of shape (64, 64, 3), and its objects.
    """
    white = kind.white_share > 0 and generator.random() < kind.white_share
    grey = kind.grey_share > 0 and not white and generator.random() < kind.grey_share
    colours = ("white",) if white else GREYS if grey else tuple(COLOURS)
    darkest, brightest = GREY_GROUND if grey else (20, DARK if white else BRIGHT)
    background = _background(generator, darkest=darkest, brightest=brightest, grey=grey)
    canvas = PillowImage.fromarray(background).resize((SIDE_PX * SUPERSAMPLING,) * 2, PillowImage.Resampling.BILINEAR)
    draw = ImageDraw.Draw(canvas)
    if kind.clutter:
        _draw_clutter(draw, background, int(generator.integers(0, kind.clutter + 1)), generator)
    palette = [_random_label(generator, kind, colours) for _ in range(4)]
    objects: list[Object] = []
    for index in range(int(generator.integers(int(kind.max_objects == 1), kind.max_objects + 1))):
        # Labels are drawn from a small palette, so that the same class occurs several times in a scene.
        label = palette[int(generator.integers(0, 4))]
        box_px = _free_place(generator, objects, flat=label.endswith("bar"))
        if box_px is None:
            continue
        _draw_shape(draw, label, box_px, generator)
        objects.append(Object(id=str(index), label=label, box_px=box_px))
    pixels = np.asarray(canvas.resize((SIDE_PX, SIDE_PX), PillowImage.Resampling.BOX)).astype(np.float32)
    pixels += generator.normal(0.0, generator.uniform(0.0, 10.0), pixels.shape)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8), objects


def _background(
    generator: np.random.Generator, *, darkest: float, brightest: float, grey: bool
) -> npt.NDArray[np.uint8]:
    """Draw smooth blobs of two colours with a gradient; sometimes grey."""
    cells = int(generator.integers(2, 9))
    blobs = PillowImage.fromarray(generator.integers(0, 256, (cells, cells), dtype=np.uint8))
    mix = np.asarray(blobs.resize((SIDE_PX, SIDE_PX), PillowImage.Resampling.BICUBIC), np.float32)[..., None] / 255
    mix = mix * generator.uniform(0.1, 1.0)
    first, second = generator.uniform(darkest, brightest, (2, 3))
    grey = bool(generator.random() < GREY_SHARE) or grey
    # Mostly pale grounds: colour is then a property of things, which is what the questions ask for.
    saturation = 0.0 if grey else generator.uniform(0.0, MAX_SATURATION)
    first, second = (colour.mean() + saturation * (colour - colour.mean()) for colour in (first, second))
    # The two colours stay near each other: objects must stand out from the ground.
    second = first + 0.35 * (second - first)
    return np.clip(first * (1 - mix) + second * mix, 0, 255).astype(np.uint8)


def _draw_clutter(
    draw: ImageDraw.ImageDraw, background: npt.NDArray[np.uint8], count: int, generator: np.random.Generator
) -> None:
    """Draw large pale patches, thin outlines and lines: what a ground has in it that nobody asks for."""
    mean = background.mean((0, 1))
    side = SIDE_PX * SUPERSAMPLING
    for _ in range(count):
        thin = bool(generator.random() < 0.5)
        contrast = generator.uniform(20, 100) if thin else generator.uniform(8, 28)
        level = mean + contrast * generator.choice((-1.0, 1.0))
        red, green, blue = np.clip(level, 0, 255).astype(int).tolist()
        colour = (red, green, blue)
        width, height = generator.integers(side // 2, side + 1, 2)
        x, y = (int(generator.integers(-side // 4, side * 3 // 4)) for _ in range(2))
        box = (x, y, x + int(width), y + int(height))
        line = int(generator.integers(1, 4))
        match int(generator.integers(0, 3)):
            case 0:
                draw.line(box, fill=colour, width=line if thin else 6 * line)
            case 1 if thin:
                draw.ellipse(box, outline=colour, width=line)
            case 1:
                draw.ellipse(box, fill=colour)
            case _ if thin:
                draw.rectangle(box, outline=colour, width=line)
            case _:
                draw.rectangle(box, fill=colour)


def _free_place(
    generator: np.random.Generator, objects: list[Object], *, flat: bool
) -> tuple[float, float, float, float] | None:
    for _ in range(12):
        width, height = generator.integers(10, 27, 2)
        if flat:
            long, short = int(generator.integers(20, 36)), int(generator.integers(5, 9))
            width, height = (long, short) if generator.random() < 0.5 else (short, long)
        elif generator.random() < 0.6:
            height = width
        x = int(generator.integers(0, SIDE_PX - width + 1))
        y = int(generator.integers(0, SIDE_PX - height + 1))
        box_px = (float(x), float(y), float(x + width), float(y + height))
        if all(_apart(box_px, thing.box_px) for thing in objects if thing.box_px):
            return box_px
    return None


def _apart(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[2] + 1 < b[0] or b[2] + 1 < a[0] or a[3] + 1 < b[1] or b[3] + 1 < a[1]


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    label: str,
    box_px: tuple[float, float, float, float],
    generator: np.random.Generator,
) -> None:
    colour_name, shape = label.split()
    shade = generator.integers(-12, 13, 3)
    red, green, blue = np.clip(np.array(COLOURS[colour_name]) + shade, 0, 255).tolist()
    colour = (red, green, blue)
    x_min, y_min, x_max, y_max = (value * SUPERSAMPLING for value in box_px)
    # Pillow's right and lower edges are inside the shape.
    box = (x_min, y_min, x_max - 1, y_max - 1)
    width, height = x_max - x_min, y_max - y_min
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape in ("square", "bar"):
        draw.rectangle(box, fill=colour)
    elif shape == "triangle":
        draw.polygon([(x_min + width / 2, y_min), (x_max - 1, y_max - 1), (x_min, y_max - 1)], fill=colour)
    elif shape == "ring":
        draw.ellipse(box, outline=colour, width=max(3, int(min(width, height) * 0.22)))
    else:
        third_x, third_y = width / 3, height / 3
        draw.rectangle((x_min + third_x, y_min, x_max - third_x, y_max - 1), fill=colour)
        draw.rectangle((x_min, y_min + third_y, x_max - 1, y_max - third_y), fill=colour)
