"""Whole evaluations of small sets: who wins, what is left out, and what is written."""

import csv
import json
import re
from collections import Counter

import numpy as np
import pytest
from typer.testing import CliRunner

from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.evaluating.contestants import make_field
from domainvl.enhance.evaluating.results import write_results
from domainvl.enhance.evaluating.run import EvaluationSettings, conclude, evaluate, measure_pairs
from domainvl.enhance.evaluating.tables import headline_table
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.rasters import Raster
from domainvl.errors import DatasetError, NothingToDoError
from domainvl.viewing.enhancement import best_of, headlines_first, write_enhancement_report

SETTINGS = EvaluationSettings(resamples=8000, panels=2)


def nearer(share):
    """Make a picture that is by a share as near to the truth as bicubic is."""
    from domainvl.enhance.resampling import enlarge

    return lambda high, low: share * high + (1 - share) * enlarge(low.pixels, low.valid, 2)


@pytest.fixture(scope="module")
def evaluated(pairs, recalling):
    field = make_field(
        [("good", recalling(pairs, nearer(0.8))), ("fair", recalling(pairs, nearer(0.4)))], pairs.index, ["zero"]
    )
    measured = measure_pairs(pairs, pairs.records, field, panels=2)
    return conclude(measured, field, pairs.index, SETTINGS, where="pairs")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    settings = NetworkSettings(scale=2, in_bands=3, out_bands=3, features=8, blocks=1, pack_block=2)
    network = MisalignedSR(settings)
    network.initialise(0)
    view = {"bands": 3, "dtype": "uint8", "low": (0.0,) * 3, "high": (255.0,) * 3}
    folder = tmp_path_factory.mktemp("network")
    save_checkpoint(folder, network, Enhancer(network=settings, low_view=view, high_view=view))
    return str(folder)


def means(evaluation, measure):
    line = next(line for line in evaluation.lines if line.measure == measure)
    return {name: value.value for name, value in line.values.items()}


def test_the_nearer_picture_wins_by_what_tells_nearness(evaluated):
    found = evaluated.evaluation
    for measure in ("psnr_db", "ssim", "cpsnr_db", "improvement"):
        by = means(found, measure)
        assert by["good"] > by["fair"] > by["bicubic-x2"], measure
    verdicts = {(one.measure, one.a, one.b): one.verdict for one in found.comparisons}
    assert verdicts["psnr_db", "good", "bicubic-x2"] == "better"
    assert verdicts["cpsnr_db", "good", "fair"] == "better"
    assert found.verdict[0].startswith("good against bicubic-x2: better by PSNR, SSIM, cPSNR")


def test_the_reader_is_told_what_these_figures_are(evaluated):
    notes = " ".join(evaluated.evaluation.notes)
    assert "range of the high views, 0 to 255" in notes
    assert "16 high pixels at each edge" in notes
    assert "LPIPS is not measured" in notes
    assert "With 8 groups" in notes


def test_a_measure_that_some_pairs_lack_is_named(pairs, recalling):
    field = make_field([("fair", recalling(pairs, nearer(0.4)))], pairs.index, ["zero"])
    measured = measure_pairs(pairs, pairs.records[:3], field)
    measured.figures[1].of["fair"].values["ssim"] = None
    settings = EvaluationSettings(resamples=100, lpips=(pairs.folder / "pairs.json",))
    notes = conclude(measured, field, pairs.index, settings, where="pairs").evaluation.notes
    assert "SSIM has a figure of 2 of 3 pairs only." in notes
    assert "LPIPS has no figure: without their border, pictures are smaller than 32 px." in notes


def test_the_same_pairs_give_the_same_figures(pairs, recalling, evaluated):
    field = make_field(
        [("good", recalling(pairs, nearer(0.8))), ("fair", recalling(pairs, nearer(0.4)))], pairs.index, ["zero"]
    )
    again = conclude(measure_pairs(pairs, pairs.records, field), field, pairs.index, SETTINGS, where="pairs")
    assert again.evaluation == evaluated.evaluation


