"""Answers of other models: which format a file has, and which sample each answer is about."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.evaluation.answer_files import read_answer_file
from domainvl.evaluation.predictions import Prediction, write_predictions
from domainvl.schema import Sample, Source
from domainvl.schema.sample import EXAMPLE_OF

SampleMaker = Callable[..., Sample]


@pytest.fixture
def asked(make_sample: SampleMaker) -> list[Sample]:
    """Two questions about one image, one about another; the benchmark's ids are 7, 8 and 7 again."""

    def sample(name: str, uri: str, official: int, question: str) -> Sample:
        made = make_sample(name, question=question)
        source = Source(uri=uri, details={"question_id": official})
        return made.model_copy(update={"images": (made.images[0].model_copy(update={"source": source}),)})

    return [
        sample("set/1", "images/synpic1.jpg", 7, "Is there a mass?"),
        sample("set/2", "images/synpic1.jpg", 8, "Which organ is it?"),
        sample("set/3", "images/synpic2.jpg", 7, "Is there a mass?"),
    ]


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(path: Path, samples: Sequence[Sample], format: str = "auto") -> dict[str, str]:
    return {one.sample_id: one.text for one in read_answer_file(path, format, samples)}


def test_our_own_file_is_told_and_kept_whole(asked: list[Sample], tmp_path: Path) -> None:
    own = [Prediction(sample_id="set/2", text="lung", likelihood=0.5, options={"a": 1.0})]
    write_predictions(tmp_path / "predictions.jsonl", own)
    assert read_answer_file(tmp_path / "predictions.jsonl", "auto", asked) == own


def test_geochat_by_official_id_and_image(asked: list[Sample], tmp_path: Path) -> None:
    """The id alone is that of two samples: the image decides, whatever folder and extension it is named with."""
    rows = [
        {"question_id": 7, "image_id": "other/synpic2.png", "answer": "two"},
        {"question_id": 7, "image_id": "synpic1", "answer": "one", "ground_truth": "x"},
    ]
    assert answers(write_lines(tmp_path / "a.jsonl", rows), asked) == {"set/3": "two", "set/1": "one"}


def test_geochat_boxes_become_thousandths(make_sample: SampleMaker, tmp_path: Path) -> None:
    sample = make_sample("ship", boxes=[("ship", (10.0, 10.0, 20.0, 20.0))])
    rows = [{"question_id": "ship", "image_id": "a", "answer": "{<10><20><30><40>|<0>}"}]
    assert answers(write_lines(tmp_path / "a.jsonl", rows), [sample]) == {"ship": "<box>[[100, 200, 300, 400]]</box>"}


def test_llava_med_by_the_name_of_the_image_and_the_prompt(asked: list[Sample], tmp_path: Path) -> None:
    rest = {"answer_id": "x", "model_id": "llava-med", "metadata": {}}
    rows = [
        {"question_id": "synpic1", "prompt": "Which organ is it?\n<image>", "text": "{<1><1><2><2>}", **rest},
        {"question_id": "synpic1", "prompt": "<image>\nIs there a mass?\nAnswer briefly.", "text": "no", **rest},
    ]
    assert answers(write_lines(tmp_path / "a.jsonl", rows), asked) == {"set/2": "{<1><1><2><2>}", "set/1": "no"}


def test_plain_answers_as_json_lines_and_csv(asked: list[Sample], tmp_path: Path) -> None:
    lines = write_lines(tmp_path / "a.jsonl", [{"id": "set/1", "answer": 2}, {"id": "8", "answer": ""}])
    assert answers(lines, asked) == {"set/1": "2", "set/2": ""}
    table = tmp_path / "a.csv"
    table.write_text('\ufeffid,answer,note\nset/1,"yes, a mass",x\nset/2,lung,y\n', encoding="utf-8")
    assert answers(table, asked) == {"set/1": "yes, a mass", "set/2": "lung"}


def test_drivelm_list_and_submission(make_sample: SampleMaker, tmp_path: Path) -> None:
    made = make_sample("drivelm/x")
    source = Source(uri="x.jpg", details={"drivelm": {"id": "scene_frame_0"}})
    sample = made.model_copy(update={"images": (made.images[0].model_copy(update={"source": source}),)})
    rows = [{"id": "scene_frame_0", "question": "Other words?", "answer": "<c1,CAM_FRONT,1043.2,82.2>"}]
    for name, content in (("output.json", rows), ("submission.json", {"team": "t", "results": rows})):
        for indent in (None, 4):
            (tmp_path / name).write_text(json.dumps(content, indent=indent))
            assert answers(tmp_path / name, [sample]) == {"drivelm/x": "<c1,CAM_FRONT,1043.2,82.2>"}


