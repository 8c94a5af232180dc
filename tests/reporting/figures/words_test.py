from __future__ import annotations

import dataclasses

import pytest
import xarray as xr

from jaxreg.config import Hparams
from jaxreg.measures import steps_to_train
from jaxreg.reporting import page
from jaxreg.reporting.figures.words import axis_title, for_each, quantity_in_full, quantity_label, quantity_words
from tests.synthetic import make_results

FIELDS = [field.name for field in dataclasses.fields(Hparams) if not field.name.startswith("own_")]


@pytest.mark.parametrize("name", FIELDS)
def test_a_hyperparameter_is_named_in_words(name: str) -> None:
    assert "_" not in axis_title(name)


def test_units_stand_where_there_are_some() -> None:
    assert axis_title("batch_size") == "batch size (examples)"
    assert axis_title("patience") == "patience (checks)"
    assert axis_title("learning_rate", "hidden_sizes") == "learning rate, hidden sizes (units)"
    assert for_each("learning_rate") == "for each learning rate"
    assert for_each("init", "beta2", "my_own") == "for each setting of initial scheme, β₂ and my own"
    assert for_each() == ""


@pytest.mark.parametrize(("name", "in_the_table"), [*page.ACCURACIES.items(), *page.LOSSES.items()])
def test_a_quantity_has_one_name_in_figures_and_tables(name: str, in_the_table: str) -> None:
    assert quantity_words(name) == in_the_table


def test_titles_say_when_a_value_is_measured_and_labels_its_units() -> None:
    results = make_results(axes={}, seeds=2)
    said = {
        name: quantity_label(name, results[name]) for name in ("final_test_accuracy", "train_loss", "best_test_loss")
    }
    assert said == {
        "final_test_accuracy": "test accuracy (%)",
        "train_loss": "training loss (nats)",
        "best_test_loss": "test loss (nats)",
    }
    assert quantity_in_full("final_test_accuracy") == "test accuracy after the last step"
    assert quantity_in_full("best_test_loss") == "test loss at the best check"
    assert quantity_words("train_objective") == "training loss with penalties"
    steps = steps_to_train(results, 0.85)
    assert quantity_label("steps_to_train", steps) == "steps to a test accuracy of 0.85"
    assert quantity_label("final_mood", xr.DataArray(1.0)) == "final mood"
