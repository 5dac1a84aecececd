"""Interleaved documents in OmniCorpus' format as a source of training data: read, checked, cut into windows."""

from domainvl.training.interleaved.file import InterleavedFile, InterleavedWindow, Skipped
from domainvl.training.interleaved.windows import WindowLimits

__all__ = ["InterleavedFile", "InterleavedWindow", "Skipped", "WindowLimits"]
