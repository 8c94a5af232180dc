"""`python -m experiments`: the experiments, a line each."""

from __future__ import annotations

import sys

from experiments.catalogue import print_list

if __name__ == "__main__":
    sys.exit(print_list())
