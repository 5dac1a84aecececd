"""Translates the questions and answers of a data set, and checks that what must not change did not."""
