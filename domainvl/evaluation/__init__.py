"""Saying how good a model is: answers, metrics, intervals, baselines, the report."""
