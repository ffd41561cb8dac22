"""The scheduler at the exchange's limits: hours of virtual time, judged by the simulator's ledger.

The tests run a few minutes of each campaign. `python -m tests.limits --minutes 60` runs them in
full and prints the figures.
"""
