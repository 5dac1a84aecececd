"""Checks the filters by hand: samples what they kept and dropped, takes marks, says how often each rule errs."""
