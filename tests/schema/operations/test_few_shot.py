"""Solved examples before samples: where they may come from, their order, and what is left of the sample."""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from builders import make_image, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_sets import Given, content_of, edit_lines, images_in, images_of, samples_of, write_set

from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import (
    WORDING_VERSION,
    BoxesAnswer,
    CountAnswer,
    DatasetWriter,
    Object,
    Question,
    Source,
    Split,
    Task,
    TextAnswer,
    Turn,
    read_manifest,
    read_samples,
    samples_from_questions,
    word_sample,
)
from domainvl.schema.operations.few_shot import (
    FewShotSettings,
    few_shot_dataset,
    with_examples,
)
from domainvl.schema.sample import EXAMPLE_OF, MADE_OF
from domainvl.schema.validation import ValidationOptions, validate

TRAIN, VAL, TEST = Split


@pytest.fixture
def scans(tmp_path):
    """12 patients with two images each, of which two questions are asked; the last four are held out."""
    samples = []
    for patient, image, question in itertools.product(range(12), range(2), range(2)):
        split = TRAIN if patient < 8 else (VAL, TEST)[patient % 2]
        fields = {"question": f"Question {question} of {patient}.{image}?", "answer": TextAnswer(text=f"a{patient}")}
        samples.append(Given(f"{patient}.{image}.{question}", f"p{patient}", split, [10 * patient + 3 * image], fields))
    return write_set(tmp_path / "scans", samples)


def make(dataset, name="out", features=None, **chosen):
    summary = few_shot_dataset(dataset, dataset.parent / name, FewShotSettings(**chosen), features=features)
    return dataset.parent / name, summary


def grey_features(dataset):
    """A picture of grey g points in the direction (1, g / 100): the nearest greys are the most alike."""

    def look(images):
        from PIL import Image as PillowImage

        greys = []
        for image in images:
            with PillowImage.open(dataset / image.path) as opened:
                greys.append(opened.getpixel((0, 0)))
        return np.stack([np.ones(len(greys)), np.array(greys) / 100], axis=1).astype(np.float32)

    return look


def examples_of(sample):
    """Ids of the examples, in order."""
    return [image.source.details[EXAMPLE_OF] for image in sample.images if EXAMPLE_OF in image.source.details]


def test_the_conversation_is_the_examples_and_then_the_sample(scans):
    out, _ = make(scans, shots=2, seed=3)
    before, after = samples_of(scans), samples_of(out)
    sample = after["3.1.0"]
    first, second = (before[name] for name in examples_of(sample))
    assert sample.turns == first.turns + second.turns + before["3.1.0"].turns
    assert [turn.text.count("<image>") for turn in sample.turns] == [1, 0, 1, 0, 1, 0]
    assert [image.pixel_sha256 for image in sample.images] == [
        one.images[0].pixel_sha256 for one in (first, second, before["3.1.0"])
    ]
    # What was true of it stays: the question, the answer, the group, the split.
    kept = ("id", "domain", "task", "question", "answer", "split", "group", "objects", "preface")
    assert all(getattr(sample, key) == getattr(before["3.1.0"], key) for key in kept)
    assert sample.earlier == sample.turns[:4]
    assert sample.provenance == before["3.1.0"].provenance
    assert all(word_sample(one) == one.turns for one in after.values())


@pytest.mark.parametrize("by", ["random", "similar"])
@pytest.mark.parametrize("held_out_too", [False, True])
def test_nothing_leaks(scans, by, held_out_too):
    features = grey_features(scans) if by == "similar" else None
    out, summary = make(scans, features=features, by=by, held_out_too=held_out_too)
    before, after = samples_of(scans), samples_of(out)
    assert after.keys() == before.keys()
    for name, sample in after.items():
        if sample.split is not TRAIN and not held_out_too:
            assert sample == before[name]
            continue
        examples = [before[example] for example in examples_of(sample)]
        assert len(examples) == 2
        assert all(example.split is TRAIN for example in examples)
        assert all(example.group != sample.group for example in examples)
        shown = [image.pixel_sha256 for image in sample.images]
        assert len(set(shown)) == 3
    assert summary.unchanged_count == (0 if held_out_too else 16)
    assert summary.few_shot_count == 48 - summary.unchanged_count


