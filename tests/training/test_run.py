"""The run as a whole: learning, resuming, logging, refusing."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from interleaved_documents import record_of, write_documents
from safetensors.torch import load_file

from domainvl.errors import DatasetError, StoppedError, UsageError
from domainvl.model.checkpoint import load_model
from domainvl.model.merging import merge_adapter
from domainvl.model.trained_on import read_trained_on, trained_on
from domainvl.schema import Split, read_samples
from domainvl.training.log import read_log
from domainvl.training.mixture import MixtureSpec, SourceSpec, mixture_of
from domainvl.training.rates import without_measured
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import Reporting, _agree, finetune
from domainvl.training.stopping import DivergedError


def recipe(untrained: Path, *changes: str, method: str = "lora") -> Recipe:
    return load_recipe(
        "quickstart/medical",
        model=str(untrained),
        method=method,
        overrides=[
            "optimisation.max_steps=8",
            "optimisation.batch_size=4",
            "optimisation.micro_batch_size=4",
            "validation.every_steps=4",
            "validation.max_samples=3",
            "validation.answers=1",
            "validation.max_new_tokens=3",
            "saving.every_steps=3",
            *changes,
        ],
    )


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = sorted((run / "checkpoint").glob("*.safetensors"))
    assert files
    return {name: value for file in files for name, value in load_file(file).items()}


def log_of(run: Path) -> list[dict]:
    return [without_measured(row) for row in read_log(run / "log.jsonl")]


def rows(run: Path, kind: str) -> list[dict]:
    return [row for row in read_log(run / "log.jsonl") if row["kind"] == kind]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_resumed_equals_uninterrupted(untrained: Path, squares: Path, tmp_path: Path, method: str) -> None:
    changes = ["optimisation.drop_path_rate=0.3", "optimisation.learning_rates.vision=1e-3"]
    if method == "lora":
        changes += ["lora.dropout=0.1", "lora.qkv=fused"]
    settings = recipe(untrained, *changes, method=method)
    finetune(settings, squares, tmp_path / "whole")
    finetune(settings, squares, tmp_path / "parts", stop_after_step=5)
    assert not (tmp_path / "parts" / "checkpoint").exists()
    finetune(settings, squares, tmp_path / "parts", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")


def test_checkpoints_say_what_they_and_their_base_were_trained_on(
    untrained: Path, squares: Path, tmp_path: Path
) -> None:
    """A run on two groups, then an adapter of it on one more; the best and the last checkpoint, and the merged one."""

    def part(name: str, groups: set[str]) -> Path:
        data = shutil.copytree(squares, tmp_path / name)
        lines = (data / "train.jsonl").read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["domainvl"]["group"] in groups]
        (data / "train.jsonl").write_text("".join(kept))
        return data

    first, second = part("first", {"g2", "g3"}), part("second", {"g6"})
    short = ("optimisation.max_steps=1", "validation.every_steps=1", "validation.keep_best=true")
    finetune(recipe(untrained, *short, method="full"), first, tmp_path / "base")
    finetune(recipe(tmp_path / "base" / "checkpoint", *short), second, tmp_path / "run")
    merge_adapter(str(tmp_path / "run"), tmp_path / "merged", squares, sample_count=1, max_new_tokens=1)
    samples = [list(read_samples(data, Split.TRAIN)) for data in (first, second)]
    for folder, wanted in (
        ("base/checkpoint", samples[0]),
        ("run/checkpoint", samples[0] + samples[1]),
        ("run/best", samples[0] + samples[1]),
        ("merged", samples[0] + samples[1]),
    ):
        found, expected = read_trained_on(tmp_path / folder), trained_on(wanted)
        assert found is not None
        assert found.groups.tolist() == expected.groups.tolist()
        assert found.images.tolist() == expected.images.tolist()


def test_rates_of_parts_are_logged_at_each_step(untrained: Path, squares: Path, tmp_path: Path) -> None:
    settings = recipe(untrained, "optimisation.learning_rates.vision=1e-3", "optimisation.warmup_ratio=0.5")
    finetune(settings, squares, tmp_path / "run")
    logged = rows(tmp_path / "run", "train")
    for row in logged:
        rates = row["learning_rates"]
        assert rates.keys() == {"vision", "projector", "language_model"}
        assert rates["vision"] == pytest.approx(rates["language_model"] / 3)  # 1e-3 beside 3e-3
        assert rates["projector"] == rates["language_model"] == row["learning_rate"]
    assert max(row["learning_rates"]["vision"] for row in logged) == pytest.approx(1e-3)


def test_adapter_of_a_quantised_base_says_so(untrained: Path, squares: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    finetune(recipe(untrained, "quantisation=nf4"), squares, tmp_path / "run")
    assert load_model(str(tmp_path / "run")).spec.training["quantisation"] == "nf4"
    losses = [row["loss"] for row in rows(tmp_path / "run", "train")]
    assert losses[-1] < losses[0]


def test_killed_between_saves_goes_back_to_the_last_save(untrained: Path, squares: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(row: dict) -> None:
        if row["step"] == 5:
            raise Killed

    settings = recipe(untrained)
    finetune(settings, squares, tmp_path / "whole")
    with pytest.raises(Killed):
        finetune(settings, squares, tmp_path / "killed", reporting=Reporting(on_row=kill))
    finetune(settings, squares, tmp_path / "killed", resume=True)
    assert [row["step"] for row in rows(tmp_path / "killed", "train")] == list(range(1, 9))
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(value, killed[name]) for name, value in whole.items())


def test_how_much_is_computed_at_a_time_does_not_change_what_is_learned(
    untrained: Path, squares: Path, tmp_path: Path
) -> None:
    """Answers differ in length, so a mean of the means of parts would differ."""
    grouped = "packing.arrangement=grouped"
    ways = {
        "rows": [grouped],
        "single rows": [grouped, "optimisation.micro_batch_size=1"],
        "parts of rows": [grouped, "compute.parts_per_pack=3"],
        "pack": ["packing.arrangement=packed"],
        "parts of packs": ["packing.arrangement=packed", "compute.parts_per_pack=3"],
    }
    losses = {}
    for name, changes in ways.items():
        finetune(recipe(untrained, *changes, "optimisation.loss_weighting=square"), squares, tmp_path / name)
        losses[name] = [row["loss"] for row in rows(tmp_path / name, "train")]
    for name in ("single rows", "parts of rows"):
        assert losses[name] == pytest.approx(losses["rows"], rel=1e-4)
    assert losses["parts of packs"] == pytest.approx(losses["pack"], rel=1e-4)


@pytest.mark.slow
def test_learns_and_only_what_the_method_allows(untrained: Path, squares: Path, tmp_path: Path) -> None:
    changes = ("optimisation.max_steps=60", "optimisation.batch_size=12", "optimisation.epochs=60")
    settings = recipe(untrained, *changes, "full.vision=false", method="full")
    summary = finetune(settings, squares, tmp_path / "run")
    losses = [row["loss"] for row in rows(tmp_path / "run", "train")]
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]
    before, after = load_model(str(untrained)), load_model(str(tmp_path / "run"))
    changed = {
        name
        for (name, old), new in zip(before.internvl.named_parameters(), after.internvl.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert not any("vision_tower" in name for name in changed)
    assert any("multi_modal_projector" in name for name in changed)
    assert any("lm_head" in name for name in changed)
    frozen = sum(value.numel() for value in before.internvl.model.vision_tower.parameters())
    total = sum(value.numel() for value in before.internvl.parameters())
    assert summary.trainable_parameters == total - frozen


def test_leaves_what_is_needed_to_use_and_to_understand_the_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = recipe(untrained, "preprocessing.max_tiles=3")
    finetune(settings, squares, run)
    assert load_recipe(str(run / "recipe.yaml")) == settings
    spec = load_model(str(run)).spec
    assert spec.kind == "adapter"
    assert spec.preprocessing.max_tiles == 3
    assert spec.preprocessing.tile_side_px == 64
    (source,) = spec.training["sources"].values()
    assert source["dataset"] == "squares"
    assert source["conversion_settings"] == {"groups": 24}
    assert [row["step"] for row in rows(run, "validation")] == [4, 8]
    assert {row["expected"] for row in rows(run, "answer")}
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (run / "state").exists()
    rates = [row["learning_rate"] for row in rows(run, "train")]
    assert max(rates) == pytest.approx(3e-3)
    assert rates[-1] < 0.1 * max(rates)


def test_refuses_to_overwrite_or_to_resume_another_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finetune(recipe(untrained), squares, run, stop_after_step=4)
    with pytest.raises(UsageError, match="add --resume"):
        finetune(recipe(untrained), squares, run)
    with pytest.raises(UsageError, match="the recipe has changed since the run was saved: seed was 0 and is 1"):
        finetune(recipe(untrained, "seed=1"), squares, run, resume=True)
    shutil.rmtree(run / "state")
    said: list[str] = []
    finetune(recipe(untrained), squares, run, resume=True, reporting=Reporting(say=said.append))
    assert any("begins at the start" in line for line in said)
    assert [row["step"] for row in rows(run, "train")] == list(range(1, 9))
    with pytest.raises(UsageError, match="the run in it is finished"):
        finetune(recipe(untrained), squares, run, resume=True)


def test_a_bad_line_stops_before_anything_is_written(untrained: Path, squares: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(squares, tmp_path / "data")
    lines = (damaged / "train.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace("<image>", "")
    (damaged / "train.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match=r"train\.jsonl:3: .*placeholders must equal the number of images"):
        finetune(recipe(untrained), damaged, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_sources_are_counted_apart(untrained: Path, squares: Path, tmp_path: Path) -> None:
    general = shutil.copytree(squares, tmp_path / "general")
    spec = mixture_of([squares], [general])
    settings = recipe(untrained, "mixture.general_ratio=0.5", "optimisation.max_steps=null", "optimisation.epochs=1")
    finetune(settings, spec, tmp_path / "run")
    logged = rows(tmp_path / "run", "train")
    names = list(spec.sources)
    for row in logged:
        assert sum(row["source_samples"].values()) == row["samples"]
        assert sum(row["source_tokens"].values()) == row["tokens"]
        assert set(row["source_losses"]) == {name for name in names if row["source_samples"][name]}
    totals = [sum(row["source_samples"][name] for row in logged) for name in names]
    assert totals == [36, 18]
    assert logged[-1]["percent"] == 100.0
    validation = rows(tmp_path / "run", "validation")
    assert set(validation[0]["source_losses"]) == set(names)
    record = load_model(str(tmp_path / "run")).spec.training["sources"]
    assert [source["role"] for source in record.values()] == ["domain", "general"]
    with pytest.raises(UsageError, match="no source is general data"):
        finetune(settings, squares, tmp_path / "alone")


def test_a_broken_image_is_left_out_counted_and_listed(untrained: Path, squares: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(squares, tmp_path / "data")
    first = json.loads((damaged / "train.jsonl").read_text().splitlines()[0])
    (damaged / first["image"]).write_bytes(b"not an image")
    settings = recipe(untrained, "mixture.error_budget=0.5", "optimisation.max_steps=null", "optimisation.epochs=1")
    summary = finetune(settings, damaged, tmp_path / "run")
    # Three questions of the group show that image: two about it, one about it and another.
    assert summary.skipped == {"unreadable-image": 3}
    listed = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert sorted(name for row in listed for name in row["samples"]) == [
        "00002/colour",
        "00002/count",
        "00002/where",
    ] or (len({name for row in listed for name in row["samples"]}) == 3)
    assert all(first["image"].rsplit("/", 1)[1] in row["message"] for row in listed)
    logged = rows(tmp_path / "run", "train")
    assert sum(row["samples"] for row in logged) == 33
    assert logged[-1]["skipped"] == {"unreadable-image": 3}
    with pytest.raises(
        StoppedError, match=r"at most 1.0% of 3[0-9] may fail \(mixture.error_budget\), got [123], the last: "
    ):
        finetune(recipe(untrained, "mixture.error_budget=0.01"), damaged, tmp_path / "strict")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
    untrained: Path, squares: Path, tmp_path: Path, number: signal.Signals, capfd: pytest.CaptureFixture
) -> None:
    def interrupt(row: dict) -> None:
        if row["kind"] == "train" and row["step"] == 4:
            os.kill(os.getpid(), number)

    settings = recipe(untrained, "saving.every_steps=100")
    finetune(settings, squares, tmp_path / "whole")
    with pytest.raises(StoppedError, match=r"at step 4 of 8, the state is saved. Go on with .* --resume"):
        finetune(settings, squares, tmp_path / "run", reporting=Reporting(on_row=interrupt))
    assert number.name in capfd.readouterr().err
    finetune(settings, squares, tmp_path / "run", resume=True)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "run")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_run_that_diverges_keeps_the_last_good_state(untrained: Path, squares: Path, tmp_path: Path) -> None:
    settings = recipe(untrained, "optimisation.learning_rate=1e30", "optimisation.warmup_ratio=0.9")
    with pytest.raises(DivergedError, match=r"diverged at step \d+ .*(loss|gradient norm) is (nan|inf)") as caught:
        finetune(settings, squares, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert "learning_rate" in str(caught.value)


def test_the_best_checkpoint_is_kept_and_patience_ends_the_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """With a rate that is far too high, things get worse before long."""
    changes = [
        "validation.every_steps=1",
        "validation.keep_best=true",
        "validation.patience=2",
        "validation.max_samples=9",
    ]
    changes += ["optimisation.max_steps=40", "optimisation.epochs=9", "optimisation.learning_rate=1.0"]
    settings = recipe(untrained, *changes)
    summary = finetune(settings, squares, tmp_path / "run")
    looks = rows(tmp_path / "run", "validation")
    losses = [row["loss"] for row in looks]
    best = losses.index(min(losses))
    assert summary.best is not None
    assert summary.best.step == best + 1
    assert [row["best"] for row in looks] == [
        loss < min(losses[:index], default=9e9) for index, loss in enumerate(losses)
    ]
    assert summary.ended_early is not None
    assert summary.steps == best + 3 < 40
    assert (tmp_path / "run" / "best" / "domainvl.json").is_file()
    kept = load_model(str(tmp_path / "run" / "best"))
    last = load_model(str(tmp_path / "run"))
    assert any(not torch.equal(a, b) for a, b in zip(kept.model.parameters(), last.model.parameters(), strict=True))


def test_answers_are_scored_by_who_is_asked_to(untrained: Path, squares: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def score(answered: list) -> float:
        asked.append(len(answered))
        return 0.25

    finetune(recipe(untrained, "validation.answers=3"), squares, tmp_path / "run", reporting=Reporting(score=score))
    assert asked == [3, 3]
    assert [row["answers_score"] for row in rows(tmp_path / "run", "validation")] == [0.25, 0.25]


def test_features_of_a_frozen_vision_encoder_are_kept(untrained: Path, squares: Path, tmp_path: Path) -> None:
    changes = ["lora.vision=frozen", "optimisation.max_steps=null", "optimisation.epochs=2", "validation.max_samples=0"]
    finetune(recipe(untrained, *changes), squares, tmp_path / "plain")
    cache = tmp_path / "cache"
    cached = recipe(untrained, *changes, "compute.cache_vision=true")
    finetune(cached, squares, tmp_path / "cached", vision_cache=cache)
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "cached")
    files = list(cache.rglob("*.safetensors"))
    assert len(files) == 24  # two images in each of twelve groups
    times = {path: path.stat().st_mtime_ns for path in files}
    finetune(cached, squares, tmp_path / "again", vision_cache=cache)
    assert times == {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "again")


def test_all_kinds_of_samples_in_one_run(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """One image, several images, no image, interleaved documents; a window with a missing image goes on without it."""
    shown, gone = ("a", 64, 64), ("gone", 8, 8)
    documents = [record_of(f"d{n}", "Red squares.", shown, "Blue squares.", gone, "More red.") for n in range(12)]
    web = write_documents(tmp_path / "web", documents, [shown])
    text = _without_images(squares, tmp_path / "text")
    spec = MixtureSpec(
        sources={
            "squares": SourceSpec(path=squares),
            "text": SourceSpec(path=text, role="general"),
            "web": SourceSpec(path=web, kind="interleaved", role="general", repeat=2),
        }
    )
    changes = ["optimisation.max_steps=null", "optimisation.epochs=1", "optimisation.batch_size=16"]
    settings = recipe(untrained, *changes, "validation.max_samples=4")
    said: list[str] = []
    finetune(settings, spec, tmp_path / "run", reporting=Reporting(say=said.append))
    logged = rows(tmp_path / "run", "train")
    totals = {name: sum(row["source_samples"][name] for row in logged) for name in spec.sources}
    assert totals["squares"] == totals["text"] == 36
    assert totals["web"] in (22, 24)  # each window twice; a document or two may be held out
    assert any(row["source_samples"]["text"] and row["source_samples"]["web"] for row in logged)
    assert any("web: left out" in line for line in said)
    assert len((tmp_path / "run" / "left-out.jsonl").read_text().splitlines()) >= 11


def _without_images(folder: Path, target: Path) -> Path:
    copy = shutil.copytree(folder, target)
    for path in copy.glob("*.jsonl"):
        lines = []
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if "conversations" in record:
                for key in ("image", "width", "height", "width_list", "height_list"):
                    record.pop(key, None)
                for turn in record["conversations"]:
                    turn["value"] = turn["value"].replace("Image-1: <image>\n", "").replace("Image-2: <image>\n", "")
                    turn["value"] = turn["value"].replace("<image>\n", "").replace("<image>", "")
                record["domainvl"] |= {"images": [], "objects": [], "answer": {"kind": "text", "text": "red"}}
            lines.append(json.dumps(record))
        path.write_text("".join(f"{line}\n" for line in lines))
    return copy


def test_bf16_answers_held_out_questions_too(untrained: Path, squares: Path, tmp_path: Path) -> None:
    """What is trained is held in float32 and the rest in bf16, so answers need the arithmetic of training."""
    finetune(recipe(untrained, "compute.precision=bf16", "lora.projector=full"), squares, tmp_path / "run")
    assert len(rows(tmp_path / "run", "answer")) == 2


def test_a_source_without_held_out_samples_is_looked_at_least(untrained: Path, squares: Path, tmp_path: Path) -> None:
    first = shutil.copytree(squares, tmp_path / "first")
    (first / "val.jsonl").unlink()
    finetune(recipe(untrained), mixture_of([first, squares]), tmp_path / "run")
    (name,) = (path.name for path in [squares])
    assert all(set(row["source_losses"]) == {name} for row in rows(tmp_path / "run", "validation"))


def test_broken_held_out_images_are_listed_and_no_look_is_made_of_nothing(
    untrained: Path, squares: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(squares, tmp_path / "data")
    trained_on = {image.path for sample in read_samples(damaged, Split.TRAIN) for image in sample.images}
    lost = {image.path for sample in read_samples(damaged, Split.VAL) for image in sample.images} - trained_on
    for path in lost:
        (damaged / path).write_bytes(b"")
    said: list[str] = []
    settings = recipe(untrained, "validation.max_samples=100", "validation.answers=9")
    finetune(settings, damaged, tmp_path / "run", reporting=Reporting(say=said.append))
    assert rows(tmp_path / "run", "validation") == []
    listed = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    names = [name for row in listed for name in row["samples"]]
    assert sorted(names) == sorted(sample.id for sample in read_samples(damaged, Split.VAL))
    assert any("held-out sample cannot be read" in line for line in said)
    assert rows(tmp_path / "run", "train")[-1]["skipped"] == {}


def test_the_best_needs_something_to_choose_by(untrained: Path, squares: Path, tmp_path: Path) -> None:
    without = shutil.copytree(squares, tmp_path / "without")
    (without / "val.jsonl").unlink()
    with pytest.raises(UsageError, match="no source has held-out samples"):
        finetune(recipe(untrained, "validation.keep_best=true"), without, tmp_path / "a")
    with pytest.raises(UsageError, match="no held-out answer of the domain can be scored"):
        finetune(recipe(untrained, "validation.best_by=answers"), squares, tmp_path / "b")
    with pytest.raises(UsageError, match=r"compute\.cache_vision is false"):
        finetune(recipe(untrained), squares, tmp_path / "c", vision_cache=tmp_path / "cache")


def test_what_does_not_change_what_is_learned_may_change_on_the_way(
    untrained: Path, squares: Path, tmp_path: Path
) -> None:
    finetune(recipe(untrained), squares, tmp_path / "run", stop_after_step=3)
    moved = shutil.copytree(untrained, tmp_path / "moved")
    changes = ["mixture.error_budget=0.5", "validation.every_steps=2", "saving.keep=2", "compute.parts_per_pack=2"]
    assert finetune(recipe(moved, *changes), squares, tmp_path / "run", resume=True).steps == 8


def test_held_out_questions_without_images_are_answered(untrained: Path, squares: Path, tmp_path: Path) -> None:
    text = _without_images(squares, tmp_path / "text")
    finetune(recipe(untrained, "validation.answers=3"), text, tmp_path / "run")
    assert len(rows(tmp_path / "run", "answer")) == 6


def test_a_look_that_fails_loses_no_steps(untrained: Path, squares: Path, tmp_path: Path) -> None:
    def fail(answered: list) -> float:
        raise RuntimeError("a fault of the scorer")

    settings = recipe(untrained, "saving.every_steps=100", "validation.every_steps=5")
    with pytest.raises(RuntimeError, match="a fault of the scorer"):
        finetune(settings, squares, tmp_path / "run", reporting=Reporting(score=fail))
    finetune(settings, squares, tmp_path / "run", resume=True)
    finetune(settings, squares, tmp_path / "whole")
    assert rows(tmp_path / "run", "train")[-1]["loss"] == rows(tmp_path / "whole", "train")[-1]["loss"]


def test_held_out_samples_that_changed_on_the_way_are_refused(untrained: Path, squares: Path, tmp_path: Path) -> None:
    data = shutil.copytree(squares, tmp_path / "data")
    finetune(recipe(untrained), data, tmp_path / "run", stop_after_step=3)
    lines = (data / "val.jsonl").read_text().splitlines()
    (data / "val.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UsageError, match="changed since the run was saved: held-out data"):
        finetune(recipe(untrained), data, tmp_path / "run", resume=True)


def test_attention_without_a_backward_pass_is_refused(untrained: Path, squares: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no backward pass on a CPU"):
        finetune(recipe(untrained, "compute.attention=flex_attention"), squares, tmp_path / "run")


class Elsewhere:
    """Stands for processes of which the first said something else."""

    def __init__(self, first: object, *, is_first: bool) -> None:
        self.first, self.is_first = first, is_first

    def gather_objects(self, value: object) -> list[object]:
        return [value if self.is_first else self.first, value]


def test_the_first_process_decides_whether_a_run_goes_on() -> None:
    def refuse() -> bool:
        raise UsageError("no")

    assert _agree(Elsewhere(None, is_first=True), lambda: True) is True
    assert _agree(Elsewhere(True, is_first=False), refuse) is True
    assert _agree(Elsewhere(False, is_first=False), lambda: True) is False
    for processes in (Elsewhere(None, is_first=True), Elsewhere(UsageError("no"), is_first=False)):
        with pytest.raises(UsageError, match="no"):
            _agree(processes, refuse)
