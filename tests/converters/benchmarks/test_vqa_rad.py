"""VQA-RAD: the official test set stays out of training, on a miniature and on the real files."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image as PillowImage
from pydantic import ValidationError

from domainvl.conversion import convert, load_converter
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split, Task, read_manifest, read_samples

CONVERTER = load_converter("vqa-rad")
AS_PUBLISHED = CONVERTER.settings_type(leakage="as-published")
TRAIN_SIDE = CONVERTER.settings_type(leakage="exclude-train-images")


def row(qid, image_name, **fields):
    return {
        "qid": qid,
        "image_name": image_name,
        "image_organ": "CHEST",
        "answer": "Yes",
        "answer_type": "CLOSED ",
        "question_type": "PRES",
        "question": "Is it normal? ",
        "phrase_type": "freeform",
        **fields,
    }


@pytest.fixture
def mini(tmp_path):
    """Six images: 1 to 4 only in training, 5 in both splits, 6 named nowhere."""
    folder = tmp_path / "rad"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        pixels = rng.integers(0, 255, (40, 30 + number, 3), dtype=np.uint8)
        PillowImage.fromarray(pixels).save(folder / "images" / f"synpic{number}.jpg", quality=80)
    train = [row(number, f"synpic{number}.jpg") for number in range(1, 6)]
    train.append(row(6, "synpic1.jpg", question="How many ribs?", answer=12, answer_type="OPEN"))
    train.append(row(7, "synpic5.jpg", answer="no"))
    test = [row(8, "synpic5.jpg", answer="Heart \tlungs", phrase_type="para", image_organ="HEAD")]
    write(folder, train, test)
    return folder


def write(folder, train, test):
    (folder / "trainset.json").write_text(json.dumps(train))
    (folder / "testset.json").write_text(json.dumps(test))


def load(folder, name):
    return json.loads((folder / name).read_text())


def samples_of(out):
    return {split: list(read_samples(out, split)) for split in Split}


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def file_hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_training_questions_about_test_images_are_left_out_and_counted(mini, tmp_path):
    summary = convert(CONVERTER, mini, tmp_path / "out")
    assert summary.exit_code is ExitCode.DONE
    samples = samples_of(tmp_path / "out")
    assert [sample.id for sample in samples[Split.TEST]] == ["vqa-rad/8"]
    assert samples[Split.TEST][0].warnings == ()
    ids = {sample.id for split in (Split.TRAIN, Split.VAL) for sample in samples[split]}
    assert ids == {f"vqa-rad/{number}" for number in (1, 2, 3, 4, 6)}
    left_out = [(item["input"], item["reason"], item["severity"]) for item in rejects_of(tmp_path / "out")]
    assert left_out == [
        ("trainset.json qid 5", "image-in-test", "skipped"),
        ("trainset.json qid 7", "image-in-test", "skipped"),
        ("images/synpic6.jpg", "no-question", "skipped"),
    ]


def test_med_71_test_questions_about_training_images_are_left_out_on_request(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out", TRAIN_SIDE)
    samples = samples_of(tmp_path / "out")
    assert samples[Split.TEST] == []
    assert {sample.id for sample in samples[Split.TRAIN] + samples[Split.VAL]} == {
        f"vqa-rad/{number}" for number in range(1, 8)
    }
    left_out = [(item["input"], item["reason"], item["severity"]) for item in rejects_of(tmp_path / "out")]
    assert ("testset.json qid 8", "image-in-train", "skipped") in left_out
    assert len(left_out) == 2


@pytest.mark.parametrize("settings", [None, TRAIN_SIDE, AS_PUBLISHED])
def test_med_71_the_manifest_says_how_many_test_images_are_trained_on(mini, tmp_path, settings):
    convert(CONVERTER, mini, tmp_path / "out", settings)
    note = read_manifest(tmp_path / "out")["notes"][0]
    assert note.startswith("1 of the 1 images of the official test set also occur in the official train set.")
    assert "2 of 7 in train and 1 of 1 in test" in note


def test_as_published_keeps_them_and_says_so(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out", AS_PUBLISHED)
    samples = samples_of(tmp_path / "out")
    assert {sample.id for sample in samples[Split.TRAIN] + samples[Split.VAL]} == {
        f"vqa-rad/{number}" for number in range(1, 8)
    }
    (test,) = samples[Split.TEST]
    assert test.warnings == ("The image of this test sample was also trained on (--leakage as-published)",)
    assert not any(sample.warnings for sample in samples[Split.TRAIN] + samples[Split.VAL])
    assert read_manifest(tmp_path / "out")["settings"]["leakage"] == "as-published"


def test_a_sample_says_what_the_files_say(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out")
    samples = {sample.id: sample for split in samples_of(tmp_path / "out").values() for sample in split}
    test = samples["vqa-rad/8"]
    assert (test.domain, test.task, test.group) == ("medical", Task.VQA, "synpic5.jpg")
    assert (test.question, test.answer.text) == ("Is it normal?", "Heart lungs")
    assert test.turns[0].text == "<image>\nIs it normal?\nAnswer the question using a single word or phrase."
    source = test.images[0].source
    content = (mini / "images" / "synpic5.jpg").read_bytes()
    assert (source.uri, source.size_bytes) == ("images/synpic5.jpg", len(content))
    assert source.sha256 == hashlib.sha256(content).hexdigest()
    assert source.details == {
        "answer_type": "CLOSED",
        "image_organ": "HEAD",
        "official_split": "test",
        "phrase_type": "para",
        "question_type": "PRES",
    }
    assert samples["vqa-rad/6"].answer.text == "12"
    assert (test.images[0].width_px, test.images[0].height_px) == (35, 40)


def test_samples_come_in_the_order_of_their_images(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out", CONVERTER.settings_type(val_fraction=0.0))
    assert [sample.id for sample in read_samples(tmp_path / "out", Split.TRAIN)] == [
        f"vqa-rad/{number}" for number in (1, 6, 2, 3, 4)
    ]


def test_images_are_copied_byte_for_byte(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out")
    stored = {path.read_bytes() for path in (tmp_path / "out" / "images").rglob("*.jpg")}
    assert stored == {(mini / "images" / f"synpic{number}.jpg").read_bytes() for number in range(1, 6)}


def test_validation_takes_whole_images_of_the_training_set(mini, tmp_path):
    # With 100 images and a fraction of 0.4 the binomial standard deviation is 5: 25 to 55 is three of them.
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    names = [f"p{number}.jpg" for number in range(100)]
    for name in names:
        PillowImage.fromarray(pixels).save(mini / "images" / name)
    train = [row(f"{name}-{index}", name) for name in names for index in range(2)]
    write(mini, train, [row("t", "synpic5.jpg")])
    convert(CONVERTER, mini, tmp_path / "out", CONVERTER.settings_type(val_fraction=0.4))
    samples = samples_of(tmp_path / "out")
    val = {sample.group for sample in samples[Split.VAL]}
    assert 25 <= len(val) <= 55
    assert len(samples[Split.VAL]) == 2 * len(val)
    assert val.isdisjoint(sample.group for sample in samples[Split.TRAIN])


def test_two_runs_give_the_same_bytes(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "a" / "out")
    convert(CONVERTER, mini, tmp_path / "b" / "out")
    first = file_hashes(tmp_path / "a" / "out")
    assert first == file_hashes(tmp_path / "b" / "out")
    assert len(first) == 5 + 8  # images; three splits, rejects, manifest, meta, card, croissant


def test_med_72_missing_and_broken_images_reject_each_of_their_questions(mini, tmp_path):
    (mini / "images" / "synpic1.jpg").unlink()
    broken = mini / "images" / "synpic2.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    summary = convert(CONVERTER, mini, tmp_path / "out")
    assert summary.exit_code is ExitCode.PARTIAL
    failed = [(item["input"], item["reason"]) for item in rejects_of(tmp_path / "out") if item["severity"] == "failed"]
    assert failed == [
        ("trainset.json qid 1", "image-missing"),
        ("trainset.json qid 6", "image-missing"),
        ("trainset.json qid 2", "image-decode"),
    ]


@pytest.mark.parametrize(
    ("bad", "reason", "message"),
    [
        ("text", "row-invalid", "must be an object, got str"),
        (row(90, "synpic1.jpg", answer=None), "field-missing", "answer is missing"),
        (row(90, "synpic1.jpg", question=" \n"), "field-missing", "question is empty"),
        (row(None, "synpic1.jpg"), "field-missing", "qid is missing"),
        (row(90, "synpic1.jpg", answer=["a"]), "row-invalid", "answer must be text or a number"),
        (row(90, "synpic1.jpg", answer=True), "row-invalid", "answer must be text or a number"),
        (row(90, "../images/synpic1.jpg"), "row-invalid", "plain file name"),
        (row(1, "synpic1.jpg"), "qid-repeated", "qid 1 was used before"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(mini, tmp_path, bad, reason, message):
    write(mini, [*load(mini, "trainset.json"), bad], load(mini, "testset.json"))
    summary = convert(CONVERTER, mini, tmp_path / "out")
    assert (summary.sample_count, summary.failed_count) == (6, 1)
    (item,) = [item for item in rejects_of(tmp_path / "out") if item["severity"] == "failed"]
    assert (item["input"], item["reason"]) == ("trainset.json row 8", reason)
    assert message in item["message"]


@pytest.mark.parametrize("name", ["trainset.json", "testset.json", "images"])
def test_an_incomplete_folder_is_refused(mini, tmp_path, name):
    (mini / name).rename(mini / "elsewhere")
    with pytest.raises(InputNotFoundError, match=f"{name} is missing"):
        convert(CONVERTER, mini, tmp_path / "out")


def test_med_72_the_mirror_without_answer_types_is_refused(tmp_path):
    (tmp_path / "rad" / "data").mkdir(parents=True)
    (tmp_path / "rad" / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputNotFoundError, match="without answer_type") as error:
        convert(CONVERTER, tmp_path / "rad", tmp_path / "out")
    assert "testset.json" in error.value.action


@pytest.mark.parametrize(("content", "message"), [("{", "must be JSON"), ("{}", "must be a list, got dict")])
def test_a_file_that_is_no_list_is_refused(mini, tmp_path, content, message):
    (mini / "testset.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        convert(CONVERTER, mini, tmp_path / "out")


def test_without_any_image_there_is_nothing_to_do(mini, tmp_path):
    for path in (mini / "images").iterdir():
        path.unlink()
    with pytest.raises(NothingToDoError, match="none of 5 named images"):
        convert(CONVERTER, mini, tmp_path / "out")


def test_the_test_split_cannot_be_drawn():
    with pytest.raises(ValidationError, match="test_fraction"):
        CONVERTER.settings_type(test_fraction=0.1)


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory):
    """The real data set, converted with the default settings and as published."""
    source = real_data / "medical" / "longle0702__med-v2qa" / "data_RAD"
    out = tmp_path_factory.mktemp("real")
    return convert(CONVERTER, source, out / "safe"), convert(CONVERTER, source, out / "published", AS_PUBLISHED)


def test_med_71_no_real_test_image_is_trained_on(real):
    safe, published = real
    assert safe.exit_code is ExitCode.DONE
    samples = samples_of(safe.out)
    hashes = {split: {sample.images[0].pixel_sha256 for sample in samples[split]} for split in Split}
    assert len(samples[Split.TEST]) == 451
    assert len(hashes[Split.TEST]) == 203
    assert hashes[Split.TEST].isdisjoint(hashes[Split.TRAIN] | hashes[Split.VAL])
    assert hashes[Split.VAL].isdisjoint(hashes[Split.TRAIN])
    skipped = Counter(item["reason"] for item in rejects_of(safe.out))
    kept = len(samples[Split.TRAIN]) + len(samples[Split.VAL])
    assert kept + skipped["image-in-test"] == 3064
    # 314 of the 315 images are asked about.
    assert skipped["no-question"] == 1
    assert len(set.union(*hashes.values())) == 314
    published_samples = samples_of(published.out)
    assert len(published_samples[Split.TRAIN]) + len(published_samples[Split.VAL]) == 3064
    seen = {sample.images[0].pixel_sha256 for split in (Split.TRAIN, Split.VAL) for sample in published_samples[split]}
    assert hashes[Split.TEST] <= seen


def test_med_71_real_notes_count_the_test_images_in_training_and_name_both_ways_out(real, real_data):
    folder = real_data / "medical" / "longle0702__med-v2qa" / "data_RAD"
    train, test = (json.loads((folder / name).read_text()) for name in ("trainset.json", "testset.json"))
    tested = {row["image_name"] for row in test}
    shared = sum(row["image_name"] in tested for row in train)
    safe, published = real
    for summary, others in (
        (safe, ("exclude-train-images", "as-published")),
        (published, ("exclude-test-images", "exclude-train-images")),
    ):
        note = read_manifest(summary.out)["notes"][0]
        assert note.startswith("203 of the 203 images of the official test set also occur in the official train set.")
        assert f"{shared} of 3064 in train and 451 of 451 in test" in note
        assert all(f"--leakage {other} " in note for other in others)


def test_med_71_the_training_side_of_the_real_set_holds_no_test_question(real_data, tmp_path):
    folder = real_data / "medical" / "longle0702__med-v2qa" / "data_RAD"
    summary = convert(CONVERTER, folder, tmp_path / "out", TRAIN_SIDE)
    samples = samples_of(summary.out)
    assert samples[Split.TEST] == []
    assert len(samples[Split.TRAIN]) + len(samples[Split.VAL]) == 3064


def test_med_72_real_answers_that_are_no_text_become_text(real, real_data):
    folder = real_data / "medical" / "longle0702__med-v2qa" / "data_RAD"
    rows = [row for name in ("trainset.json", "testset.json") for row in json.loads((folder / name).read_text())]
    numbers = {f"vqa-rad/{row['qid']}": str(row["answer"]) for row in rows if not isinstance(row["answer"], str)}
    assert len(numbers) == 10
    _, published = real
    samples = {sample.id: sample for split in samples_of(published.out).values() for sample in split}
    assert {name: samples[name].answer.text for name in numbers} == numbers


def test_med_72_real_answers_are_text_and_types_are_clean(real):
    _, published = real
    samples = [sample for split in samples_of(published.out).values() for sample in split]
    types = Counter(sample.images[0].source.details["answer_type"] for sample in samples)
    assert set(types) == {"CLOSED", "OPEN"}
    ribs = [sample.answer.text for sample in samples if sample.question == "How many ribs are there?"]
    assert "12" in ribs
