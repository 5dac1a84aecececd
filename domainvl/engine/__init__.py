"""Running many independent units of work, so that one that fails never takes the others with it."""

from domainvl.engine.run import Outcome, UnitFailure, run_units

__all__ = ["Outcome", "UnitFailure", "run_units"]
