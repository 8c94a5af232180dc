"""The experiments: one module per question, run as `python -m experiments.NAME --flagfile=...`."""

import sys

from experiments.startup import begin

if sys.argv[:1] == ["-m"] and any(word.startswith("experiments.") for word in sys.orig_argv):
    begin()  # Python looks for the module that it will run
