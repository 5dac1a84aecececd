"""A data set in few large files, without re-encoding, and back byte for byte."""

from domainvl.schema.packing.pack import PackKind, PackSummary, pack_dataset
from domainvl.schema.packing.unpack import UnpackSummary, unpack_dataset

__all__ = ["PackKind", "PackSummary", "UnpackSummary", "pack_dataset", "unpack_dataset"]
