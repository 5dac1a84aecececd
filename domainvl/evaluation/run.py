"""The evaluation: a model beside others on held-out samples, by a protocol, from questions to what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from domainvl import __version__
from domainvl.errors import DatasetError, UsageError
from domainvl.evaluation.assessment import Answers, assess
from domainvl.evaluation.contestants import MAJORITY_OF, Asking, Contestant, Contestants, line_up, slug
from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.generating.answerer import answer_all
from domainvl.evaluation.generating.inputs import INPUTS_FOLDER, save_inputs
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.judging import Judging, judge_system
from domainvl.evaluation.leakage import find_leak
from domainvl.evaluation.pairing import pair_predictions
from domainvl.evaluation.predictions import read_predictions, write_predictions
from domainvl.evaluation.protocols.loading import choose_protocol, load_protocol, protocol_sha256
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import Selection, select_samples
from domainvl.evaluation.results import RESULTS_NAME, Data, Leak, Results, Run, read_results, write_results
from domainvl.evaluation.specialists.published import numbers_of
from domainvl.evaluation.statistics.resampling import BootstrapSettings
from domainvl.evaluation.tables import score_table, verdict_table
from domainvl.evaluation.workplace import journal_path, open_workplace
from domainvl.files import hash_file, write_atomically
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Sample, SampleFile, Split, read_manifest, spread

TABLE_NAME = "scores.md"

Progress = Callable[[str, int, int], None]
"""Called with the name of a system, the number of its answers so far and in all."""


@dataclass(frozen=True)
class EvaluationSettings:
    """On what, and how answers are generated and scored.

    Attributes:
        split: Which part of the data set.
        protocol: Name or file of the protocol; where None, that of the benchmark that the data set is of, else the
            generic one.
        limit: Score only so many samples, evenly spread; all where None.
        batch_size: Samples at a time; no answer depends on it.
        max_new_tokens: Longest answer; the protocol's where None.
        max_tiles: Most tiles a sample; the checkpoint's own where None.
        devices: Where the model runs; one process each if there are several; ``auto`` takes a GPU if there is one.
        measure_cost: Measure the time of an image at batch 1.
        save_inputs: Write what the model sees.
        bootstrap: How intervals are made.
        command: What was run, for the record.
    """

    split: Split = Split.TEST
    protocol: str | None = None
    limit: int | None = None
    batch_size: int = 32
    max_new_tokens: int | None = None
    max_tiles: int | None = None
    devices: tuple[str, ...] = ("auto",)
    measure_cost: bool = True
    save_inputs: bool = False
    bootstrap: BootstrapSettings = field(default_factory=BootstrapSettings)
    command: str = ""


@dataclass(frozen=True)
class HeldOut:
    """What is asked.

    Attributes:
        dataset: Folder of the data set.
        protocol: By which it is scored.
        selection: The samples.
        split: All samples of the split.
        data: What is asked, in words.
    """

    dataset: Path
    protocol: Protocol
    selection: Selection
    split: Sequence[Sample]
    data: Data


Further: TypeAlias = Callable[[HeldOut, EvaluationSettings, Path], str]
"""A further experiment on the same samples: given how they are asked, it writes its findings into a folder and returns
them as a table."""


def evaluate(
    contestants: Contestants,
    dataset: Path,
    out: Path,
    *,
    settings: EvaluationSettings | None = None,
    judging: Judging | None = None,
    further: Sequence[Further] = (),
    on_progress: Progress | None = None,
) -> Results:
    """Ask systems held-out questions, score them, compare the first with the others, and write it all.

    A run that was killed goes on from the answers that are there, if it is given the same.

    Args:
        contestants: Who answers.
        dataset: The data set's folder.
        out: Folder to make: scores.json, scores.md, a file of predictions a system.
        settings: How.
        judging: A model that rates answers; none is asked where None.
        further: Experiments on the same samples, whose findings are written beside.
        on_progress: Told how far each system is.

    Returns:
        What was written.

    Raises:
        UsageError: If ``out`` is there already, or answers of another run are.
        CheckpointError: If a checkpoint cannot be used, or does not fit the data set.
        DatasetError: If a file of predictions does not fit the data set.
        NothingToDoError: If there is nothing to ask.
    """
    settings = settings or EvaluationSettings()
    with open_workplace(out) as work:
        held_out = open_held_out(dataset, settings)
        asking = _fit(settings, held_out.protocol)
        line = line_up(contestants, dataset, held_out.selection.samples, _how(asking), split=held_out.split)
        answers = [_judged(_answer(one, held_out, work, on_progress), held_out, work, judging) for one in line]
        tables = [experiment(held_out, asking, work) for experiment in further]
        results = _find(held_out, asking, line, answers)
        preprocessing = _preprocessing(line)
        if settings.save_inputs and preprocessing is not None:
            save_inputs(held_out.selection.samples, dataset, preprocessing, work / INPUTS_FOLDER)
        _write(work, answers, results, tables)
    return results


def _find(
    held_out: HeldOut, asking: EvaluationSettings, line: Sequence[Contestant], answers: Sequence[Answers]
) -> Results:
    """Score the answers and put together all that is known."""
    protocol, preprocessing = held_out.protocol, _preprocessing(line)
    found = assess(protocol, held_out.selection, answers, asking.bootstrap)
    return Results(
        protocol=protocol.name,
        protocol_version=protocol.version,
        protocol_sha256=protocol_sha256(asking.protocol or protocol.name),
        protocol_file=asking.protocol if asking.protocol not in (None, protocol.name) else None,
        title=protocol.title,
        headline=protocol.headline,
        data=held_out.data,
        run=_run(asking, preprocessing),
        systems=found.systems,
        lines=found.lines,
        comparisons=found.comparisons,
        breakdowns=found.breakdowns,
        calibration=found.calibration,
        confusion=found.confusion,
        published=tuple(numbers_of(protocol.name)),
        leaks=_leaks(line, held_out.selection.samples),
        unchecked=tuple(one.system.name for one in line if one.is_unchecked),
        notes=(*protocol.notes, *_asking_notes(asking, held_out, preprocessing), *_gaps(held_out, line), *found.notes),
    )


def _gaps(held_out: HeldOut, line: Sequence[Contestant]) -> list[str]:
    """Say what is missing among the systems."""
    found = []
    if not any(MAJORITY_OF in one.system.about for one in line):
        found.append(f"There is no majority answer: it was left out, or {held_out.data.name} has no train.jsonl")
    return found


def _preprocessing(line: Sequence[Contestant]) -> Preprocessing | None:
    return next((one.preprocessing for one in line if one.preprocessing is not None), None)


def open_held_out(dataset: Path, settings: EvaluationSettings) -> HeldOut:
    """Read the samples of a split that a protocol asks.

    Raises:
        InputNotFoundError: If there is no data set.
        NothingToDoError: If no sample is asked.
    """
    samples = SampleFile(dataset, settings.split)
    everything = [samples[index] for index in range(len(samples))]
    if settings.protocol is not None:
        protocol = load_protocol(settings.protocol)
    else:
        protocol = choose_protocol(sample_facts(sample) for sample in everything)
    selection = _limited(select_samples(protocol, everything), settings.limit)
    manifest = read_manifest(dataset)
    data = Data(
        name=str(manifest["name"]),
        folder=str(dataset),
        split=settings.split.value,
        sha256=hash_file(dataset / f"{settings.split.value}.jsonl"),
        samples=len(selection.samples),
        groups=len({sample.group for sample in selection.samples}),
        limit=settings.limit,
        excluded=selection.reasons,
    )
    return HeldOut(dataset, protocol, selection, everything, data)


def _limited(selection: Selection, limit: int | None) -> Selection:
    places = spread(len(selection.samples), limit)
    kept = set(places)
    return replace(
        selection,
        samples=tuple(selection.samples[place] for place in places),
        facts=tuple(selection.facts[place] for place in places),
        left_out=(
            *selection.left_out,
            *(sample.id for place, sample in enumerate(selection.samples) if place not in kept),
        ),
    )


def _fit(settings: EvaluationSettings, protocol: Protocol) -> EvaluationSettings:
    """Return the settings with the protocol's where nothing else was said."""
    return replace(settings, max_new_tokens=settings.max_new_tokens or protocol.asking.max_new_tokens)


