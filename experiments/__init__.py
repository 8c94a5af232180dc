"""The experiments: one module per question, run as `python -m experiments.NAME --flagfile=...`."""
