"""Does momentum help a small step? An experiment of your own: one file, wherever it is.

Command:  jaxreg run momentum.py --dataset=digits --optimizer=momentum --learning_rate=0.01 --momentum=0,0.9 --seeds=10
"""

import sys

import jaxreg
from experiments import cli
from jaxreg.claims import Higher, Measure, Trend
from jaxreg.measures import steps_to_train

SPEED = Measure("steps to a test accuracy of 0.8", lambda results: steps_to_train(results, 0.8), better="lower")

STUDY = jaxreg.Study(
    name="momentum",  # of the run folders, runs/momentum/…
    title="Momentum",
    question="Does momentum help where the step is small?",
    claims=(
        Trend("More momentum needs fewer steps.", SPEED, "momentum", "falls"),
        Higher("Momentum 0.9 ends with a higher accuracy.", "final_test_accuracy", {"momentum": 0.9}, {"momentum": 0}),
    ),
)

if __name__ == "__main__":  # for `python momentum.py --flags`; `jaxreg run momentum.py --flags` does without
    sys.exit(cli.main(STUDY))