def _how(asking: EvaluationSettings) -> Asking:
    return Asking(
        split=asking.split,
        devices=asking.devices,
        batch_size=asking.batch_size,
        max_new_tokens=asking.max_new_tokens or 1,
        max_tiles=asking.max_tiles,
        measure=asking.measure_cost,
    )


def _answer(one: Contestant, held_out: HeldOut, work: Path, on_progress: Progress | None) -> Answers:
    samples = held_out.selection.samples
    if one.given is not None:
        where = one.system.about.get("answers")
        given = pair_predictions(samples, one.given, not_asked=held_out.selection.left_out, where=where)
        return Answers(one.system, given)
    answerer = one.make(Options(samples))
    told = (lambda done, total: on_progress(one.system.name, done, total)) if on_progress else None
    identity = {"data": held_out.data.sha256, "protocol": held_out.protocol.name}
    answered = answer_all(answerer, samples, journal_path(work, slug(one.system.name)), identity, told)
    return Answers(one.system.model_copy(update={"cost": answered.cost}), answered.predictions)


def _judged(answers: Answers, held_out: HeldOut, work: Path, judging: Judging | None) -> Answers:
    if judging is None:
        return answers
    samples = held_out.selection.samples
    by_id = {prediction.sample_id: prediction for prediction in answers.predictions}
    path = work / f"judgements-{slug(answers.system.name)}.jsonl"
    journal = journal_path(work, f"judge-{slug(answers.system.name)}")
    lines = judge_system(judging, samples, [by_id[sample.id] for sample in samples], path, journal)
    about = {**answers.system.about, **judging.judge.identity, "judge's prompt": judging.prompt.name}
    return replace(answers, further=lines, system=answers.system.model_copy(update={"about": about}))