def test_panels_show_every_contestant_between_the_low_view_and_the_truth(evaluated, pairs):
    panels = evaluated.measured.panels
    assert [panel.group for panel in panels] == ["scene-0", "scene-1"]
    tiles = dict(panels[0].tiles)
    assert list(tiles) == ["low view", "bicubic-x2", "good", "fair", "truth"]
    row, column = panels[0].corner_px
    high = pairs.read(pairs.records[0])[1].pixels[:, row : row + 20, column : column + 20]
    assert (tiles["truth"] == np.moveaxis(high, 0, -1)).all()
    assert {tile.shape for tile in tiles.values()} == {(20, 20, 3)}
    assert (tiles["low view"][0::2] == tiles["low view"][1::2]).all()


def test_files_hold_every_pair_and_contestant(evaluated, tmp_path):
    write_results(tmp_path, evaluated.evaluation, evaluated.measured.figures)
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert Counter(row["contestant"] for row in rows) == {"bicubic-x2": 8, "good": 8, "fair": 8}
    good = np.mean([float(row["psnr_db"]) for row in rows if row["contestant"] == "good"])
    assert good == pytest.approx(means(evaluated.evaluation, "psnr_db")["good"], abs=1e-4)
    assert {row["lpips"] for row in rows} == {""}
    held = json.loads((tmp_path / "results.json").read_text())
    assert held["headline"] == "good"
    assert held["settings"]["opensr_temperature"] == 0.25


def test_the_table_shows_headline_measures_only(evaluated):
    head = headline_table(evaluated.evaluation).splitlines()[2]
    assert re.sub(r" +", " ", head) == "| contestant | PSNR (dB) ↑ | SSIM ↑ | cPSNR (dB) ↑ | hallucination ↓ |"


def test_the_report_is_one_page_without_scripts_or_links_out(evaluated, tmp_path):
    page = tmp_path / "report.html"
    write_enhancement_report(page, evaluated.evaluation, evaluated.measured.panels)
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 10
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert " style=" not in text
    assert "good against bicubic-x2: better by PSNR" in text
    for name in ("PSNR", "SSIM", "cPSNR", "omission", "hallucination", "synthesis", "reflectance"):
        assert f"<b>{name}</b>" in text


def test_the_report_says_what_it_is_and_shows_small_differences(evaluated, tmp_path):
    found = evaluated.evaluation
    small = [
        one.model_copy(update={"difference": -0.0000124, "low": -0.0000301, "high": -0.0000051})
        for one in found.comparisons
        if one.measure == "ssim"
    ]
    page = tmp_path / "report.html"
    write_enhancement_report(page, found.model_copy(update={"comparisons": tuple(small)}), [])
    text = page.read_text()
    assert "<title>Evaluation of enhancers: is good better than its rivals?</title>" in text
    assert '<span class="value">−0.000012</span> <span class="interval">[−0.000030, −0.000005]</span>' in text
    assert "−0.000033 to +0.000033</th>" in text  # 8 % beyond the furthest end
    assert "fair against bicubic-x2: " in text.partition('id="figures"')[0]


def test_the_page_begins_with_what_a_terminal_shows(evaluated):
    order = [line.measure for line in headlines_first(evaluated.evaluation.lines)]
    assert order[:5] == ["psnr_db", "ssim", "cpsnr_db", "hallucination", "reflectance"]


def test_names_from_outside_are_escaped(evaluated, tmp_path):
    bad = "<img src=x onerror=alert(1)>"
    named = evaluated.evaluation.model_copy(update={"headline": bad, "verdict": (bad,), "notes": (bad,)})
    page = tmp_path / "report.html"
    write_enhancement_report(page, named, [])
    assert bad not in page.read_text()
    assert "&lt;img src=x" in page.read_text()