def test_the_same_group_is_allowed_where_asked_for_but_never_the_same_pixels(tmp_path):
    one = write_set(
        tmp_path / "one", [Given("a", "g", greys=[1]), Given("b", "g", greys=[1]), Given("c", "g", greys=[2])]
    )
    with pytest.raises(NothingToDoError, match="3 too-few-examples"):
        make(one, shots=1)
    out, _ = make(one, shots=1, same_group=True)
    found = {name: examples_of(sample) for name, sample in samples_of(out).items()}
    assert found["a"] == found["b"] == ["c"]
    assert found["c"][0] in ("a", "b")


def test_equal_pixels_of_another_group_are_no_example(tmp_path):
    """One image under two patients' names, by another encoding even, and an image that a stitched one was made of."""
    one = write_set(
        tmp_path / "one",
        [
            Given("a", "g1", greys=[1]),
            Given("b", "g2", greys=[1]),
            Given("c", "g3", greys=[2]),
            Given("d", "g4", greys=[3]),
        ],
    )
    grey_1 = samples_of(one)["a"].images[0].pixel_sha256

    def stitch(record):
        if record["id"] == "c":
            record["domainvl"]["images"][0]["source"]["details"] = {MADE_OF: [grey_1]}
        return record

    edit_lines(one, TRAIN, stitch)
    out, _ = make(one, shots=1)
    found = {name: examples_of(sample) for name, sample in samples_of(out).items()}
    assert found["a"] == found["b"] == found["c"] == ["d"]
    with pytest.raises(NothingToDoError, match="3 too-few-examples, 1 too-many-images"):
        make(one, "two", shots=2)  # what d might have beside a shows the same as a


def test_examples_are_of_the_same_task_and_domain(tmp_path):
    counting = {"task": Task.COUNTING, "answer": CountAnswer(count=1)}
    samples = [Given(f"v{n}", f"v{n}", greys=[n]) for n in range(4)]
    samples += [Given(f"c{n}", f"c{n}", greys=[10 + n], fields=counting) for n in range(4)]
    samples += [Given(f"m{n}", f"m{n}", greys=[20 + n], fields={"domain": "medical"}) for n in range(4)]
    one = write_set(tmp_path / "one", samples)
    out, _ = make(one, shots=3, max_images=4)
    for name, sample in samples_of(out).items():
        assert {example[0] for example in examples_of(sample)} == {name[0]}
    mixed, _ = make(one, "mixed", shots=3, max_images=4, any_task=True)
    assert any(example[0] != name[0] for name, sample in samples_of(mixed).items() for example in examples_of(sample))


def test_the_most_similar_is_placed_last(tmp_path):
    """Greys 0, 30, 60, ...: of 30 the nearest directions are those of 60, 0 and 90, in this order, by hand."""
    one = write_set(tmp_path / "one", [Given(f"s{n}", f"g{n}", greys=[30 * n]) for n in range(6)])
    out, _ = make(one, features=grey_features(one), by="similar", shots=3)
    angles = np.arctan(np.arange(6) * 0.3)
    for name, sample in samples_of(out).items():
        own = int(name[1:])
        nearest = sorted((n for n in range(6) if n != own), key=lambda n: abs(angles[n] - angles[own]))
        assert examples_of(sample) == [f"s{n}" for n in nearest[:3]][::-1]


def test_one_question_is_drawn_of_an_image(scans):
    out, _ = make(scans)
    drawn = Counter(name for sample in samples_of(out).values() for name in examples_of(sample))
    assert {name.split(".")[2] for name in drawn} == {"0", "1"}
    assert len(drawn) > 20  # of 32: not the same few for all
    other, _ = make(scans, "other", seed=1)
    assert [examples_of(sample) for sample in samples_of(out).values()] != [
        examples_of(sample) for sample in samples_of(other).values()
    ]


