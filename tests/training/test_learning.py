"""A training on a CPU learns to look: it beats, on held-out groups, whoever cannot see the image."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory):
    sys.path.append(str(EXAMPLES))
    try:
        import what_to_train
    finally:
        sys.path.remove(str(EXAMPLES))
    out = tmp_path_factory.mktemp("what-to-train")
    return what_to_train.compare_methods(out, steps=120, methods=("full", "LoRA"), training=300, testing=50)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "LoRA"])
@pytest.mark.parametrize("baseline", ["base", "majority", "blank images", "language-only"])
def test_a_trained_model_beats_who_does_not_look(comparison, method: str, baseline: str) -> None:
    """The lower end of the interval, clustered by plate, of the paired difference is above 0."""
    difference = comparison.difference(method, baseline)
    assert difference.n == 300
    assert difference.groups == 50
    assert difference.low > 0, difference


@pytest.mark.slow
def test_without_images_nothing_is_learned_beyond_frequencies(comparison) -> None:
    """Else the data would give the answers away, and looking would prove nothing.

    The question names no plate, so the best that can be done is the most frequent answer to it.
    """
    assert comparison.right("language-only").mean <= comparison.right("majority").high


@pytest.mark.slow
def test_table_has_all_systems_with_intervals(comparison) -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in comparison.table().splitlines()]
    assert [row[1] for row in rows[2:]] == ["base", "majority", "language-only", "full", "LoRA"]
    full = dict(zip(rows[0], rows[5], strict=True))
    share = sum(item.correct for item in comparison.methods["full"]) / 300
    majority = sum(item.correct for item in comparison.baselines["majority"]) / 300
    assert full["right"].startswith(f"{share:.2f} [")
    assert full["minus majority"].startswith(f"{share - majority:+.2f} [")
    assert full["trained weights"] == "1,019,968"
