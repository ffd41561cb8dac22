"""Whole lives of the scheduler against the simulated exchange, judged by its ledger.

In virtual time: `python -m tests.simulate --seeds 200` runs them; one seed is one life and repeats
exactly. `plan` and `life` are those in memory, `stack_plan` and `stack` those of the whole stack;
`sidecar_plan`, `callers` and `sidecar` are those of a sidecar and whoever uses it. `oracle` judges
all, and `sidecar_oracle` what callers were told. `matrix` and `crashes` go through troubles and
deaths one by one, and `defects` shows by `planted` ones that all this finds something.
"""
