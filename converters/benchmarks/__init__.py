"""Converters of published benchmarks, one module a benchmark."""
