"""Trees from the paths of their leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from jaxreg.runs.checkpoints.leaves import tree_of


class Pair(NamedTuple):
    mean: Any
    var: Any


@pytest.mark.parametrize(
    "tree",
    [{"it's": {"Dense_0": 0, 'a "b"': 1}}, {"params": (None, {"w": 0}, (1,))}, {"a": Pair(None, (0, 1))}],
    ids=["dicts", "tuples", "fields"],
)
def test_the_paths_of_a_manifest_tell_the_tree(tree: Any) -> None:
    def paths(tree: Any) -> dict[str, tuple[int, ...]]:
        return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree.leaves_with_path(tree)}

    wanted = paths(jax.tree.map(lambda size: np.zeros((size, 2)), tree))
    manifest = [{"path": path, "shape": list(shape), "dtype": "float32"} for path, shape in wanted.items()]
    assert paths(tree_of(manifest)) == wanted
