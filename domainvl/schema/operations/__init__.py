"""Operations on whole data sets: merge, split, sample, diff. None decodes an image or holds more than one sample."""

from domainvl.schema.operations.diff import ChangedSample, DatasetDiff, DiffSettings, diff_datasets
from domainvl.schema.operations.merge import MergedInput, MergeSummary, merge_datasets
from domainvl.schema.operations.sample import SampleSettings, SampleSummary, sample_dataset
from domainvl.schema.operations.split import SplitSummary, split_dataset
from domainvl.schema.operations.strata import Stratify

__all__ = [
    "ChangedSample",
    "DatasetDiff",
    "DiffSettings",
    "MergeSummary",
    "MergedInput",
    "SampleSettings",
    "SampleSummary",
    "SplitSummary",
    "Stratify",
    "diff_datasets",
    "merge_datasets",
    "sample_dataset",
    "split_dataset",
]