def _leaks(line: Sequence[Contestant], samples: Sequence[Sample]) -> tuple[Leak, ...]:
    found = [find_leak(one.system.name, one.trained_on, samples) for one in line if one.trained_on is not None]
    return tuple(leak for leak in found if leak is not None)


def _run(asking: EvaluationSettings, preprocessing: Preprocessing | None) -> Run:
    told = {
        "longest answer": f"{asking.max_new_tokens} tokens",
        "decoding": "greedy",
        "batch size": str(asking.batch_size),
    }
    if preprocessing is not None:
        told["tile limit"] = str(preprocessing.max_tiles)
        told["resizing"] = preprocessing.resize
    return Run(
        domainvl=__version__,
        command=asking.command,
        resamples=asking.bootstrap.resamples,
        confidence=asking.bootstrap.confidence,
        seed=asking.bootstrap.seed,
        asking=told,
    )


def _asking_notes(asking: EvaluationSettings, held_out: HeldOut, preprocessing: Preprocessing | None) -> list[str]:
    """Say where the questions are asked otherwise than the official evaluation asks them."""
    official = held_out.protocol.asking
    notes = []
    if asking.max_new_tokens != official.max_new_tokens:
        notes.append(f"Answers may have {asking.max_new_tokens} tokens; the protocol says {official.max_new_tokens}")
    if preprocessing is not None and official.max_tiles not in (None, preprocessing.max_tiles):
        notes.append(f"Images have at most {preprocessing.max_tiles} tiles; the protocol says {official.max_tiles}")
    if official.prompt_suffix is not None:
        others = [
            sample.id
            for sample in held_out.selection.samples
            if not sample.turns[-2].text.rstrip().endswith(official.prompt_suffix.strip())
        ]
        if others:
            notes.append(
                f"{len(others)} prompts do not end with the protocol's {official.prompt_suffix.strip()!r}, "
                f"for example that of {others[0]}"
            )
    return notes


def _write(work: Path, answers: Sequence[Answers], results: Results, further: Sequence[str]) -> None:
    for one in answers:
        write_predictions(work / one.system.predictions, one.predictions)
    write_results(work / RESULTS_NAME, results)
    tables = [score_table(results), *([verdict_table(results)] if results.comparisons else []), *further]
    write_atomically(work / TABLE_NAME, "\n".join(tables).encode())