def test_pairs_that_cannot_be_measured_are_left_out_and_named(write_pairs, recalling, tmp_path):
    rng = np.random.default_rng(0)

    def pair(rows, valid=True):
        high = np.rint(rng.uniform(0, 255, (1, 2 * rows, 2 * rows)))
        low = high.reshape(1, rows, 2, rows, 2).mean(axis=(2, 4))
        mask = np.ones((2 * rows, 2 * rows), dtype=bool)
        if not valid:
            mask[2:] = False
        raster = [Raster(np.float32(x), np.ones(x.shape[1:], dtype=bool), np.dtype("uint8")) for x in (low, high)]
        return raster[0], Raster(raster[1].pixels * mask, mask, raster[1].dtype)

    pairs = write_pairs(tmp_path, [("a", *pair(20)), ("b", *pair(12)), ("c", *pair(20, valid=False)), ("d", *pair(20))])
    enhancer = recalling(pairs, nearer(0.5), in_bands=1, out_bands=1)
    (tmp_path / pairs.records[3].high).write_bytes(b"no TIFF")
    field = make_field([("net", enhancer)], pairs.index, ["zero"])
    told = []
    measured = measure_pairs(pairs, pairs.records, field, on_pair=lambda done, total: told.append((done, total)))
    assert [figures.pair for figures in measured.figures] == ["pair-0"]
    assert [one.reason for one in measured.left_out] == ["too-small", "no-valid-pixels", "unreadable"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    measured.figures.clear()
    with pytest.raises(NothingToDoError, match="none of 3 pairs; the first: 12 x 12 low pixels"):
        conclude(measured, field, pairs.index, SETTINGS, where="pairs")


def test_an_enhancer_that_overflows_costs_the_pair_for_all(pairs, recalling):
    from domainvl.enhance.rasters import RasterError

    enhancer = recalling(pairs, nearer(0.5))
    whole = enhancer.upscale

    def sometimes(low, *, reference=None):
        if low.pixels.tobytes() == pairs.read(pairs.records[2])[0].pixels.tobytes():
            raise RasterError("net gives no finite values")
        return whole(low)

    enhancer.upscale = sometimes
    measured = measure_pairs(pairs, pairs.records, make_field([("net", enhancer)], pairs.index, ["zero"]))
    assert [(one.pair, one.reason) for one in measured.left_out] == [("pair-2", "not-finite")]
    assert len(measured.figures) == 7


def test_a_picture_so_far_off_that_its_error_overflows_costs_the_pair(write_pairs, pairs, recalling, tmp_path):
    (low, high), floats = pairs.read(pairs.records[0]), np.dtype("float32")
    views = [("a", Raster(low.pixels, low.valid, floats), Raster(high.pixels, high.valid, floats))]
    found = write_pairs(tmp_path, views)
    field = make_field([("net", recalling(found, lambda high, low: high * 1e30))], found.index, ["zero"])
    (one,) = measure_pairs(found, found.records, field).left_out
    assert one.reason == "not-finite"
    assert "PSNR" in one.message
    assert "of net would not be finite: its picture has values from 5.1e+31 to 2.03e+32" in one.message


def test_a_band_without_a_range_is_named(pairs, network, tmp_path):
    index = pairs.index.model_copy(update={"high_view": pairs.index.high_view.model_copy(update={"high": (9, 0, 9)})})
    (tmp_path / "pairs.json").write_text(index.model_dump_json())
    (tmp_path / "pairs.jsonl").write_text("")
    with pytest.raises(DatasetError, match="high_view, band 2: from 0 to 0"):
        evaluate(PairSet(tmp_path), [network])


@pytest.mark.parametrize("split", ["train", "test"])
def test_pairs_that_networks_may_have_been_trained_on_are_said(write_pairs, pairs, network, tmp_path, split):
    views = [(pairs.records[0].group, *pairs.read(pairs.records[0]))]
    found = evaluate(write_pairs(tmp_path, views, split=split), [network], EvaluationSettings(split="all"))
    assert any("training split" in note for note in found.evaluation.notes) == (split == "train")


def test_no_bar_is_drawn_above_a_refusal_and_a_full_one_when_done(pairs, network, tmp_path, capsys):
    from domainvl.cli.main import main

    given = ["enhance", "eval", str(pairs.folder), "--enhancer", network, "--modes", "zero", "--threads", "1"]
    assert main([*given, "--out", str(tmp_path / "out"), "--split", "val"]) != 0
    told = capsys.readouterr().err
    assert "the split val has no pair" in told
    assert "None" not in told
    assert "pairs " not in told.partition("Nothing to evaluate")[0]
    assert main([*given, "--out", str(tmp_path / "out")]) == 0
    assert "8/8" in capsys.readouterr().err


def test_a_split_without_pairs_is_refused(pairs, network):
    with pytest.raises(NothingToDoError, match=r"the split val has no pair \(8 in test\)"):
        evaluate(pairs, [network], EvaluationSettings(split="val"))


def test_the_command_writes_everything_and_prints_table_and_verdict(pairs, network, tmp_path):
    from domainvl.cli.enhance_eval import evaluate as command

    result = _invoke(
        command, [str(pairs.folder), "--enhancer", network, "--out", str(tmp_path / "out"), "--threads", "1"]
    )
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "pairs.csv", "report.html"}
    assert f"{network}, zero offset against bicubic-x2: worse by PSNR" in result.output
    assert f"| {network}, own colours" in result.output
    again = _invoke(command, [str(pairs.folder), "--enhancer", network, "--out", str(tmp_path / "out")])
    assert "it exists" in str(again.exception)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--modes", "zero,truth"], "--modes must be zero, self or zero,self, got 'zero,truth'"),
        (["--lpips", "none.pth"], "No LPIPS weights in none.pth"),
    ],
)
def test_what_cannot_be_done_is_a_message(pairs, network, tmp_path, given, said):
    from domainvl.cli.enhance_eval import evaluate as command

    result = _invoke(command, [str(pairs.folder), "--enhancer", network, "--out", str(tmp_path / "out"), *given])
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "value"), [("--split", "tset"), ("--seed", "-1")])
def test_options_out_of_range_are_refused_at_once(pairs, network, tmp_path, option, value):
    from domainvl.cli.enhance_eval import evaluate as command

    out = str(tmp_path / "out")
    result = _invoke(command, [str(pairs.folder), "--enhancer", network, "--out", out, option, value])
    assert result.exit_code == 2
    assert option in result.output


