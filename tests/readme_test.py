"""The commands and the example in README.md."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.figure
import pytest

import jaxreg

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_in_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len(example.splitlines()) <= 15
    names: dict[str, object] = {}
    exec(example.replace("num_steps=2000", "num_steps=40").replace("seeds=10", "seeds=2"), names)
    assert "learning_rate" in capsys.readouterr().out
    figure = names["figures"].curves(names["results"].sel(init_variance=0.01), "test_loss")  # type: ignore[attr-defined]
    assert isinstance(figure, matplotlib.figure.Figure)


def test_every_flagfile_in_the_readme_exists() -> None:
    for name in set(re.findall(r"experiments/flagfiles/\w+\.cfg", README)):
        assert (Path(jaxreg.__file__).parents[1] / name).exists(), name
