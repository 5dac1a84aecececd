"""Turns interleaved documents into simpler data: texts, pairs, windows, few-shot samples."""
