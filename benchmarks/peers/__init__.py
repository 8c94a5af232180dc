"""jaxreg and other ways to train the same sweeps, timed in turn on one machine."""
