"""GMAI-MMBench: tables of any size row by row, groups kept, equal images once, answers that are withheld counted."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest

from domainvl.conversion import convert
from domainvl.converters.benchmarks import gmai_mmbench
from domainvl.converters.benchmarks.generate_medical_choices import generate_gmai_mmbench
from domainvl.converters.benchmarks.gmai_mmbench import CONVERTER
from domainvl.converters.benchmarks.gmai_mmbench_files import Table, split_fields
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split
from domainvl.schema.exchange import export_dataset
from domainvl.schema.reader import read_manifest, read_samples

pd = pytest.importorskip("pandas")
VAL = "GMAI_mm_bench_VAL.tsv"


@pytest.fixture
def mini(tmp_path):
    generate_gmai_mmbench(tmp_path / "gmai", row_count=6)
    return tmp_path / "gmai"


def table_of(folder):
    return pd.read_csv(folder / VAL, sep="\t", dtype=str, keep_default_na=False)


def write(folder, table):
    """As the makers write it."""
    table.to_csv(folder / VAL, sep="\t", index=False)


def all_samples(out):
    return [sample for split in Split for sample in read_samples(out, split)]


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def test_med_73_gmai_rows_keep_their_groups_and_val_is_for_testing(mini, tmp_path):
    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert (summary.sample_count, summary.exit_code) == (6, ExitCode.DONE)
    samples = all_samples(tmp_path / "out")
    table = table_of(mini)
    for sample, row in zip(samples, table.to_dict("records"), strict=True):
        assert sample.split is Split.TEST
        assert sample.question == row["question"]
        assert sample.answer.options == (row["A"], row["B"], row["C"], row["D"])
        assert "ABCD"[sample.answer.correct] == row["answer"]
        details = sample.images[0].source.details
        for group in ("clinical vqa task", "department", "perceptual granularity", "category", "modality"):
            assert details[group] == row[group]
        content = (tmp_path / "out" / sample.images[0].path).read_bytes()
        assert content == base64.b64decode(row["image"])
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 3  # each is in two rows
    assert len({sample.group for sample in samples}) == 3


def test_med_73_rows_of_the_test_table_are_counted_with_a_way_out(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out")

    (reject,) = rejects_of(tmp_path / "out")
    assert (reject["input"], reject["reason"]) == ("GMAI_mm_bench_TEST_part_1.tsv", "no-answer")
    assert "6 questions" in reject["message"]
    assert "VLMEvalKit" in reject["action"]
    assert reject["severity"] == "skipped"


def test_med_73_what_comes_in_goes_out_to_vlmevalkit_as_it_was(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out")
    export_dataset(tmp_path / "out", tmp_path / "tsv", format_name="vlmevalkit")

    back = pd.read_csv(tmp_path / "tsv" / "test.tsv", sep="\t", dtype=str, keep_default_na=False)
    table = table_of(mini)
    same = ["question", "A", "B", "C", "D", "answer", "clinical vqa task", "department", "perceptual granularity"]
    pd.testing.assert_frame_equal(back[same], table[same])
    images = [back["image"][int(image)] if len(image) <= 64 else image for image in back["image"]]
    assert images == list(table["image"])


def test_only_tables_without_answers_are_nothing_to_do(mini, tmp_path):
    (mini / VAL).unlink()
    with pytest.raises(NothingToDoError, match="no row of 1 tables has an answer"):
        convert(CONVERTER, mini, tmp_path / "out")
    with pytest.raises(InputNotFoundError, match=r"no \.tsv file"):
        convert(CONVERTER, tmp_path / "gmai" / "..", tmp_path.parent / "out")


def test_val_may_stay_val(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out", CONVERTER.settings_type(val_as="val"))
    assert {sample.split for sample in all_samples(tmp_path / "out")} == {Split.VAL}


def test_an_image_may_be_named_by_the_index_of_another_row(mini, tmp_path):
    table = table_of(mini)
    image = table.loc[4, "image"]
    table.loc[0, "image"] = "4"
    table.loc[1, "image"] = "77"
    write(mini, table)

    convert(CONVERTER, mini, tmp_path / "out")

    samples = {sample.id: sample for sample in all_samples(tmp_path / "out")}
    first = samples["gmai-mmbench/GMAI_mm_bench_VAL/0"]
    assert (tmp_path / "out" / first.images[0].path).read_bytes() == base64.b64decode(image)
    assert first.group == samples["gmai-mmbench/GMAI_mm_bench_VAL/4"].group
    failed = [item for item in rejects_of(tmp_path / "out") if item["severity"] == "failed"]
    assert [(item["input"], item["reason"]) for item in failed] == [(f"{VAL} row 2", "image-missing")]


@pytest.mark.parametrize(
    ("change", "reason", "severity"),
    [
        ({"answer": ""}, "no-answer", "skipped"),
        ({"answer": "AC"}, "several-answers", "skipped"),
        ({"answer": "E"}, "answer-not-an-option", "failed"),
        ({"B": "nan"}, "options-missing", "failed"),
        ({"question": ""}, "field-missing", "failed"),
        ({"index": "1"}, "index-repeated", "failed"),
        ({"image": "!" * 80}, "image-decode", "failed"),
        ({"image": base64.b64encode(b"no image" * 20).decode()}, "image-decode", "failed"),
        ({"image": "['" + "a" * 80 + "']"}, "several-images", "failed"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(mini, tmp_path, change, reason, severity):
    table = table_of(mini)
    table.loc[5, list(change)] = list(change.values())
    write(mini, table)

    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert summary.sample_count == 5
    found = [item for item in rejects_of(tmp_path / "out") if item["input"].startswith(VAL)]
    assert [(item["input"], item["reason"], item["severity"]) for item in found] == [(f"{VAL} row 6", reason, severity)]


def test_med_73_a_hint_stands_before_the_question_and_goes_out_again(mini, tmp_path):
    table = table_of(mini)
    table.insert(2, "hint", ["A chest CT.", "", "None", "", "", ""])
    write(mini, table)

    convert(CONVERTER, mini, tmp_path / "out")
    export_dataset(tmp_path / "out", tmp_path / "tsv", format_name="vlmevalkit")

    first, *others = all_samples(tmp_path / "out")
    assert first.preface == "A chest CT."
    asked = first.turns[0].text
    assert -1 < asked.index("A chest CT.") < asked.index(first.question)
    assert "hint" not in first.images[0].source.details
    assert {sample.preface for sample in others} == {None}
    back = pd.read_csv(tmp_path / "tsv" / "test.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert list(back["hint"]) == ["A chest CT.", "", "", "", "", ""]


def test_med_73_what_vlmevalkit_leaves_beside_a_table_is_passed_over(mini, tmp_path):
    table = table_of(mini)
    local = table.drop(columns="image").assign(image_path="x.png")
    local.to_csv(mini / "GMAI_mm_bench_VAL_local.tsv", sep="\t", index=False)
    (mini / "other.tsv").write_text("a\tb\n1\t2\n")

    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert (summary.sample_count, summary.exit_code) == (6, ExitCode.PARTIAL)
    found = {item["input"]: (item["reason"], item["severity"]) for item in rejects_of(tmp_path / "out")}
    assert found["GMAI_mm_bench_VAL_local.tsv"] == ("table-layout", "skipped")
    assert found["other.tsv"] == ("table-layout", "failed")
    named = {source["uri"] for source in read_manifest(tmp_path / "out")["sources"]}
    assert named == {VAL, "GMAI_mm_bench_TEST_part_1.tsv"}


def test_a_fifth_option_counts_where_it_says_something(mini, tmp_path):
    table = table_of(mini)
    table["E"] = ["None", "abscess", "", "", "", ""]
    write(mini, table)

    convert(CONVERTER, mini, tmp_path / "out")

    assert [len(sample.answer.options) for sample in all_samples(tmp_path / "out")] == [4, 5, 4, 4, 4, 4]


def test_rows_are_read_where_they_are_whatever_they_hold(tmp_path):
    """pandas writes, and reads the same from the bytes that each row is said to have."""
    texts = ["plain", 'say "this"', "two\nlines", "a\ttab", '"', '""', "", "5'2\" tall", "\r\n", 'Grüße\n\t"x"']
    frame = pd.DataFrame({"index": range(len(texts)), "text": texts, "last": texts[::-1]})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)

    table = Table(tmp_path / "t.tsv")
    records = list(table.records())

    assert table.columns == ("index", "text", "last")
    fields = [[field.decode() for field in split_fields(record.content)] for record in records]
    assert [row[1] for row in fields] == texts
    assert [row[2] for row in fields] == texts[::-1]
    content = (tmp_path / "t.tsv").read_bytes()
    joined = b"".join(content[record.span.offset : record.span.offset + record.span.length] for record in records)
    assert content.endswith(joined) and len(content) - len(joined) == len("index\ttext\tlast\n")


def test_a_quote_in_the_middle_of_a_field_is_a_letter(tmp_path):
    (tmp_path / "t.tsv").write_text('a\tb\n5" long\tx\ny\tz\n')
    assert [record.content for record in Table(tmp_path / "t.tsv").records()] == [b'5" long\tx', b"y\tz"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "it is empty"), ("index\tquestion\tA\tB\n", "column image is missing"), ("a\tA\tb\tB\ta\n", "is missing")],
)
def test_what_is_no_such_table_is_refused(tmp_path, content, message):
    (tmp_path / VAL).write_text(content)
    with pytest.raises(DatasetError, match=message):
        convert(CONVERTER, tmp_path / VAL, tmp_path / "out")


def test_units_are_small_and_their_number_changes_nothing(mini, tmp_path, monkeypatch):
    convert(CONVERTER, mini, tmp_path / "a" / "out")
    monkeypatch.setattr(gmai_mmbench, "_ROWS_A_UNIT", 2)
    plan = CONVERTER.plan(mini, CONVERTER.settings_type())
    assert [len(unit.rows) for unit in plan.units] == [2, 2, 2]
    assert CONVERTER.unit_name(plan.units[1]) == f"{VAL} rows 3 to 4"
    convert(CONVERTER, mini, tmp_path / "b" / "out")

    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    for name in names:
        one, other = ((tmp_path / run / name).read_bytes() for run in "ab")
        assert hashlib.sha256(one).digest() == hashlib.sha256(other).digest(), name


def test_units_end_where_they_would_hold_too_many_bytes(mini, monkeypatch):
    monkeypatch.setattr(gmai_mmbench, "_BYTES_A_UNIT", 1)
    assert [len(unit.rows) for unit in CONVERTER.plan(mini, CONVERTER.settings_type()).units] == [1] * 6
