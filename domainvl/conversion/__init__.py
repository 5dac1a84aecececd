"""The frame that all converters share: plan units, convert each, write one data set.

A converter is found through the entry-point group ``domainvl.converters``, so another package can add a format. It
states its settings as a pydantic model, from which the command line makes its options.
"""

from domainvl.conversion.converter import (
    Converter,
    ConverterSettings,
    Division,
    Plan,
    UnitResult,
    converter_names,
    load_converter,
)
from domainvl.conversion.inspection import InspectingConverter, Inspection
from domainvl.conversion.progress import Progress
from domainvl.conversion.run import ConversionSummary, RunSettings, convert
from domainvl.conversion.shards import ShardSummary, merge_shards

__all__ = [
    "ConversionSummary",
    "Converter",
    "ConverterSettings",
    "Division",
    "InspectingConverter",
    "Inspection",
    "Plan",
    "Progress",
    "RunSettings",
    "ShardSummary",
    "UnitResult",
    "convert",
    "converter_names",
    "load_converter",
    "merge_shards",
]
