"""Which questions are answered together, by hand on lengths."""

from itertools import count
from pathlib import Path

import pytest

from domainvl.model.answer_groups import Borders, Load, Question, answer_ids, divide
from domainvl.model.checkpoint import load_model
from domainvl.schema import Turn
from domainvl.tiling import TileGrid

_NUMBER = count()


def question(image: str, shared: int, own: int, *, grid: TileGrid | None = None, option: int = 0) -> Question:
    """A question of so many tokens up to the last visual one and behind it, and perhaps an option."""
    keys = ((image, grid or TileGrid(1, 1, False)),) if image else ()
    options = {"a": (9,) * option} if option else {}
    return Question(f"{image}{next(_NUMBER):03d}", (), keys, (5,) * shared, (7,) * own, options)


def shapes(loads: list[Load]) -> list[list[tuple[int, int]]]:
    """For each load its groups: tokens of the prefix, and questions."""
    return [[(len(group.prefix_ids), len(group.questions)) for group in load.groups] for load in loads]


def test_questions_of_equal_images_are_one_group() -> None:
    several = [question("a", 20, 5), question("b", 20, 5), question("a", 20, 9)]
    (load,) = divide(several, 8, 10, Borders())
    assert [[one.sample_id[0] for one in group.questions] for group in load.groups] == [["b"], ["a", "a"]]
    assert load.groups[1].rest(several[2]) == (7,) * 9


@pytest.mark.parametrize(
    "other",
    [question("a", 20, 5, grid=TileGrid(2, 1, False)), question("a", 21, 5)],
    ids=["cut in another way", "other words before it"],
)
def test_what_is_not_equal_up_to_the_last_visual_token_is_not_shared(other: Question) -> None:
    (load,) = divide([question("a", 20, 5), other], 8, 10, Borders())
    assert [len(group.questions) for group in load.groups] == [1, 1]


def test_batches_are_filled_with_whole_groups_in_order_of_their_visual_tokens() -> None:
    several = [
        question(name, shared, 5)
        for name, shared, questions in (("a", 40, 3), ("b", 10, 2), ("c", 20, 3), ("d", 30, 1))
        for _ in range(questions)
    ]
    assert shapes(divide(several, 6, 10, Borders())) == [[(10, 2), (20, 3), (30, 1)], [(40, 3)]]


def test_a_group_that_is_larger_than_a_batch_is_held_alone_and_taken_in_parts() -> None:
    first, second = divide([question("a", 10, 5)] + [question("b", 20, 5) for _ in range(7)], 3, 10, Borders())
    assert [shapes([load]) for load in (first, second)] == [[[(10, 1)]], [[(20, 7)]]]
    assert [len(batch) for batch in second.batches(3)] == [3, 3, 1]


def test_questions_without_images_are_read_as_a_whole() -> None:
    (load,) = divide([question("", 0, 5), question("", 0, 3)], 8, 10, Borders())
    assert [len(group.rest(group.questions[0])) for group in load.groups] == [3, 5]


@pytest.mark.parametrize(
    ("shared", "own", "option", "longrope", "dynamic"),
    [
        (80, 10, 0, ("before", True), ("before", True)),  # 90 tokens and 10 new ones just stay before 100
        (80, 11, 0, ("alone", False), ("alone", False)),
        (80, 10, 11, ("alone", False), ("alone", False)),  # an option is longer than an answer
        (90, 10, 0, ("alone", False), ("alone", False)),
        (100, 1, 0, ("beyond", False), ("alone", False)),  # its prefix alone would be before the border
        (101, 1, 0, ("beyond", True), ("alone", False)),
    ],
)
def test_questions_at_a_border_of_100(
    shared: int, own: int, option: int, longrope: tuple[str, bool], dynamic: tuple[str, bool]
) -> None:
    one = question("a", shared, own, option=option)
    for borders, wanted in ((Borders(longrope=100), longrope), (Borders(dynamic=100), dynamic)):
        company = borders.company(one, 10)
        assert (company, borders.can_divide(one, company)) == wanted
    assert Borders().company(one, 10) == "before"


def test_what_may_cross_a_border_goes_alone() -> None:
    several = [question("a", 80, 12), question("a", 80, 12), question("a", 80, 1), question("b", 80, 1)]
    loads = divide(several, 8, 10, Borders(longrope=100))
    assert sorted(shapes(loads)) == [[(0, 1)], [(0, 1)], [(80, 1), (80, 1)]]
    assert sorted(load.alone for load in loads) == [False, True, True]


def test_an_answer_has_the_tokens_that_it_has_in_a_conversation(untrained: Path) -> None:
    encoder = load_model(str(untrained)).encoder()
    question_turn = Turn(role="human", text="What colour is the square?")
    for text in ("red", " two words ", "<box>1</box>", "<|im_end|>"):
        encoded = encoder.encode([question_turn, Turn(role="assistant", text=text)], [])
        said = [token for token, counts in zip(encoded.input_ids, encoded.supervised, strict=True) if counts]
        assert list(answer_ids(encoder, text)) == said
