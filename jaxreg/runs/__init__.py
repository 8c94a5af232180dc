"""A run on this machine: clock, disk and signals."""