def test_another_image_or_question_under_a_known_id_is_refused(asked: list[Sample], tmp_path: Path) -> None:
    rows = [
        {"id": "set/1", "answer": "a", "image": "synpic2"},
        {"id": "set/2", "answer": "a", "question": "Is there a mass?"},
        {"id": "set/3", "answer": "a", "image": "synpic2", "question": "Is there a mass?"},
    ]
    with pytest.raises(DatasetError, match=r"each of 3 answers .* got 2 about no sample \(set/1, set/2\)"):
        read_answer_file(write_lines(tmp_path / "a.jsonl", rows), "plain", asked)


def test_image_and_question_together_overrule_an_id_of_another_numbering(asked: list[Sample], tmp_path: Path) -> None:
    rows = [
        {"id": number, "answer": str(number), "image": sample.images[0].source.uri, "question": sample.question.upper()}
        for number, sample in enumerate(asked, start=7)
    ]
    assert answers(write_lines(tmp_path / "a.jsonl", rows), asked) == {"set/1": "7", "set/2": "8", "set/3": "9"}


def test_faults_are_counted_with_three_examples(asked: list[Sample], tmp_path: Path) -> None:
    rows = [{"id": name, "answer": "a"} for name in ("w", "x", "y", "z", "7", "set/1", "set/1", "set/2")]
    with pytest.raises(
        DatasetError,
        match=r"got 4 about no sample \(w, x, y, \.\.\.\); 1 about several samples \(7\); 1 repeated \(set/1\)",
    ):
        read_answer_file(write_lines(tmp_path / "a.jsonl", rows), "auto", asked)


def test_images_of_solved_examples_name_no_sample(asked: list[Sample], tmp_path: Path) -> None:
    image = asked[0].images[0]
    shown = Source(uri="shown.jpg", details={"question_id": 99, EXAMPLE_OF: "train/1"})
    sample = asked[0].model_copy(update={"images": (image.model_copy(update={"source": shown}), image)})
    path = write_lines(tmp_path / "a.jsonl", [{"id": 99, "answer": "a"}])
    with pytest.raises(DatasetError, match=r"1 about no sample \(99\)"):
        read_answer_file(path, "plain", [sample])
    assert answers(write_lines(path, [{"id": 7, "answer": "a"}]), [sample]) == {"set/1": "a"}


def test_a_file_that_ends_within_a_line_is_refused(asked: list[Sample], tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"id": "set/1", "answer": "a"}, {"id": "set/2", "answer": "b"}])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"a\.jsonl:2: .*the file ends within a line, after 1 whole answers"):
        read_answer_file(path, "auto", asked)
    (tmp_path / "b.json").write_text('[{"id": "set/1", "answer": "a"},')
    write_lines(path, [{"sample_id": "set/1", "text": "a"}])
    path.write_bytes(path.read_bytes() + '{"sample_id": "set/2", "text": "ä'.encode()[:-1])
    with pytest.raises(DatasetError, match=r"a\.jsonl:2: .*the file ends within a line, after 1 whole answers"):
        read_answer_file(path, "auto", asked)
    with pytest.raises(DatasetError, match="one whole JSON document"):
        read_answer_file(tmp_path / "b.json", "drivelm", asked)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"answer": "a"}, "which fits none"),
        ({"id": 1, "question_id": 1, "image_id": "x", "answer": "a"}, "which fits geochat and plain"),
    ],
)
def test_a_format_that_cannot_be_told_is_asked_for(
    asked: list[Sample], tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row])
    with pytest.raises(UsageError, match=f"{told}.*--answers-format"):
        read_answer_file(path, "auto", asked)


def test_other_refusals(asked: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="there is no such file"):
        read_answer_file(tmp_path / "none", "auto", asked)
    for format in ("auto", "ours", "plain"):
        (tmp_path / "a.jsonl").write_text("\n")
        with pytest.raises(DatasetError, match="the file is empty"):
            read_answer_file(tmp_path / "a.jsonl", format, asked)
    path = write_lines(tmp_path / "a.jsonl", [{"id": "set/1", "answer": ["a"]}])
    with pytest.raises(UsageError, match="got 'geo'"):
        read_answer_file(path, "geo", asked)
    with pytest.raises(DatasetError, match=r"answer must be a text or a number, got \['a'\].*--answers-format"):
        read_answer_file(path, "plain", asked)
    (tmp_path / "a.csv").write_text("id,answer\nset/1\n")
    with pytest.raises(DatasetError, match=r"a\.csv:2: each row must have 2 fields"):
        read_answer_file(tmp_path / "a.csv", "auto", asked)
    (tmp_path / "a.csv").write_text("id,answer\n")
    with pytest.raises(DatasetError, match="it has none"):
        read_answer_file(tmp_path / "a.csv", "auto", asked)
