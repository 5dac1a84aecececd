"""Interleaved documents in OmniCorpus' format as a source of training data: read, checked, cut into windows."""

from domainvl.interleaved.file import InterleavedFile, InterleavedWindow, Skipped
from domainvl.interleaved.windows import WindowLimits

__all__ = ["InterleavedFile", "InterleavedWindow", "Skipped", "WindowLimits"]
