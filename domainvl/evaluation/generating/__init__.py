"""Answers of a model to held-out samples: from a checkpoint or a server, in batches, resumed after a kill."""
