"""The pictures: which there are, that they show something, and what the heat map counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from builders import make_image, make_sample
from PIL import Image as PillowImage

from domainvl.schema import Object, TextAnswer
from domainvl.viewing.charts import CHARTS, coverage, draw_charts
from domainvl.viewing.stats import collect_stats
from domainvl.viewing.tokens import TokenRules

DEFAULT = TokenRules.load(None, max_tiles=None)


def test_every_picture_is_drawn_and_not_blank(gallery, tmp_path):
    written = draw_charts(collect_stats(gallery, TokenRules.load("tiny", max_tiles=None)), tmp_path)

    assert [path.name for path in written] == list(CHARTS)
    for path in written:
        pixels = np.asarray(PillowImage.open(path).convert("L"))
        assert min(pixels.shape) > 150, path.name
        assert 0.002 < (pixels < 250).mean() < 0.8, path.name


def test_what_there_is_nothing_of_is_not_drawn(tmp_path, save):
    dataset = save(tmp_path / "data", [make_sample(images=[])])

    written = draw_charts(collect_stats(dataset, DEFAULT), tmp_path)
    assert [path.name for path in written] == ["samples.png", "tokens.png", "answers.png"]


def written_texts(figure, part):
    """Return the texts of a figure in which a part occurs, and whether one of them is read as a formula."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if part in text.get_text() and text.get_visible()]
    return [text.get_text() for text in texts], any(text.get_parse_math() for text in texts)


def test_bars_are_as_long_as_the_counts(gallery):
    """The parts of a row follow each other without a gap and add up to its samples."""
    figure = CHARTS["samples.png"](collect_stats(gallery, DEFAULT))
    (axes,) = figure.axes
    lengths = {}
    for bars in axes.containers:
        for bar in bars:
            row = round(bar.get_y() + bar.get_height() / 2)
            assert bar.get_x() == lengths.get(row, 0)
            lengths[row] = lengths.get(row, 0) + bar.get_width()
    names = [label.get_text() for label in axes.get_yticklabels()]

    assert {names[row]: length for row, length in lengths.items()} == {
        "driving, counting": 1,
        "driving, region": 1,
        "medical, multiple-choice": 1,
        "medical, vqa": 1,
        "remote-sensing, detection": 1,
        "remote-sensing, grounding": 2,
    }


def test_the_histogram_of_tiles_has_the_counts(gallery):
    (axes,) = CHARTS["tiles.png"](collect_stats(gallery, DEFAULT)).axes

    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axes.patches if bar.get_height()}
    assert heights == {0: 1, 3: 4, 14: 2}


def test_a_wide_histogram_puts_neighbours_together(tmp_path, save):
    """Words of 1 to 100 with 40 bars at most: bars of 3 words each, and no sample lost."""
    samples = [
        make_sample(str(number), images=[], answer=TextAnswer(text="word " * (number - 1) + "end"))
        for number in range(1, 101)
    ]
    figure = CHARTS["tokens.png"](collect_stats(save(tmp_path, samples), DEFAULT))
    bars = [bar for axes in figure.axes if axes.get_xlabel() == "words of the answers" for bar in axes.patches]

    assert [bar.get_height() for bar in bars] == [3] * 33 + [1]
    assert [round(bar.get_x()) for bar in bars][:3] == [1, 4, 7]


def test_the_heat_map_counts_the_boxes_over_each_place():
    """Of 4 x 4 cells the left half, the upper right quarter and the first row."""
    counted = coverage([(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 0.5), (0.0, 0.0, 1.0, 0.25)], cells=4)

    assert counted.tolist() == [[2, 2, 2, 2], [1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]


@pytest.mark.parametrize("label", ["price in $ or $", "a_{b", "\\frac", "首都", "a\nb"])
def test_a_label_is_text_whatever_it_holds(tmp_path, save, label):
    samples = [
        make_sample(
            images=[make_image()],
            objects=[Object(id="0", label=label, box_px=(0, 0, 9, 9))],
            answer=TextAnswer(text=label),
            domain=label,
        ),
        make_sample("other", images=[]),
    ]
    stats = collect_stats(save(tmp_path / "data", samples), DEFAULT)
    stats.name = label

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = draw_charts(stats, tmp_path)

    assert len(written) == len(CHARTS)
    shown = label.replace("\n", "\\n")
    answers = [] if "\n" in label else [shown]  # answers are normalised: they have no line breaks
    for name, texts in (
        ("classes.png", [f"{shown}: objects by class", shown]),
        ("answers.png", [f"{shown}: most frequent answers by task", f"{shown}, vqa: 1 answers", *answers]),
        ("samples.png", [f"{shown}: samples by task and split", f"{shown}, vqa"]),
    ):
        found, is_formula = written_texts(CHARTS[name](stats), shown)
        assert sorted(found) == sorted(texts)
        assert not is_formula
