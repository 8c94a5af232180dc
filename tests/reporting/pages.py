"""Pages made from made-up results, for tests that read them as HTML and in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from jaxreg.claims import Evidence, Judgement
from jaxreg.reporting.comparison import Run
from jaxreg.reporting.page import write_report
from jaxreg.study import ReportFigure
from tests.synthetic import make_meta, make_results


def a_figure() -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0, 1], [1, 0])
    axes.set(xlabel="step", ylabel="test loss (nats)")
    return figure


def a_comparison(**changes: Any) -> pd.DataFrame:
    row = {"id": "A5-0.01-test", "setting": "learning_rate=0.01", "quantity": "test accuracy", "reported": 0.853}
    row |= {"mean": 0.85, "sd": 0.002, "n": 5, "low": 0.841, "high": 0.859, "inside": True, "fitted": False, "note": ""}
    return pd.DataFrame([row | changes]).astype({"inside": object})


def evidence(**changes: Any) -> Evidence:
    content: dict[str, Any] = {"label": "learning_rate 1 against 0.1", "difference": -0.012, "low": -0.02}
    content |= {"high": -0.004, "p": 0.0102, "p_holm": 0.0204, "n": 5, "left_out": 0, "test": "t", "needed": None}
    return Evidence(**(content | changes))


def judgement(**changes: Any) -> Judgement:
    content: dict[str, Any] = {"statement": "A larger rate fluctuates less.", "source": "report 000, part 5"}
    content |= {"verdict": "supported", "reason": "All differences lie below zero.", "n": 5, "units": "nats"}
    return Judgement(**(content | {"evidence": (evidence(),)} | changes))


JUDGEMENTS = (
    judgement(),
    judgement(
        statement="A larger rate needs fewer steps.",
        verdict="contradicted",
        units="steps",
        evidence=(
            evidence(difference=1234.0, low=1100.0, high=1368.0, left_out=1, n=4),
            evidence(label="1 against 0.01"),
        ),
    ),
    judgement(
        statement="Rate 0.1 is best.",
        source="",
        verdict="undecided",
        units="1",
        evidence=(evidence(low=-0.03, high=0.006, needed=41, p_holm=0.31),),
    ),
    judgement(
        statement="Rate 7 diverges.", verdict="undecided", reason="The run holds no such rate.", n=0, evidence=()
    ),
)


def make_report(path: Path, **changes: Any) -> str:
    """Writes `path`/report.html and returns its text."""
    content: dict[str, Any] = {
        "title": "Learning-rate sweep",
        "question": "How does the learning rate shape training?",
        "answer": "A larger rate needs fewer steps.\n\nThe largest diverges.",
        "source": "000 part 5, figures 29 to 36",
        "results": make_results(diverged=2, num_checks=5),
        "meta": make_meta(),
        "figures": [ReportFigure("curves", "Test loss against step (figure 36).", a_figure())],
        "comparison": a_comparison(),
        "flags": "--learning_rate=0.001,0.01,0.1,1\n--momentum=0\n--num_steps=200\n--seeds=5\n",
        "judgements": JUDGEMENTS,
    }
    write_report(path / "report.html", **(content | changes))
    return (path / "report.html").read_text(encoding="utf-8")


def make_run(label: str, flags: str = "", *, gain: float | np.ndarray = 0.0, **changes: Any) -> Run:
    """A run whose test accuracy at the end is raised by `gain`, one for all members or per seed."""
    results: xr.Dataset = make_results(**({"num_checks": 5} | changes))
    results["final_test_accuracy"] = results["final_test_accuracy"] + xr.DataArray(
        np.broadcast_to(gain, results.sizes["seed"]), dims="seed"
    ).astype(np.float32)
    return Run(label, results, make_meta(), f"--base_seed=0\n--dataset=digits\n{flags}")