def rescore(folders: Sequence[Path], dataset: Path | None = None) -> Results:
    """Put the systems of several evaluations together and compare the first with all others.

    Args:
        folders: Of evaluations of the same samples by the same protocol.
        dataset: Where the data set is now; where it was then, if None.

    Raises:
        InputNotFoundError: If a folder holds no results, or the data set is gone.
        UsageError: If data, protocol or samples differ.
        DatasetError: If predictions do not fit the data set.
    """
    every = [read_results(folder) for folder in folders]
    first = every[0]
    for folder, other in zip(folders, every, strict=True):
        _check_same(first, other, folders[0], folder)
    held_out = open_held_out(
        dataset or Path(first.data.folder),
        EvaluationSettings(
            split=Split(first.data.split),
            protocol=first.protocol_file or first.protocol,
            limit=first.data.limit,
        ),
    )
    now = protocol_sha256(first.protocol_file or first.protocol)
    if now != first.protocol_sha256:
        raise UsageError(
            "Cannot compare",
            where=folders[0],
            rule=f"the protocol {first.protocol} has changed since: it was version {first.protocol_version} with hash "
            f"{first.protocol_sha256[:12]}, and is version {held_out.protocol.version} with {now[:12]}",
            action="Evaluate again: domainvl eval --predictions scores what was answered",
        )
    if held_out.data.sha256 != first.data.sha256:
        raise DatasetError(
            "Cannot compare",
            where=held_out.dataset,
            rule="the data set is another than the one that was scored",
            action="Name the one that was, or evaluate again",
        )
    names = _unique_names(folders, every)
    answers = [
        Answers(
            system.model_copy(update={"name": names[folder, system.name]}),
            read_predictions(folder / system.predictions),
        )
        for folder, results in zip(folders, every, strict=True)
        for system in results.systems
        if (folder, system.name) in names
    ]
    run = first.run
    settings = BootstrapSettings(resamples=run.resamples, confidence=run.confidence, seed=run.seed)
    found = assess(held_out.protocol, held_out.selection, answers, settings)
    renamed = {
        (folder, leak.system): leak.model_copy(update={"system": names[folder, leak.system]})
        for folder, results in zip(folders, every, strict=True)
        for leak in results.leaks
        if (folder, leak.system) in names
    }
    return first.model_copy(
        update={
            "systems": found.systems,
            "lines": found.lines,
            "comparisons": found.comparisons,
            "breakdowns": found.breakdowns,
            "calibration": found.calibration,
            "confusion": found.confusion,
            "leaks": tuple(renamed.values()),
            "unchecked": tuple(
                names[folder, name]
                for folder, results in zip(folders, every, strict=True)
                for name in results.unchecked
                if (folder, name) in names
            ),
            "notes": tuple(dict.fromkeys(note for results in every for note in results.notes)),
        }
    )


def identity_of(results: Results) -> dict[str, str]:
    """Return what the answers of an evaluation depend on, by name."""
    weights = [system.about["weights"] for system in results.systems if "weights" in system.about]
    return {
        "model": " ".join(weights),
        "data set": results.data.sha256,
        "split": results.data.split,
        "limit": str(results.data.limit),
        **results.run.asking,
        "batch size": "",  # no answer depends on it
    }


def expected_identity(contestants: Contestants, dataset: Path, settings: EvaluationSettings) -> dict[str, str]:
    """Return the :func:`identity_of` the results that :func:`evaluate` would give.

    Raises:
        CheckpointError: If a checkpoint cannot be used.
        NothingToDoError: If there is nothing to ask.
    """
    held_out = open_held_out(dataset, settings)
    asking = _fit(settings, held_out.protocol)
    line = line_up(contestants, dataset, held_out.selection.samples, _how(asking), split=held_out.split)
    weights = [one.system.about["weights"] for one in line if "weights" in one.system.about]
    return {
        "model": " ".join(weights),
        "data set": held_out.data.sha256,
        "split": held_out.data.split,
        "limit": str(held_out.data.limit),
        **_run(asking, _preprocessing(line)).asking,
        "batch size": "",
    }


def _check_same(first: Results, other: Results, first_folder: Path, folder: Path) -> None:
    pairs = {
        "protocol": (f"{first.protocol} {first.protocol_sha256}", f"{other.protocol} {other.protocol_sha256}"),
        "data": (first.data.sha256, other.data.sha256),
        "split": (first.data.split, other.data.split),
        "limit": (first.data.limit, other.data.limit),
    }
    different = [f"{name} {mine} and {theirs}" for name, (mine, theirs) in pairs.items() if mine != theirs]
    if different:
        raise UsageError(
            "Cannot compare",
            where=folder,
            rule=f"it must be of the same samples by the same protocol as {first_folder}: {'; '.join(different)}",
            action="Evaluate again on the same data",
        )


def _unique_names(folders: Sequence[Path], every: Sequence[Results]) -> Mapping[tuple[Path, str], str]:
    """Name the systems of all folders by their folder; a majority answer that is the same in several is taken once.

    Raises:
        UsageError: If two folders have one name.
    """
    labels = [folder.resolve().name for folder in folders]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        rule = f"each folder must have a name of its own, {', '.join(repeated)} is there twice"
        raise UsageError("Cannot compare", rule=rule, action="Rename one of them")
    names: dict[tuple[Path, str], str] = {}
    shared: dict[str, str] = {}
    for folder, label, results in zip(folders, labels, every, strict=True):
        for system in results.systems:
            learned_from = system.about.get(MAJORITY_OF)
            if learned_from is None or shared.setdefault(system.name, learned_from) != learned_from:
                names[folder, system.name] = f"{label}: {system.name}"
            elif system.name not in names.values():
                names[folder, system.name] = system.name
    return names