@pytest.mark.parametrize("by", ["random", "similar"])
def test_equal_input_gives_equal_bytes_in_any_order(scans, by):
    features = grey_features(scans) if by == "similar" else None
    make(scans, "a", features=features, by=by)
    first = content_of(scans.parent / "a")
    make(scans, "b", features=features, by=by)
    lines = (scans / "train.jsonl").read_bytes().splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    (scans / "train.jsonl").write_bytes(b"".join(lines))
    make(scans, "shuffled", features=features, by=by)
    again, shuffled = (content_of(scans.parent / name) for name in ("b", "shuffled"))
    assert again["train.jsonl"] == first["train.jsonl"]
    assert shuffled["train.jsonl"] != first["train.jsonl"]
    assert sorted(shuffled["train.jsonl"].splitlines()) == sorted(first["train.jsonl"].splitlines())


def test_the_images_of_all_together_are_limited(tmp_path):
    """Pictures of one, two and three images; with room for four in all, one of three can take a single image only."""
    counts = {"a": 1, "b": 1, "c": 1, "d": 2, "e": 3}
    greys = iter(range(20))
    samples = [Given(name, name, greys=[next(greys) for _ in range(count)]) for name, count in counts.items()]
    out, summary = make(write_set(tmp_path / "one", samples), shots=1, max_images=4)
    made = samples_of(out)
    assert {name: len(sample.images) <= 4 for name, sample in made.items()} == dict.fromkeys("abcde", True)
    assert examples_of(made["e"])[0] in ("a", "b", "c")
    assert not summary.left_out
    out, summary = make(tmp_path / "one", "two", shots=2, max_images=4)
    assert summary.left_out == {"too-many-images": 1}  # 3 + 1 + 1
    assert "e" not in samples_of(out)
    (reject,) = (line for line in (out / "rejects.jsonl").read_text().splitlines())
    assert '"too-many-images"' in reject
    assert '"skipped"' in reject


def test_samples_without_an_image_are_left_out_and_counted(tmp_path):
    one = write_set(
        tmp_path / "one", [Given("t", "t", greys=[]), Given("a", "a", greys=[1]), Given("b", "b", greys=[2])]
    )
    out, summary = make(one, shots=1)
    assert summary.left_out == {"no-image": 1}
    assert samples_of(out).keys() == {"a", "b"}
    assert read_manifest(out)["rejects"] == [
        {"severity": "skipped", "stage": "few-shot", "reason": "no-image", "count": 1}
    ]


def test_objects_earlier_rounds_and_several_images_move_along(tmp_path):
    thing = Object(id="1", label="car", image=1, box_px=(10, 20, 30, 40))
    fields = {"task": Task.GROUNDING, "question": "car", "answer": BoxesAnswer(object_ids=("1",)), "objects": [thing]}
    one = write_set(
        tmp_path / "one", [Given(f"s{n}", f"g{n}", greys=[2 * n, 2 * n + 1], fields=fields) for n in range(2)]
    )
    out, _ = make(one, shots=1)
    before, after = samples_of(one)["s0"], samples_of(out)["s0"]
    assert [(part.image, part.box_px) for part in after.objects] == [(3, (10, 20, 30, 40))]
    assert after.turns[2:] == before.turns
    assert after.turns[2].text.startswith("Image-1: <image>\nImage-2: <image>\n")
    assert word_sample(after) == after.turns


def test_without_examples_a_sample_stays_as_it_is():
    sample = make_sample(question="What is it?", preface=None)
    assert with_examples(sample, []) == sample


TALK = (Turn(role="human", text="Look at the <ref>car</ref>."), Turn(role="assistant", text="I do."))


