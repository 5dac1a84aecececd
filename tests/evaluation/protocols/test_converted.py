"""Protocols on data sets that the converters made: the facts that they select by are there."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from converted import Converted
from PIL import Image
from protocol_cases import value_of

from domainvl.converters.benchmarks.generate_driving import generate_bdd_x, generate_nuscenes_qa
from domainvl.converters.benchmarks.miniatures import (
    generate_class_folders,
    generate_dior_rsvg,
    generate_rsvqa,
    generate_vrsbench,
)
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot
from domainvl.errors import UsageError
from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.loading import choose_protocol, load_protocol
from domainvl.evaluation.protocols.scoring import empty_columns, pair_items, score_protocol, select_samples
from domainvl.schema import Split


def scored(protocol, samples):
    """Score the true answers."""
    selection = select_samples(protocol, samples)
    said = [Prediction(sample_id=sample.id, text=sample.turns[-1].text) for sample in samples]
    items = pair_items(selection, said)
    return items, {(line.variant, line.name): value_of(line.score) for line in score_protocol(protocol, items)}


def test_low_resolution(tmp_path):
    generate_rsvqa(tmp_path / "in", image_count=10, seed=1, questions_an_image=8)
    samples = Converted("rsvqa", tmp_path / "in", tmp_path / "out").of_split[Split.TEST]
    protocol = choose_protocol(map(sample_facts, samples))
    assert protocol.name == "rsvqa-lr"
    items, values = scored(protocol, samples)
    assert "presence" not in empty_columns(protocol, items)
    assert values["strict", "average"] == values["as-published", "average"] == 1


@pytest.mark.parametrize(("name", "official_split"), [("rsvqa-hr-test1", "test"), ("rsvqa-hr-test2", "test_phili")])
def test_high_resolution(tmp_path, name, official_split):
    splits = ("train", "val", "test", "test_phili")
    generate_rsvqa(tmp_path / "in", image_count=20, seed=1, questions_an_image=8, splits=splits)
    samples = Converted("rsvqa", tmp_path / "in", tmp_path / "out").of_split[Split.TEST]
    selection = select_samples(load_protocol(name), samples)
    official = {sample.images[0].source.details["official_split"] for sample in selection.samples}
    assert official == {official_split}
    # The questions of the other split, and those of rural and urban, which the benchmark does not ask.
    reasons = {reason.partition(" (")[0]: count for reason, count in selection.reasons.items()}
    assert set(reasons) == {"not of the benchmark", "of no line of the protocol"}
    assert sum(reasons.values()) == len(samples) - len(selection.samples)


def test_grounding(tmp_path):
    generate_dior_rsvg(tmp_path / "in", image_count=10, seed=1)
    samples = Converted("dior-rsvg", tmp_path / "in", tmp_path / "out").of_split[Split.TEST]
    protocol = choose_protocol(map(sample_facts, samples))
    items, values = scored(protocol, samples)
    assert (protocol.name, empty_columns(protocol, items)) == ("dior-rsvg", [])
    # boxes are written in whole thousandths
    assert values["strict", "mean IoU"] > 0.95
    assert values["strict", "accuracy at IoU 0.5"] == values["as-published", "accuracy at IoU 0.5"] == 1


def test_a_data_set_of_two_benchmarks_needs_a_name(tmp_path):
    generate_vrsbench(tmp_path / "in", scene_count=2, seed=1)
    samples = Converted("vrsbench", tmp_path / "in", tmp_path / "out").of_split[Split.TEST]
    with pytest.raises(UsageError, match="got vrsbench-grounding, vrsbench-vqa"):
        choose_protocol(map(sample_facts, samples))
    for name in ("vrsbench-grounding", "vrsbench-vqa"):
        items, values = scored(load_protocol(name), samples)
        assert 0 < len(items) < len(samples)
        assert {values[key] for key in values if "mean" not in key[1]} == {1.0}


def test_scenes(tmp_path):
    generate_class_folders(tmp_path / "in", images_a_class=10, seed=1)
    samples = Converted("class-folders", tmp_path / "in", tmp_path / "out", options=2).of_split[Split.TEST]
    protocol = choose_protocol(map(sample_facts, samples))
    items, values = scored(protocol, samples)
    assert (protocol.name, empty_columns(protocol, items)) == ("scene-classification", [])
    assert set(values.values()) == {1.0}


def test_clips(tmp_path):
    pytest.importorskip("av")
    generate_bdd_x(tmp_path / "in", video_count=4)
    done = Converted("bdd-x", tmp_path / "in", tmp_path / "out")
    protocol = choose_protocol(map(sample_facts, done.samples.values()))
    items, values = scored(protocol, list(done.samples.values()))
    assert (protocol.name, empty_columns(protocol, items)) == ("bdd-x", [])
    assert values["strict", "speed RMSE"] == values["strict", "turn RMSE"] == 0
    assert values["strict", "full BLEU-4"] == pytest.approx(1)


def test_six_views(tmp_path):
    generate_dataroot(tmp_path / "dataroot", scene_count=3, frames_per_scene=1, seed=0)
    generate_nuscenes_qa(tmp_path / "in", tmp_path / "dataroot" / VERSION)
    given = {"dataroot": tmp_path / "dataroot", "index": tmp_path / "index"}
    done = Converted("nuscenes-qa", tmp_path / "in", tmp_path / "out", **given)
    protocol = choose_protocol(map(sample_facts, done.samples.values()))
    items, values = scored(protocol, list(done.samples.values()))
    assert protocol.name == "nuscenes-qa"
    assert {"exist", "count", "object", "status", "comparison"}.isdisjoint(empty_columns(protocol, items))
    assert values["strict", "average"] == values["strict", "macro average"] == 1


def test_a_table_that_keeps_the_columns_of_mme_realworld(tmp_path):
    """The column of classes has the right option; four images suffice, two of each task."""
    tasks = {"Perception": "ab", "Reasoning": "cd"}
    rows = [(name, "car" if name in "ac" else "bus", task) for task, names in tasks.items() for name in names]
    (tmp_path / "in").mkdir()
    for number, (name, _, _) in enumerate(rows):
        Image.fromarray(np.full((32, 32, 3), 40 * number, dtype=np.uint8)).save(tmp_path / "in" / f"{name}.png")
    with (tmp_path / "in" / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "class", "Subtask", "Task", "Category"])
        writer.writerows([f"{name}.png", label, "Autonomous_Driving", task, "Object"] for name, label, task in rows)
    chosen = {"keep": "Subtask,Task,Category", "options": 2, "split": "test", "domain": "driving"}
    samples = Converted("image-table", tmp_path / "in", tmp_path / "out", **chosen).of_split[Split.TEST]
    assert "4 of 8 samples are of mme-realworld-driving" in choose_protocol(map(sample_facts, samples)).notes[-1]
    items, values = scored(load_protocol("mme-realworld-driving"), samples)
    assert len(items) == 4  # the questions without options are left out
    assert set(values.values()) == {1.0}
