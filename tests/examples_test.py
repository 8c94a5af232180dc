"""The notebooks under examples/, executed as a reader would, and with their figures to be seen."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
FIGURES = {"quickstart": 2, "paired_runs": 2}


def test_the_notebooks_run_and_show_their_figures(tmp_path: Path) -> None:
    """One after the other in one kernel, which saves starting another."""
    notebooks = {name: nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4) for name in FIGURES}
    kept = {name: _outputs(notebook.cells) for name, notebook in notebooks.items()}
    together = nbformat.v4.new_notebook(cells=[cell for notebook in notebooks.values() for cell in notebook.cells])
    NotebookClient(together, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for name, notebook in notebooks.items():
        nbformat.validate(notebook)
        cells, together.cells = together.cells[: len(notebook.cells)], together.cells[len(notebook.cells) :]
        outputs = _outputs(cells)
        assert sum("image/png" in output.get("data", {}) for output in outputs) == FIGURES[name]
        said = " ".join(str(output.get("data", output)) for output in outputs)
        assert "is best on validation; its test accuracy is" in said  # the answer
        assert said.count("<progress") == 1  # one bar, as it is at the end
        assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
        # What is kept in the file was made by these cells, on some machine.
        assert [output.output_type for output in kept[name]] == [output.output_type for output in outputs]


def _outputs(cells: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    return [output for cell in cells for output in cell.get("outputs", [])]
