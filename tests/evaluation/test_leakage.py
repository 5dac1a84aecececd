"""Held-out samples that a system was trained on."""

from collections.abc import Callable, Sequence

from domainvl.evaluation.leakage import find_leak
from domainvl.model.trained_on import trained_on
from domainvl.schema import Image, Sample, Source
from domainvl.schema.sample import EXAMPLE_OF, MADE_OF

SampleMaker = Callable[..., Sample]


def image(pixels: str, *, made_of: Sequence[str] = (), example_of: str | None = None) -> Image:
    details = {**({MADE_OF: list(made_of)} if made_of else {}), **({EXAMPLE_OF: example_of} if example_of else {})}
    return Image(path="a.png", width_px=9, height_px=9, pixel_sha256=pixels, source=Source(uri="a", details=details))


def sample(make: SampleMaker, name: str, group: str, *images: Image) -> Sample:
    return make(name, group=group).model_copy(update={"images": images})


def test_patient_picture_and_stitched_view_are_found(make_sample: SampleMaker) -> None:
    """Each alone: a patient with new pictures, a picture under another patient, a view of a stitched picture."""
    seen = trained_on(
        [
            sample(make_sample, "train/1", "patient 1", image("a")),
            sample(make_sample, "train/2", "patient 2", image("b"), image("c", made_of=["left", "right"])),
        ]
    )
    held_out = [
        sample(make_sample, "clean", "patient 9", image("x"), image("y", made_of=["front"])),
        sample(make_sample, "same patient", "patient 1", image("new")),
        sample(make_sample, "same patient again", "patient 1", image("newer")),
        sample(make_sample, "same picture", "patient 8", image("b")),
        sample(make_sample, "same view", "patient 7", image("new whole", made_of=["middle", "right"])),
    ]
    leak = find_leak("adapted", seen, held_out)
    assert leak is not None
    assert (leak.system, leak.groups, leak.images, leak.samples) == ("adapted", 1, 2, 4)
    assert leak.examples == ("same patient", "same patient again", "same picture")
    assert find_leak("adapted", seen, held_out[:1]) is None


def test_solved_examples_before_a_question_are_meant_to_be_training_images(make_sample: SampleMaker) -> None:
    seen = trained_on([sample(make_sample, "train/1", "patient 1", image("a"))])
    shown, own = image("a", example_of="train/1"), image("x")
    assert find_leak("adapted", seen, [sample(make_sample, "held out", "patient 2", shown, own)]) is None
    assert find_leak("adapted", seen, [sample(make_sample, "held out", "patient 2", image("a"), own)]) is not None


def test_images_of_solved_examples_were_trained_on(make_sample: SampleMaker) -> None:
    shown = sample(make_sample, "train/1", "patient 1", image("a", example_of="train/2"), image("b"))
    leak = find_leak("adapted", trained_on([shown]), [sample(make_sample, "held out", "patient 2", image("a"))])
    assert leak is not None
    assert (leak.groups, leak.images) == (0, 1)
