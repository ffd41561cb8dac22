"""Whole lives of the scheduler against the simulated exchange, judged by its ledger.

In virtual time: `python -m tests.simulate --seeds 200` runs them; one seed is one life and repeats
exactly.
"""
