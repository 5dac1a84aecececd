"""PMC-VQA: both versions, options in their order, and papers that both official sets share."""

from __future__ import annotations

import csv

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_medical_vqa import generate_pmc_vqa
from domainvl.converters.benchmarks.pmc_vqa import CONVERTER
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task

OPTIONS = ("No organ", "One organ", "Two organs", "Cannot be determined")


@pytest.fixture
def pmc(tmp_path):
    folder = tmp_path / "pmc"
    generate_pmc_vqa(folder, paper_count=9, seed=0)
    return folder


def load(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def save(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def change(path, **fields):
    rows = load(path)
    rows[0].update({key.replace("_", " ") if key.startswith("Choice") else key: value for key, value in fields.items()})
    save(path, rows)


@pytest.mark.parametrize(("version", "suffix", "folder"), [("1", "", "images"), ("2", "_2", "figures")])
def test_med_73_options_keep_their_order_and_the_label_tells_the_right_one(tmp_path, version, suffix, folder):
    source = tmp_path / "pmc"
    generate_pmc_vqa(source, paper_count=9, seed=0, version=version)
    done = Converted(CONVERTER, source, tmp_path / "out", leakage="as-published")
    assert done.summary.exit_code is ExitCode.DONE
    rows = {
        f"pmc-vqa/{split}{suffix}/{number}": row
        for split in ("train", "test")
        for number, row in enumerate(load(source / f"{split}{suffix}.csv"), start=1)
    }
    assert rows.keys() == done.samples.keys()
    for name, row in rows.items():
        sample = done.samples[name]
        assert (sample.task, sample.question, sample.answer.options) == (Task.MULTIPLE_CHOICE, row["Question"], OPTIONS)
        assert "ABCD"[sample.answer.correct] == row["Answer_label" if version == "1" else "Answer"]
        assert sample.images[0].source.uri == f"{folder}/{row['Figure_path']}"
        assert (sample.split is Split.TEST) == ("/test" in name)
    assert len(done.of_split[Split.TEST]) == 5
    first = done.samples[f"pmc-vqa/train{suffix}/1"]
    assert "\nA. No organ\nB. One organ\nC. Two organs\nD. Cannot be determined\n" in first.turns[0].text


def test_med_71_no_paper_of_the_test_set_is_trained_on(pmc, tmp_path):
    done = Converted(CONVERTER, pmc, tmp_path / "out")
    # The generator trains on the second figure of the first paper, whose first is tested on.
    assert done.reasons() == [("train.csv row 1", "image-in-test")]
    groups = {split: {sample.group for sample in samples} for split, samples in done.of_split.items()}
    assert groups[Split.TEST] == {"PMC1000", "PMC1001", "PMC1002"}
    assert groups[Split.TEST].isdisjoint(groups[Split.TRAIN] | groups[Split.VAL])
    assert groups[Split.TRAIN].isdisjoint(groups[Split.VAL])
    assert done.manifest["notes"][0].startswith("1 of the 3 papers of the official test set also occur")


def test_med_71_the_training_side_on_request(pmc, tmp_path):
    done = Converted(CONVERTER, pmc, tmp_path / "out", leakage="exclude-train-images")
    assert done.reasons() == [("test.csv row 1", "image-in-train")]
    assert len(done.of_split[Split.TEST]) == 4


def test_med_71_as_published_says_which_papers_were_trained_on(pmc, tmp_path):
    done = Converted(CONVERTER, pmc, tmp_path / "out", leakage="as-published")
    warned = {sample.id: sample.warnings for sample in done.samples.values() if sample.warnings}
    assert warned.keys() == {"pmc-vqa/test/1"}
    assert "The paper of this test sample" in warned["pmc-vqa/test/1"][0]


def test_by_image_no_image_is_shared(pmc, tmp_path):
    done = Converted(CONVERTER, pmc, tmp_path / "out", group_by="image")
    assert done.rejects == []
    assert "PMC1000_F2.jpg" in {sample.group for sample in done.of_split[Split.TRAIN] + done.of_split[Split.VAL]}


def test_the_clean_test_set_takes_the_place_of_the_whole_one(pmc, tmp_path):
    done = Converted(CONVERTER, pmc, tmp_path / "out", test_set="clean")
    assert done.ids(Split.TEST) == ["pmc-vqa/test_clean/1"]
    (pmc / "test.csv").unlink()
    with pytest.raises(UsageError, match="--test-set clean"):
        Converted(CONVERTER, pmc, tmp_path / "other")


def test_both_versions_in_one_folder_need_a_choice(pmc, tmp_path):
    generate_pmc_vqa(pmc, paper_count=3, seed=0, version="2")
    with pytest.raises(UsageError, match="--version 1 or --version 2"):
        Converted(CONVERTER, pmc, tmp_path / "out")
    done = Converted(CONVERTER, pmc, tmp_path / "out", version="2")
    assert all(name.startswith(("pmc-vqa/train_2/", "pmc-vqa/test_2/")) for name in done.samples)
    with pytest.raises(UsageError, match="of version 1"):
        Converted(CONVERTER, pmc, tmp_path / "other", version="2", test_set="clean")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Answer_label": "E"}, "answer-unknown"),
        ({"Answer_label": ""}, "field-missing"),
        ({"Answer": "Three organs"}, "answer-mismatch"),
        ({"Choice_C": " C: "}, "field-missing"),
        ({"Question": ""}, "field-missing"),
        ({"Figure_path": "../PMC1.jpg"}, "row-invalid"),
        ({"Figure_path": "PMC7_F1.jpg"}, "image-missing"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(pmc, tmp_path, fields, reason):
    change(pmc / "test.csv", **fields)
    done = Converted(CONVERTER, pmc, tmp_path / "out", group_by="image")
    reasons = [found for _, found in done.reasons()]
    assert [found for found in reasons if found != "no-question"] == [reason]
    assert len(done.of_split[Split.TEST]) == 4
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_an_answer_may_stand_with_its_letter_and_in_other_case(pmc, tmp_path):
    row = load(pmc / "test.csv")[0]
    letter = row["Answer_label"]
    change(pmc / "test.csv", Answer=f"{letter}: {row['Answer'].upper()}")
    done = Converted(CONVERTER, pmc, tmp_path / "out")
    assert "ABCD"[done.samples["pmc-vqa/test/1"].answer.correct] == letter


def test_a_row_with_more_cells_than_columns_is_rejected(pmc, tmp_path):
    with (pmc / "test.csv").open("a", encoding="utf-8") as file:
        file.write("PMC1000_F1.jpg,What?,No organ, A:No organ, B:One, C:Two, D:None,A,beyond\n")
    done = Converted(CONVERTER, pmc, tmp_path / "out")
    assert ("test.csv row 6", "row-invalid") in done.reasons()


def test_images_that_nothing_is_asked_about_are_counted(pmc, tmp_path):
    save(pmc / "train.csv", load(pmc / "train.csv")[:3])
    done = Converted(CONVERTER, pmc, tmp_path / "out", group_by="image")
    assert done.reasons() == [("images", "no-question")]
    assert done.rejects[0]["message"].endswith("10 of its 18 images")


@pytest.mark.parametrize("folder", ["images/images", "."])
def test_images_are_found_where_archives_unpack(pmc, tmp_path, folder):
    (pmc / "images").rename(pmc / "unpacked")
    target = pmc / folder
    target.mkdir(parents=True, exist_ok=True)
    for path in (pmc / "unpacked").iterdir():
        path.rename(target / path.name)
    done = Converted(CONVERTER, pmc, tmp_path / "out")
    assert len(done.samples) == 17


def test_an_archive_must_be_unpacked(pmc, tmp_path):
    (pmc / "images").rename(tmp_path / "elsewhere")
    (pmc / "images.zip").touch()
    with pytest.raises(InputNotFoundError, match="not unpacked") as error:
        Converted(CONVERTER, pmc, tmp_path / "out")
    assert "unzip images.zip" in error.value.action
    (pmc / "images.zip").unlink()
    with pytest.raises(InputNotFoundError, match="Cannot find the images"):
        Converted(CONVERTER, pmc, tmp_path / "out")


def test_an_incomplete_folder_is_refused(pmc, tmp_path):
    with pytest.raises(InputNotFoundError, match="neither train.csv"):
        Converted(CONVERTER, pmc / "images", tmp_path / "out")
    with pytest.raises(InputNotFoundError, match="is missing"):
        Converted(CONVERTER, pmc, tmp_path / "out", version="2")
    (pmc / "train.csv").unlink()
    assert {sample.split for sample in Converted(CONVERTER, pmc, tmp_path / "out").samples.values()} == {Split.TEST}


def test_files_of_another_layout_are_refused(pmc, tmp_path):
    (pmc / "test.csv").write_text("Figure_path,Question\nPMC1.jpg,What?\n")
    with pytest.raises(DatasetError, match="missing: Answer"):
        Converted(CONVERTER, pmc, tmp_path / "out")
    (pmc / "test.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="CSV in UTF-8"):
        Converted(CONVERTER, pmc, tmp_path / "out")


def test_without_a_usable_row_there_is_nothing_to_do(pmc, tmp_path):
    for name in ("train", "test"):
        save(pmc / f"{name}.csv", [{**row, "Question": ""} for row in load(pmc / f"{name}.csv")])
    with pytest.raises(NothingToDoError, match="no row can be used"):
        Converted(CONVERTER, pmc, tmp_path / "out")
