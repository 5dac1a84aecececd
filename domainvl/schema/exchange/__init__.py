"""The data set in the formats of other trainers, and back."""

from domainvl.schema.exchange.export import ExportSummary, export_dataset, read_exported
from domainvl.schema.exchange.formats import ExchangedSample, ImageMode, format_names, load_format

__all__ = [
    "ExchangedSample",
    "ExportSummary",
    "ImageMode",
    "export_dataset",
    "format_names",
    "load_format",
    "read_exported",
]
