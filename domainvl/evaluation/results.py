"""What an evaluation found, as it stands in ``scores.json``: the report and every comparison are made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domainvl.errors import DatasetError, InputNotFoundError
from domainvl.evaluation.protocols.protocol import Variant
from domainvl.files import write_atomically

RESULTS_NAME = "scores.json"

FROM_SCRATCH = "none"
"""The pretraining of a system that started from random weights."""

SystemKind: TypeAlias = Literal["adapted", "base", "baseline", "specialist", "other"]
Verdict: TypeAlias = Literal["better", "worse", "not distinguishable"]


class _Part(BaseModel):
    # inf_nan_mode keeps NaN out of the JSON: what cannot be computed is None.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Cost(_Part):
    """What the answers of a system took, as measured in this run.

    Attributes:
        device: Where it ran.
        seconds: Wall time of all answers, without loading the model.
        ms_per_image: At batch 1, median over some images: from pixels to the end of the answer; None if not measured.
        answers: Number of answers that these seconds are about; fewer than all where a run was resumed.
        visual_tokens: Number of visual tokens read.
        tokens: Number of tokens written.
        peak_memory_gb: Largest memory in use, of the GPU where it ran on one, else of the process; in 10^9 bytes.
    """

    device: str
    seconds: float
    answers: int
    ms_per_image: float | None = None
    visual_tokens: int | None = None
    tokens: int | None = None
    peak_memory_gb: float | None = None


class System(_Part):
    """One that answered.

    Attributes:
        name: Unique in the results.
        kind: What it is.
        predictions: Name of its file of answers, beside the results.
        pretraining: What a specialist started from, such as ``ImageNet-1k``; ``none`` if from scratch.
        about: What else is known of it, by name: checkpoint, weights, recipe, endpoint, tile limit.
        cost: What its answers took; None where they came from a file.
        empty: Number of empty answers.
        cut_off: Number of answers that were longer than allowed.
    """

    name: str
    kind: SystemKind
    predictions: str
    pretraining: str | None = None
    about: dict[str, str] = Field(default_factory=dict)
    cost: Cost | None = None
    empty: int = 0
    cut_off: int = 0


class Value(_Part):
    """A score with its interval.

    Attributes:
        value: The score; None where there is none, such as an AUROC of one class.
        low: Lower end of the interval.
        high: Upper end.
        unreadable: Number of answers that could not be read as what was asked for.
        uncounted: Number of samples that the rule leaves out for this system.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    unreadable: int = 0
    uncounted: int = 0


class Line(_Part):
    """One number of the protocol, for all systems.

    Attributes:
        name: Name of the column or average.
        metric: What is measured, with threshold or unit.
        variant: Whether it follows the official code's flaws.
        average: ``micro``, ``macro`` or the name of a formula; None for a column.
        flaw: What the flaw of the official code is.
        n: Number of samples.
        groups: Number of groups.
        uncounted: Number of samples that the rule leaves out for the first system.
        higher_is_better: False for errors.
        values: By name of the system.
    """

    name: str
    metric: str
    variant: Variant
    average: str | None = None
    flaw: str | None = None
    n: int
    groups: int
    uncounted: int = 0
    higher_is_better: bool = True
    values: dict[str, Value]


class Comparison(_Part):
    """Two systems on the same samples, one line of the verdict.

    Attributes:
        name: Name of the line.
        variant: Of the line.
        a: The system that the verdict is about.
        b: The other.
        difference: a minus b.
        low: Lower end of its interval.
        high: Upper end.
        p_bootstrap: Two-sided, from the paired bootstrap over groups; None where there is no difference to test.
        p_mcnemar: McNemar's exact test over samples, which takes them for independent; None where answers are not
            simply right or wrong.
        p_holm: ``p_bootstrap`` after Holm's correction over the lines that b is compared on.
        smallest_difference: The smallest true difference that this set would show with a probability of 80 %; None if
            no possible one would.
        verdict: Of a against b; by ``p_holm``.
        words: The verdict as a sentence. Against a specialist trained from scratch it never says "better than the
            specialist".
    """

    name: str
    variant: Variant
    a: str
    b: str
    difference: float | None
    low: float | None
    high: float | None
    p_bootstrap: float | None
    p_mcnemar: float | None
    p_holm: float | None
    smallest_difference: float | None
    verdict: Verdict
    words: str


class Breakdown(_Part):
    """One line for the samples that share a fact.

    Attributes:
        line: Name of the line; the headline where empty.
        factor: Name of the fact, such as ``modality``.
        level: Its value, such as ``CT``.
        n: Number of samples.
        groups: Number of groups.
        values: By name of the system.
    """

    line: str = ""
    factor: str
    level: str
    n: int
    groups: int
    values: dict[str, Value]


