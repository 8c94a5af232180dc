"""The notebooks under examples/, executed as a reader would, and with their figures to be seen."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(("name", "num_figures"), [("quickstart", 2), ("paired_runs", 2)])
def test_a_notebook_runs_and_shows_its_figures(name: str, num_figures: int, tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    kept = _outputs(notebook)
    NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = _outputs(notebook)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == num_figures
    said = " ".join(str(output.get("data", output)) for output in outputs)
    assert "is best on validation; its test accuracy is" in said  # the answer
    assert len(re.findall(r"<progress", said)) == 1  # one bar, of the end
    assert not [output for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    # What is kept in the file was made by these cells, on some machine.
    assert [output.output_type for output in kept] == [output.output_type for output in outputs]


def _outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]