def test_bicubic_is_not_called_the_best_by_what_it_has_by_definition(evaluated):
    line = next(line for line in evaluated.evaluation.lines if line.measure == "omission")
    assert best_of(line) == "good"
    spoilt = {name: value.model_copy(update={"value": 0.9}) for name, value in line.values.items()}
    spoilt["bicubic-x2"] = spoilt["bicubic-x2"].model_copy(update={"value": 0.1})
    line = line.model_copy(update={"values": spoilt})
    assert best_of(line, by_definition=["bicubic-x2"]) == "good"
    assert best_of(line) == "bicubic-x2"
    assert best_of(line, by_definition=["bicubic-x2", "good"]) is None


def test_pairs_that_are_broken_end_the_command_as_partial(write_pairs, pairs, network, tmp_path):
    from domainvl.cli.enhance_eval import evaluate as command

    views = [(record.group, *pairs.read(record)) for record in pairs.records[:2]]
    broken = write_pairs(tmp_path / "pairs", views)
    (broken.folder / broken.records[1].low).unlink()
    result = _invoke(command, [str(broken.folder), "--enhancer", network, "--out", str(tmp_path / "out")])
    assert result.exit_code == 8
    assert "1 pairs left out: unreadable" in result.output
    assert isinstance(PairSet(broken.folder), PairSet)


def _invoke(command, arguments):
    import typer

    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)