class ReliabilityBin(_Part):
    """Answers that a system was about equally sure of."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Calibration(_Part):
    """How well a system knows what it knows, over the samples with options.

    Attributes:
        system: Its name.
        ece: Expected calibration error and its interval.
        n: Number of samples.
        bins: Bins that are not empty, in order.
    """

    system: str
    ece: Value
    n: int
    bins: tuple[ReliabilityBin, ...]


class Confusion(_Part):
    """What a system said where something else was true.

    Attributes:
        system: Its name.
        name: Of the question or task.
        labels: True answers, most frequent first; the last is "(Rarer)" where there are too many.
        said: What was said: the same without "(Rarer)", and "(Other)" for everything else.
        counts: Row by true label, column by what was said.
    """

    system: str
    name: str
    labels: tuple[str, ...]
    said: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class PublishedNumber(_Part):
    """What others have reported by the same protocol.

    Attributes:
        model: The model.
        kind: Whether it is a specialist of the field or a general model.
        name: Name of the line.
        value: In the unit of the line: a share of 1 where the line is one.
        split: On which samples.
        metric: Variant of the metric and average.
        source: Where it stands.
        doubt: Why it may be wrong or not comparable; None where nothing is known against it.
    """

    model: str
    kind: Literal["specialist", "general", "ours"]
    name: str
    value: float
    split: str
    metric: str
    source: str
    doubt: str | None = None


class Leak(_Part):
    """What the held-out samples share with what a system was trained on.

    Attributes:
        system: Its name.
        groups: Number of groups that were trained on.
        images: Number of images that were trained on.
        samples: Number of held-out samples that are about either.
        examples: Ids of the first three.
    """

    system: str
    groups: int
    images: int
    samples: int
    examples: tuple[str, ...]


class Data(_Part):
    """What was scored.

    Attributes:
        name: Name of the data set.
        folder: Where it was.
        split: Which part.
        sha256: Hash of the part's file.
        samples: Number of samples that were asked.
        groups: Number of groups.
        limit: So many were taken, evenly spread; None for all.
        excluded: Number of samples that the protocol leaves out, by reason.
    """

    name: str
    folder: str
    split: str
    sha256: str
    samples: int
    groups: int
    limit: int | None = None
    excluded: dict[str, int] = Field(default_factory=dict)


class Run(_Part):
    """How it was made.

    Attributes:
        domainvl: Version.
        command: What was run.
        resamples: Of the bootstrap.
        confidence: Of the intervals.
        seed: Of the resampling.
        asking: How questions were asked here, by name: longest answer, tile limit, batch size, decoding.
    """

    domainvl: str
    command: str
    resamples: int
    confidence: float
    seed: int
    asking: dict[str, str] = Field(default_factory=dict)


class Results(_Part):
    """All of an evaluation by one protocol on one data set.

    Attributes:
        schema_version: Of this file.
        protocol: Name of the protocol.
        protocol_version: Its version.
        protocol_sha256: Hash of its file.
        protocol_file: Where that was; None for one that ships with domainvl.
        title: Its title.
        headline: Name of the line that the verdict is about.
        data: What was scored.
        run: How.
        systems: Who answered; the one that the verdict is about first.
        lines: Every number of the protocol.
        comparisons: The first system against each of the others, on every strict line.
        breakdowns: One line by facts, the headline if the protocol does not say another.
        calibration: Of the systems that say how sure they are of options.
        confusion: Of systems and tasks with few different answers.
        published: What others have reported.
        leaks: What was trained on too.
        unchecked: Systems of which it is not known what they were trained on.
        notes: What a reader should know.
    """

    schema_version: Literal[1] = 1
    protocol: str
    protocol_version: int
    protocol_sha256: str = ""
    protocol_file: str | None = None
    title: str
    headline: str
    data: Data
    run: Run
    systems: tuple[System, ...]
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    calibration: tuple[Calibration, ...] = ()
    confusion: tuple[Confusion, ...] = ()
    published: tuple[PublishedNumber, ...] = ()
    leaks: tuple[Leak, ...] = ()
    unchecked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON; the file takes its name only when it is complete.

    Raises:
        OutputError: If it cannot be written.
    """
    write_atomically(path, (results.model_dump_json(indent=1) + "\n").encode())


def read_results(path: Path) -> Results:
    """Read results.

    Args:
        path: The file, or the folder of an evaluation.

    Raises:
        InputNotFoundError: If there is no such file.
        DatasetError: If it is not what :func:`write_results` writes.
    """
    path = path / RESULTS_NAME if path.is_dir() else path
    action = "Name a folder made by domainvl eval"
    if not path.is_file():
        raise InputNotFoundError("Cannot read results", where=path, rule="there is no such file", action=action)
    try:
        return Results.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        rule = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DatasetError("Cannot read results", where=path, rule=rule, action=action) from error