@pytest.mark.parametrize("earlier", [(), TALK])
@pytest.mark.parametrize("preface", [None, "0.3 m per pixel."])
@pytest.mark.parametrize("names", [{}, {"view": "CAM_FRONT"}, {"frame": 3}])
@pytest.mark.parametrize("image_count", [1, 2])
def test_the_wording_writes_what_stands_there(earlier, preface, names, image_count):
    """The sample and its examples, each with rounds of its own or not: worded again the turns are the same."""

    def build(name):
        images = [make_image(f"images/{name}{index}.png", **names) for index in range(image_count)]
        question = Question("q", Task.VQA, f"What is {name}?", TextAnswer(text=name), earlier=earlier, preface=preface)
        common = {"domain": "general", "group": name, "provenance": make_sample().provenance}
        (sample,) = samples_from_questions([question], id_prefix=name, images=images, **common)
        return sample

    first, second, asked = (build(name) for name in "abc")
    sample = with_examples(asked, [first, second])
    assert sample.turns == first.turns + second.turns + asked.turns
    assert word_sample(sample) == sample.turns
    further = with_examples(sample, [build("d"), build("e")])
    assert further.turns[-len(sample.turns) :] == sample.turns
    assert word_sample(further) == further.turns


def test_what_would_be_worded_otherwise_before_a_question_is_no_example(tmp_path):
    """A name with a "<" in it is marked where it is asked for; in an earlier round the mark would be escaped."""

    def fields(label):
        thing = Object(id="1", label=label, box_px=(10, 20, 30, 40))
        return {
            "task": Task.GROUNDING,
            "question": label,
            "answer": BoxesAnswer(object_ids=("1",)),
            "objects": [thing],
        }

    labels = ("car", "area < 5 ha", "car")
    samples = [Given(f"s{n}", f"g{n}", greys=[n], fields=fields(label)) for n, label in enumerate(labels)]
    out, _ = make(write_set(tmp_path / "one", samples), shots=1)
    made = samples_of(out)
    assert (examples_of(made["s0"]), examples_of(made["s2"])) == (["s2"], ["s0"])
    assert examples_of(made["s1"])[0] in ("s0", "s2")
    assert all(word_sample(sample) == sample.turns for sample in made.values())


def test_all_images_in_use_are_there_and_no_others(scans):
    out, _ = make(scans)
    assert images_in(out) == images_of(samples_of(out).values()) == images_in(scans)


def write_noise(folder: Path) -> Path:
    """Eight patients with an image of noise each, two of them held out; in each image a box is asked for."""
    generator = np.random.default_rng(1)
    with DatasetWriter(folder, name="noise") as writer:
        for number in range(8):
            pixels = generator.integers(0, 255, (100, 200), np.uint8)
            made_of = {MADE_OF: [f"{number:064}"]}  # of something that is nowhere by itself
            image = writer.images.put_pixels(pixels).to_image(Source(uri=f"{number}.tif", details=made_of))
            car = Object(id="1", label="car", box_px=(10, 20, 30, 40))
            sample = make_sample(
                f"s{number}",
                task=Task.GROUNDING,
                question="the car",
                answer=BoxesAnswer(object_ids=("1",)),
                images=[image],
                objects=[car],
                group=f"g{number}",
                split=VAL if number > 5 else TRAIN,
            )
            provenance = sample.provenance.model_copy(update={"wording": WORDING_VERSION})
            writer.add(sample.model_copy(update={"provenance": provenance}))
        writer.finish(command="toy", settings={}, sources=[], versions={"domainvl": "0"}, licence="CC0-1.0")
    return folder


@pytest.mark.parametrize("held_out_too", [False, True])
def test_the_result_is_valid(tmp_path, held_out_too):
    """A held-out sample that shows training images is what was asked for, and validate says how many there are."""
    noise = write_noise(tmp_path / "noise")
    out, summary = make(noise, held_out_too=held_out_too)
    assert validate(noise, ValidationOptions()).findings == []
    report = validate(out, ValidationOptions())
    assert report.findings == []
    assert summary.held_out_count == (2 if held_out_too else 0)
    assert report.unchecked == ({"images that held-out samples show as solved examples": 4} if held_out_too else {})


