"""docs/gallery.md: everything that draws is in it, with the picture, as the script writes it."""

from __future__ import annotations

import ast

import pytest
from matplotlib.figure import Figure

from docs.website import gallery
from docs.website.places import PICTURES
from tests.synthetic import make_results


def test_every_function_that_draws_is_in_the_gallery() -> None:
    assert {"curves", "decision_surfaces"} <= set(gallery.drawing_functions())
    assert set(gallery.CALLS) == set(gallery.drawing_functions())


@pytest.mark.parametrize("name", gallery.CALLS)
def test_each_call_draws_what_it_stands_for_and_has_its_picture(name: str) -> None:
    (called,) = [
        node.func.attr
        for node in ast.walk(ast.parse(gallery.CALLS[name]).body[-1])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in gallery.CALLS
    ]
    assert called == name
    assert (gallery.KEPT / f"{name}.png").is_file(), f"python -m docs.website.gallery {name}"


def test_the_page_is_as_the_script_writes_it() -> None:
    assert gallery.PAGE.read_text("utf-8") == gallery.gallery_page(), "docs.website.gallery writes it anew"


def test_there_are_no_other_pictures_and_all_are_small() -> None:
    pictures = list(PICTURES.rglob("*.png"))
    assert {path.stem for path in gallery.KEPT.glob("*")} == set(gallery.CALLS)
    assert sum(path.stat().st_size for path in gallery.KEPT.glob("*")) < 2e6
    assert sum(path.stat().st_size for path in pictures) < 4e6


def test_a_call_is_drawn_from_the_results_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def results(run: gallery.Run) -> object:
        asked.append(run.folder)
        return make_results(seeds=2)

    monkeypatch.setattr(gallery, "results_of", results)
    assert isinstance(gallery.draw("value_against"), Figure)
    assert asked == ["lr_sweep"]
