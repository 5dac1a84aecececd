"""PathVQA: Parquet shards read row by row, images told apart by their bytes, official splits."""

from __future__ import annotations

import hashlib

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_medical_vqa import generate_path_vqa
from domainvl.converters.benchmarks.parquet_rows import find_shards
from domainvl.converters.benchmarks.path_vqa import CONVERTER
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

TRAIN, VAL, TEST = "train-*.parquet", "validation-*.parquet", "test-*.parquet"


@pytest.fixture
def path_vqa(tmp_path):
    folder = tmp_path / "path"
    generate_path_vqa(folder, image_count=12, seed=0)
    return folder


def rows_of(folder, pattern):
    files = sorted((folder / "data").glob(pattern))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def rewrite(folder, pattern, change):
    """Change the rows of the only shard that fits a pattern."""
    (file,) = (folder / "data").glob(pattern)
    table = parquet.read_table(file)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), file, row_group_size=3)


def test_med_73_rows_keep_their_numbers_texts_and_splits(path_vqa, tmp_path):
    done = Converted(CONVERTER, path_vqa, tmp_path / "out", leakage="as-published")
    assert done.summary.exit_code is ExitCode.DONE
    for split, pattern, name in ((Split.TRAIN, TRAIN, "train"), (Split.VAL, VAL, "val"), (Split.TEST, TEST, "test")):
        rows = rows_of(path_vqa, pattern)
        samples = {sample.id: sample for sample in done.of_split[split]}
        assert samples.keys() == {f"path-vqa/{name}/{number}" for number in range(len(rows))}
        for number, row in enumerate(rows):
            sample = samples[f"path-vqa/{name}/{number}"]
            content = row["image"]["bytes"]
            assert (sample.question, sample.answer.text) == (row["question"], row["answer"])
            assert sample.images[0].source.sha256 == hashlib.sha256(content).hexdigest()
            assert (done.out / sample.images[0].path).read_bytes() == content
            assert sample.images[0].source.details["answer_type"] == ("CLOSED" if row["answer"] == "yes" else "OPEN")
    assert sum(map(len, done.of_split.values())) == 25


def test_med_71_images_of_the_test_set_are_not_trained_on(path_vqa, tmp_path):
    done = Converted(CONVERTER, path_vqa, tmp_path / "out")
    # The generator trains on the first image of the test set, in the last row of training.
    assert done.reasons() == [("train row 16", "image-in-test")]
    groups = {split: {sample.group for sample in samples} for split, samples in done.of_split.items()}
    assert groups[Split.TRAIN].isdisjoint(groups[Split.TEST] | groups[Split.VAL])
    assert len(done.of_split[Split.TEST]) == 4
    (note,) = done.manifest["notes"]
    assert note.startswith("1 of the 2 images of the official test set also occur in the official train set.")


def test_med_71_the_training_side_on_request(path_vqa, tmp_path):
    done = Converted(CONVERTER, path_vqa, tmp_path / "out", leakage="exclude-train-images")
    assert done.reasons() == [("test row 0", "image-in-train"), ("test row 1", "image-in-train")]
    assert len(done.of_split[Split.TRAIN]) == 17
    assert len(done.of_split[Split.TEST]) == 2


def test_each_image_is_read_once_with_all_its_questions(path_vqa, tmp_path):
    plan = CONVERTER.plan(path_vqa, CONVERTER.settings_type(leakage="as-published"))
    images = [image for unit in plan.units for image in unit.images]
    assert len(images) == len({image.sha256 for image in images}) == 12
    assert sorted(len(image.rows) for image in images) == [2] * 11 + [3]
    # Row groups of 4 in shards of 9, 8, 4 and 4 rows; the second image of the test set is alone with its own.
    assert len({(unit.path.name, unit.row_group) for unit in plan.units}) == len(plan.units)


def test_repeated_rows_are_counted(path_vqa, tmp_path):
    rewrite(path_vqa, TEST, lambda rows: rows.append(rows[1]))
    done = Converted(CONVERTER, path_vqa, tmp_path / "out")
    assert ("test row 4", "row-repeated") in done.reasons()
    assert len(done.of_split[Split.TEST]) == 4


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("answer", None, "field-missing"),
        ("question", "  ", "field-missing"),
        ("image", {"bytes": None, "path": "x.jpg"}, "image-missing"),
        ("image", None, "image-missing"),
        ("image", {"bytes": b"none", "path": None}, "image-decode"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(path_vqa, tmp_path, key, value, reason):
    rewrite(path_vqa, VAL, lambda rows: rows[0].update({key: value}))
    done = Converted(CONVERTER, path_vqa, tmp_path / "out")
    assert [found for _, found in done.reasons() if found != "image-in-test"] == [reason]
    assert len(done.of_split[Split.VAL]) == 3
    assert done.summary.exit_code is ExitCode.PARTIAL


def test_pickle_files_are_refused_unopened_with_a_way_out(tmp_path):
    folder = tmp_path / "pvqa" / "qas" / "train"
    folder.mkdir(parents=True)
    (folder / "train_qa.pkl").write_bytes(b"no pickle: opened, it would be another error")
    with pytest.raises(InputNotFoundError, match="never opened") as error:
        Converted(CONVERTER, tmp_path / "pvqa", tmp_path / "out")
    assert "flaviagiammarino/path-vqa" in error.value.action


def test_a_folder_without_shards_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match=r"no files train-\*"):
        Converted(CONVERTER, tmp_path / "empty", tmp_path / "out")


def test_a_missing_shard_ends_the_conversion(path_vqa, tmp_path):
    (path_vqa / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DatasetError, match="there are 2, got 1"):
        Converted(CONVERTER, path_vqa, tmp_path / "out")


def test_two_editions_of_a_split_are_told_apart(path_vqa):
    (path_vqa / "data" / "test-00000-of-00001-0a1b2c3d.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="Keep one edition"):
        find_shards(path_vqa, {"test": "test"})


def test_shards_come_in_order_and_other_files_are_passed_over(tmp_path):
    names = [
        "train-00001-of-00002-0a1b2c3d.parquet",
        "train-00000-of-00002-99aa.parquet",
        "extra-00000-of-00001.parquet",
    ]
    for name in names:
        folder = tmp_path / ("a" if "00001-of" in name else "b")
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    found = find_shards(tmp_path, {"train": "train"})
    assert {split: [path.name for path in paths] for split, paths in found.items()} == {"train": [names[1], names[0]]}


def test_a_file_that_is_no_parquet_or_lacks_a_column_is_refused(path_vqa, tmp_path):
    (file,) = (path_vqa / "data").glob(TEST)
    table = parquet.read_table(file)
    parquet.write_table(table.drop_columns(["answer"]), file)
    with pytest.raises(DatasetError, match="missing: answer"):
        Converted(CONVERTER, path_vqa, tmp_path / "out")
    file.write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="must be Parquet"):
        Converted(CONVERTER, path_vqa, tmp_path / "out")


def test_without_a_usable_row_there_is_nothing_to_do(path_vqa, tmp_path):
    for pattern in ("train-00001*", "train-00000*", VAL):
        for file in (path_vqa / "data").glob(pattern):
            file.unlink()
    rewrite(path_vqa, TEST, lambda rows: [row.update(answer="") for row in rows])
    with pytest.raises(NothingToDoError, match="no row can be used"):
        Converted(CONVERTER, path_vqa, tmp_path / "out")
