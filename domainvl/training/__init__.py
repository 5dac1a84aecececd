"""Adapting a model to a data set: recipe, batches, the loop, resuming."""
