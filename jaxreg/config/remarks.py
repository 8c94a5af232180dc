"""What a user should be told about a configuration: what has no effect, what wins over what."""

from __future__ import annotations

from typing import Any

from jaxreg.config.experiment import Experiment
from jaxreg.config.hparams import FIELDS
from jaxreg.config.parts import readers_of
from jaxreg.config.steps import steps_before
from jaxreg.config.sweeps import Sweep
from jaxreg.config.validation import describe
from jaxreg.nn.losses import loss_named
from jaxreg.nn.regularisers import REGULARISERS


def remarks(experiment: Experiment) -> list[str]:
    """What a user should be told about this configuration, a line each: what has no effect, what wins over what."""
    lines = []
    values = {name: _values(experiment, name) for name in FIELDS}
    for name, field in FIELDS.items():
        if not field.metadata["read_by_parts"] or all(value == field.default for value in values[name]):
            continue
        readers = readers_of(name)
        if not any(set(parts) & set(values[chooser]) for chooser, parts in readers.items()):
            for chooser, parts in readers.items():
                chosen = ",".join(map(str, values[chooser]))
                lines.append(f"--{name} has no effect with --{chooser}={chosen}; it acts with {', '.join(parts)}")
    if set(values["optimizer"]) & {"momentum", "nesterov"} and set(values["momentum"]) == {0.0}:
        lines.append("--optimizer=momentum or nesterov with --momentum=0 is plain sgd; give --momentum, say 0.9")
    methods = ",".join(values["method"])
    named = {name for method in values["method"] for name in method.split("+")}
    for name, regulariser in REGULARISERS.items():
        strength = regulariser.strength
        is_off = set(values[strength]) == {regulariser.off}
        if name in named and is_off:
            lines.append(f"--method={methods}: {name} does nothing with --{strength}={describe(regulariser.off)}")
        sharing = {other for other, same in REGULARISERS.items() if same.strength == strength}
        if not is_off and not named & {"all", *sharing} and name == min(sharing):
            lines.append(f"--{strength} has no effect with --method={methods}, which names no {name}")
    for regulariser in REGULARISERS.values():
        strength, off = regulariser.strength, regulariser.off
        lines += [
            f"--{name} has no effect with --{strength}={describe(off)}"
            for name in regulariser.owns
            if set(values[name]) != {FIELDS[name].default} and set(values[strength]) == {off}
        ]
    for name, variant in REGULARISERS.items():
        for own in variant.owns if variant.variant_of else ():
            default = FIELDS[own].default
            if name in named and set(values[own]) == {default}:
                lines.append(f"--method={methods}: {name} is {variant.variant_of} with --{own}={describe(default)}")
            if variant.variant_of in named and not named & {"all", name} and set(values[own]) != {default}:
                lines.append(f"--{own} has no effect with --method={methods}; it acts with {name}")
    if not any(values["hidden_sizes"]):
        lines += [
            f"--{name} has no effect with --hidden_sizes=none; it acts on hidden layers"
            for name in ("activation", "kl_strength", "dropout_rate")
            if set(values[name]) != {FIELDS[name].default}
        ]
    outputs = [name for name in values["output_activation"] if name != "identity"]
    if outputs and all(loss_named(name).probabilities for name in values["loss"]):
        lines.append(
            f"--loss={','.join(values['loss'])} takes the softmax or sigmoid of the outputs itself, here after "
            f"--output_activation={','.join(outputs)}"
        )
    if "continue" in values["after_stop"] and set(values["patience"]) == {0}:
        lines.append("--after_stop has no effect with --patience=0; give --patience, say 5")
    draws = [draw for draw in values["train_draw"] if draw != FIELDS["train_draw"].default]
    if draws and set(values["train_size"]) == {None}:
        lines.append(f"--train_draw={','.join(draws)} has no effect on the whole training set; give --train_size")
    if any(epochs > 0 for epochs in values["num_epochs"]) and None not in values["num_steps"]:
        steps = ",".join(map(str, values["num_steps"]))
        lines.append(f"--num_steps={steps} wins over --num_epochs")
    return lines


def remarks_on_steps(sweep: Sweep) -> list[str]:
    """What a user should be told of settings in which training ends before something begins or is over, a line each."""
    groups = [(config, group) for group in sweep.groups for config in group.configs]
    late: dict[str, list[str]] = {}
    for config, group in groups:
        steps = group.num_steps
        if config.warmup_steps > steps:
            late.setdefault("warmup_steps", []).append(
                f"--warmup_steps={describe(config.warmup_steps)} is longer than training, {steps} steps: the learning "
                "rate never reaches --learning_rate"
            )
        if config.l1_strength > 0 and steps_before(config.l1_start, steps) >= steps:
            late.setdefault("l1_start", []).append(
                f"--l1_start={describe(config.l1_start)}: L1 never sets in within {steps} steps"
            )
        if config.patience > 0 and config.patience > group.num_checks - 1:
            late.setdefault("patience", []).append(
                f"--patience={config.patience} never runs out: there are {group.num_checks - 1} checks after the first"
            )
    return [
        lines[0] + (f" (so at {len(lines)} of {len(groups)} settings)" if len(groups) > 1 else "")
        for lines in late.values()
    ]


def _values(experiment: Experiment, name: str) -> list[Any]:
    return list(experiment.axes.get(name, [getattr(experiment.hparams, name)]))
