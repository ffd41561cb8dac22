"""What the scheduler itself costs: processor time, memory, start-up."""