def test_a_held_out_image_as_an_example_is_a_leak(tmp_path):
    """Whatever shows it: before a training sample it would be trained on, before a test sample it tells its answer."""
    out, _ = make(write_noise(tmp_path / "noise"), shots=1, held_out_too=True)
    held_out = read_samples(out, VAL)
    leaking = next(held_out).images[1].model_dump(mode="json")

    for split in (TRAIN, VAL):
        folder = Path(shutil.copytree(out, tmp_path / split.value))
        done = []

        def show(record, done=done):
            if not done and leaking["path"] not in record["image"]:
                done.append(record["id"])
                record["image"][0] = leaking["path"]
                record["domainvl"]["images"][0]["pixel_sha256"] = leaking["pixel_sha256"]
            return record

        edit_lines(folder, split, show)
        assert done
        for pixels in (True, False):  # by the file, or as the record says
            assert "image-in-two-splits" in validate(folder, ValidationOptions(pixels=pixels)).counts


def test_the_manifest_says_once_that_images_lie_in_several_groups(scans):
    for held_out_too in (False, True):
        out, _ = make(scans, f"out-{held_out_too}", held_out_too=held_out_too)
        (note,) = read_manifest(out)["notes"]
        assert "images therefore lie in several groups" in note
        assert ("16 of these samples are held out, and show training images" in note) is held_out_too


def test_examples_can_be_put_before_a_set_that_has_examples(scans):
    out, _ = make(scans, shots=1)
    again, _ = make(out, "again", shots=1)
    for sample in read_samples(again, TRAIN):
        shown = [image.pixel_sha256 for image in sample.images]
        assert len(shown) == len(set(shown)) == 4
        assert len(sample.turns) == 8
        assert word_sample(sample) == sample.turns


def test_what_was_done_is_in_the_manifest(scans):
    out, _ = make(scans, seed=4)
    manifest = read_manifest(out)
    told = {key: value for key, value in manifest["settings"].items() if key != "data_set"}
    assert manifest["command"] == "few-shot"
    assert told == {
        "shots": 2, "by": "random", "features": None, "seed": 4, "same_group": False, "any_task": False,
        "max_images": 6, "held_out_too": False,
    }  # fmt: skip
    assert manifest["settings"]["data_set"]["name"] == "scans"
    assert "32 samples show 2 solved examples" in manifest["notes"][0]


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ({"shots": 0}, "--shots must be 1 or more, got 0"),
        ({"shots": 6}, "--max-images must be above 6, the number of shots, got 6"),
        ({"by": "similar"}, "--by similar needs a model"),
    ],
)
def test_what_makes_no_sense_is_refused(scans, chosen, rule):
    with pytest.raises(UsageError, match=rule):
        make(scans, **chosen)
    with pytest.raises(UsageError, match="--features is for --by similar"):
        make(scans, features=grey_features(scans))
    assert [path.name for path in scans.parent.iterdir()] == ["scans"]


@settings(max_examples=25, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1, max_size=3)), min_size=2, max_size=14
    ),
    shots=st.integers(1, 3),
    same_group=st.booleans(),
    seed=st.integers(0, 3),
)
def test_no_sample_shows_anything_twice_or_too_much(tmp_path_factory, members, shots, same_group, seed):
    folder = tmp_path_factory.mktemp("few-shot")
    samples = [Given(f"s{n}", f"g{group}", greys=greys) for n, (group, greys) in enumerate(members)]
    one = write_set(folder / "one", samples)
    try:
        out, summary = make(one, shots=shots, same_group=same_group, seed=seed)
    except NothingToDoError:
        return
    before, after = samples_of(one), samples_of(out)
    assert len(after) + sum(summary.left_out.values()) == len(before)
    for name, sample in after.items():
        assert len(sample.images) <= 6
        examples = list(dict.fromkeys(examples_of(sample)))
        assert len(examples) == shots
        sets = [{image.pixel_sha256 for image in before[one].images} for one in (*examples, name)]
        assert all(ones.isdisjoint(others) for ones, others in itertools.combinations(sets, 2))
        assert same_group or all(before[one].group != sample.group for one in examples)
