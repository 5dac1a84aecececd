"""Doing many independent units of work, so that one that fails never takes the others with it.

Units go in, small results come out; pixels never pass through here.
"""

from domainvl.engine.executors import Execution, make_executor
from domainvl.engine.identity import WHERE, FileState, FileStates, fingerprint
from domainvl.engine.ledger import Ledger, Part
from domainvl.engine.limits import Limits, default_limits, usable_cores
from domainvl.engine.run import Executor, InThisProcess, run_units
from domainvl.engine.shard import Shard
from domainvl.engine.work import Outcome, UnitFailure, attempt

__all__ = [
    "WHERE",
    "Execution",
    "Executor",
    "FileState",
    "FileStates",
    "InThisProcess",
    "Ledger",
    "Limits",
    "Outcome",
    "Part",
    "Shard",
    "UnitFailure",
    "attempt",
    "default_limits",
    "fingerprint",
    "make_executor",
    "run_units",
    "usable_cores",
]
