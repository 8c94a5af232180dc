"""docs/gallery.md: every function of `jaxreg.reporting.figures` that draws, with the call and what it draws.

`python -m docs.website.gallery` makes the pictures and the page anew, with names after it only these pictures.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from docs.website.pictures import keep
from docs.website.places import PICTURES, ROOT
from docs.website.places import RUNS as KEPT_RUNS
from docs.website.runs import finished, small_flagfile

PAGE = ROOT / "docs" / "gallery.md"
KEPT = PICTURES / "gallery"


class Run(NamedTuple):
    """A small run: what it is kept as, its experiment, and flags besides those of the small flagfile."""

    folder: str
    experiment: str
    flags: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command line that trains it."""
        flagfile = f"--flagfile={small_flagfile(self.experiment).name}"
        return " ".join(["jaxreg run", self.experiment, flagfile, *self.flags, f"--workdir=runs/{self.folder}"])


# The results that the calls speak of, by name.
RUNS = {
    "rates": Run("lr_sweep", "lr_sweep"),
    "grid": Run("grid", "lr_sweep", ("--learning_rate=0.01,0.1,1", "--init_variance=0.01,0.1,1")),
    "many": Run("seeds", "lr_sweep", ("--learning_rate=0.1", "--seeds=100")),
    "variances": Run("signal_flow", "signal_flow"),
    "batches": Run("batch_size", "batch_size"),
    "stopping": Run("early_stopping", "early_stopping"),
    "halted": Run("halted", "early_stopping", ("--after_stop=halt",)),
    "methods": Run("regularizers", "regularizers"),
    "points": Run("point_cloud", "point_cloud"),
    "adam": Run("adam_bias", "adam_bias"),
}

# For each function the lines that draw its picture; the last is the call.
CALLS = {
    "curves": 'figures.curves(rates, "test_loss", log_y=True)',
    "panels": 'figures.panels(rates.isel(learning_rate=[0, 3, 6]), "learning_rate")',
    "views": 'figures.views(batches, "validation_loss")',
    "value_against": 'figures.value_against(rates, "learning_rate")',
    "value_rows": """from jaxreg.measures import final_test_error

figures.value_rows([final_test_error(methods)], "method", baseline="none")""",
    "heat_map": 'figures.heat_map(grid, "final_test_accuracy", "learning_rate", "init_variance")',
    "spread": 'figures.spread(many, "final_test_accuracy")',
    "paired": 'figures.paired(methods, "method", "final_test_loss")',
    "differences": 'figures.differences(methods, "method", "none", "final_test_loss")',
    "strengths": """from jaxreg.measures import final_test_error

figures.strengths(final_test_error(points).sel({"method": ["l1", "l2"]}))""",
    "evidence": """from experiments.lr_sweep import CLAIMS
from jaxreg.claims import judge

figures.evidence(judge(CLAIMS, rates))""",
    "fluctuations": "figures.fluctuations(batches)",
    "stopping_points": "figures.stopping_points(stopping.squeeze(), patience=(1, 5, 10))",
    "stopping_cost": "figures.stopping_cost(stopping.squeeze(), patience=(1, 5, 10))",
    "cost_of_steps": "figures.cost_of_steps(halted)",
    "decision_surfaces": 'figures.decision_surfaces(points, "method", "l2_strength")',
    "confusion": 'figures.confusion(rates.sel(learning_rate=1.0)["test_confusion"])',
    "weight_images": """member = jaxreg.load_member("runs/lr_sweep", {"learning_rate": 1.0, "seed": 0})
figures.weight_images(member.params[0]["weights"], (8, 8))""",
    "verdict_map": 'figures.verdict_map(variances["diagnosis"], "check", "init_variance")',
    "signal_propagation": 'figures.signal_propagation(variances, "init_variance")',
    "layer_histograms": "figures.layer_histograms(variances.sel(init_variance=1.0))",
    "histograms_over_time": """counts = variances["gradients_histogram"].sel(init_variance=1.0, layer=1)
figures.histograms_over_time(counts, bin_edges=counts.attrs["bin_edges"], value_scale="symlog", ridge=True)""",
    "moment_ratios": """from jaxreg.theory.adam import expected_ratio

ratio = adam["simulated_ratio_normal"].rename("E[v] / E[g²]")
figures.moment_ratios(ratio, {"1 - β₂ᵗ": expected_ratio(adam["beta2"], adam["t"])}, "beta2")""",
}


def drawing_functions() -> list[str]:
    """The public functions that return a figure."""
    from jaxreg.reporting import figures

    functions = {name: getattr(figures, name) for name in figures.__all__ if inspect.isfunction(getattr(figures, name))}
    return [
        name for name, drawn in functions.items() if str(inspect.signature(drawn).return_annotation).endswith("Figure")
    ]


def draw(name: str) -> Any:
    """The figure that the call of a function draws, from its runs, which are trained unless they are there."""
    import jaxreg
    from jaxreg.reporting import figures

    tree = ast.parse(CALLS[name].replace('"runs/', f'"{KEPT_RUNS}/'))
    call = tree.body.pop()
    assert isinstance(call, ast.Expr), "the last line is the call"
    asked = {node.id for node in ast.walk(ast.parse(CALLS[name])) if isinstance(node, ast.Name)} & RUNS.keys()
    known = {"jaxreg": jaxreg, "figures": figures} | {run: results_of(RUNS[run]) for run in asked}
    exec(compile(tree, name, "exec"), known)
    return eval(compile(ast.Expression(call.value), name, "eval"), known)


def gallery_page() -> str:
    """docs/gallery.md: the runs, then a section for each function."""
    from jaxreg.reporting import figures

    trained = "\n".join(run.command for run in RUNS.values())
    loaded = "\n".join(f'{name} = jaxreg.load_results("runs/{run.folder}")' for name, run in RUNS.items())
    lines = [
        "# Gallery of figures",
        "<!-- made by python -m docs.website.gallery -->",
        "Every function of `jaxreg.reporting.figures` that draws, with the call that drew the picture. Each takes "
        "labelled results and returns a matplotlib `Figure`; `figures.save(figure, folder, name)` writes it as PNG and "
        "SVG.",
        "The results are those of small runs on scikit-learn's digits and on points in the plane, which take seconds "
        "each:",
        f"```bash\n{trained}\n```",
        f"```python\nimport jaxreg\nfrom jaxreg.reporting import figures\n\n{loaded}\n```",
    ]
    for name, call in CALLS.items():
        said = (inspect.getdoc(getattr(figures, name)) or "").partition("\n\n")[0]
        picture = KEPT.relative_to(PAGE.parent) / f"{name}.png"
        lines += [f"## `{name}`", said, f"```python\n{call}\n```", f"![What {name} draws]({picture})"]
    return "\n\n".join(lines) + "\n"


def results_of(run: Run) -> Any:
    """The results of a run, which is trained unless it is there."""
    import jaxreg

    return jaxreg.load_results(finished(run.folder, run.experiment, *run.flags))


def main(names: Sequence[str]) -> int:
    """Draws the pictures, all or those that are named, and writes the page."""
    for name in names or CALLS:
        keep(draw(name), KEPT / f"{name}.png")
        print(KEPT / f"{name}.png")
    PAGE.write_text(gallery_page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
