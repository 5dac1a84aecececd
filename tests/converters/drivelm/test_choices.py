"""DRV-54: which questions become multiple choice, among what, and what is done with an answer outside the list."""

from __future__ import annotations

from collections import Counter

import pytest
from drivelm_files import SUV, make_frame, make_scenes, pair

from domainvl.converters.drivelm.choices import MOVING_STATUSES, read_choice, with_options
from domainvl.converters.drivelm.frames import Pair
from domainvl.errors import ItemError, LeftOutError
from domainvl.schema import ChoiceAnswer, Task

STATUS = f"What is the moving status of object {SUV}?"
LOUD = f"WHAT IS THE MOVING STATUS OF OBJECT {SUV}?"
PREDICT = "Predict the behavior of the ego vehicle."
STILL = "The ego vehicle is going straight. The ego vehicle is not moving."
INTRODUCTION = " Please select the correct answer from the following options: "


def status(answer="Stopped.", question=STATUS, category="perception"):
    return Pair(category, 0, question, answer)


def test_drv_54_the_seven_statuses_are_those_of_the_challenge():
    # As OpenDriveLab/DriveLM has them in challenge/convert_data.py, rule_based1.
    assert set(MOVING_STATUSES) == {
        "Going ahead.",
        "Turn right.",
        "Turn left.",
        "Stopped.",
        "Back up.",
        "Reverse parking.",
        "Drive backward.",
    }


def test_drv_54_status_and_behaviour_become_multiple_choice_and_nothing_else(given):
    frame = make_frame(
        [
            pair(STATUS, "Stopped."),
            pair("What is the status of the van?", "Stopped."),
            pair(LOUD, "Stopped."),
        ],
        [pair(STATUS, "Stopped.")],
        [pair(PREDICT, "To stop.")],
        [pair(PREDICT, STILL)],
        objects=None,
    )
    _, samples, rejects = given.convert(make_scenes(frame))

    assert rejects == []
    choice, text = Task.MULTIPLE_CHOICE, Task.CONVERSATION
    assert [sample.task for sample in samples] == [choice, text, choice, text, text, choice]
    assert samples[0].answer.options[samples[0].answer.correct] == "Stopped."
    assert samples[-1].answer.options[samples[-1].answer.correct] == STILL


def test_drv_54_options_are_four_of_the_list_and_the_right_one_is_anywhere():
    drawn = [read_choice(status(), key=str(number)).answer for number in range(400)]

    assert all(len(set(answer.options)) == 4 and set(answer.options) <= set(MOVING_STATUSES) for answer in drawn)
    assert all(answer.options[answer.correct] == "Stopped." for answer in drawn)
    places = Counter(answer.correct for answer in drawn)
    # 100 of each are expected; five standard deviations of a binomial are 43.
    assert all(57 < places[place] < 143 for place in range(4))
    others = Counter(option for answer in drawn for option in answer.options if option != "Stopped.")
    # 200 of each are expected; five standard deviations are 50.
    assert all(150 < others[option] < 250 for option in MOVING_STATUSES if option != "Stopped.")


def test_drv_54_two_runs_give_the_same_bytes_and_another_seed_other_options(given):
    behaviours = [pair(PREDICT, STILL), pair(STATUS, STILL)]
    scenes = make_scenes(make_frame([pair(STATUS, "Back up.")], behavior=behaviours))
    written, drawn = [], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        _, samples, _ = given.convert(scenes, out=given.folder / name, seed=seed)
        written.append((given.folder / name / "train.jsonl").read_bytes())
        drawn.append([sample.answer.options for sample in samples])

    assert written[0] == written[1]
    assert len(drawn[0]) == len(drawn[2]) == 3
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("answer", ["Turn around.", "Stopped", "stopped.", "A"])
def test_drv_54_a_status_outside_the_list_is_left_out_with_its_reason(given, answer):
    frame = make_frame([pair(STATUS, answer), pair(STATUS, "Stopped.")], behavior=[pair(PREDICT, answer)])
    _, samples, rejects = given.convert(make_scenes(frame))

    assert len(samples) == 1
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("answer-not-listed", "skipped")] * 2
    assert f"one of the 7 that DriveLM's challenge knows, got {answer!r}" in rejects[0]["message"]
    assert "one of the 21" in rejects[1]["message"]


def test_drv_54_the_prompt_is_the_published_one(given):
    _, (sample,), _ = given.convert(make_scenes(make_frame(behavior=[pair(PREDICT, STILL)])))

    a, b, c, d = sample.answer.options
    assert sample.question == PREDICT
    assert sample.turns[0].text.endswith(f"{PREDICT}{INTRODUCTION}A. {a} B. {b} C. {c} D. {d}")
    assert sample.turns[1].text == "ABCD"[sample.answer.correct]


def test_drv_54_options_that_the_file_has_are_kept():
    text = f"{PREDICT}{INTRODUCTION}A. It is slow. It turns. B. It is B. Fast. C. It stops."
    choice = read_choice(status("C", text, "behavior"), key="")

    assert (choice.question, choice.drawn) == (PREDICT, False)
    # "B. " within the second option is no option: B is taken, and C comes next.
    assert choice.answer == ChoiceAnswer(options=("It is slow. It turns.", "It is B. Fast.", "It stops."), correct=2)
    for answer in ("It stops.", " C. ", "C"):
        assert read_choice(status(answer, text), key="").answer.correct == 2
    assert read_choice(status(None, text), key="").answer.correct == 0


def test_drv_54_options_are_written_as_they_are_read():
    options = ("One.", "Two. Three.", "Four.")
    read = read_choice(status("B", with_options("Which?", options)), key="")

    assert (read.question, read.answer.options, read.answer.correct) == ("Which?", options, 1)


@pytest.mark.parametrize(
    ("listed", "answer"),
    [("", "A"), ("A. One.", "A"), ("A. One. B. One.", "A"), ("B. One. C. Two.", "B"), ("A. One. B. Two.", "C")],
)
def test_drv_54_options_that_cannot_be_read_are_refused(listed, answer):
    with pytest.raises(ItemError) as error:
        read_choice(status(answer, f"Which?{INTRODUCTION}{listed}"), key="")
    assert error.value.reason == "bad-options"
    assert not isinstance(error.value, LeftOutError)
