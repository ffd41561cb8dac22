"""A margin exchange to rehearse against: there is no margin testnet.

Written apart from the scheduler, of which it only knows what a request and a reply look like, so
that the two cannot share a mistake.
"""

from .accounts import SimulatedAccount
from .faults import Fault
from .ledger import Arrival, Ledger, Transaction
from .options import Options
from .scenario import Scenario, load_scenario, run_scenario, scenario_names
from .simulator import Simulator

__all__ = [
    "Arrival",
    "Fault",
    "Ledger",
    "Options",
    "Scenario",
    "SimulatedAccount",
    "Simulator",
    "Transaction",
    "load_scenario",
    "run_scenario",
    "scenario_names",
]
