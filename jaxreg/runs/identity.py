"""What tells one run from another: its flags, its data, the user's own parts, and the settings of JAX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jaxreg import jax_settings
from jaxreg.config.dataset_paths import without_place
from jaxreg.config.experiment import Experiment
from jaxreg.config.flagfile import NOT_COMPARED, experiment_from_flags, flag_lines
from jaxreg.errors import ConfigError
from jaxreg.files import strict_json
from jaxreg.population.planning import Plan
from jaxreg.runs.earlier_identity import compared_lines, hash_differences, source_digests, split_flag
from jaxreg.runs.own_parts import own_digests
from jaxreg.runs.traced import digest_of

ABSENT = "absent"  # the value, in a refusal, of a flag that is not given and has no default


class Identity:
    """What must agree for a run to be resumed; seeds apart, which can be added.

    Attributes:
      flags: the compared flags by name, as a flagfile spells them. One that is not named has its default, so that a
        new flag does not make older runs other ones.
      data: SHA-256 of the data, wherever they come from.
      own: SHA-256 of each part of the user's own by name, of what it computes at the shapes of the run.
      jax: the settings of JAX and XLA that can change numbers.
      given: the names of the parts that flags do not tell: those handed to `jaxreg.run`.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: str = "",
        own: Mapping[str, str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self._lines, self._parts = flag_lines(experiment), dict(given or {})
        self.flags = _compared(self._lines)
        self.data, self.own, self.given = data, dict(own or {}), list(self._parts)
        self.jax = jax_settings.record()

    @classmethod
    def of(cls, plan: Plan, given: Mapping[str, Any], of_study: Mapping[str, Any] | None = None) -> Identity:
        """The identity of a planned run.

        Args:
          plan: of the run.
          given: the user's own parts as they were handed to `jaxreg.run`, data among them.
          of_study: those that its study brings.
        """
        return cls(plan.experiment, plan.data.digest, own_digests(plan, {**(of_study or {}), **given}), given)

    @property
    def configuration(self) -> str:
        """The hash that checkpoints of a new run carry: of `record`, with the flags that are off their defaults."""
        usual = default_flags()
        chosen = {name: value for name, value in sorted(self.flags.items()) if value != usual.get(name)}
        return digest_of(strict_json(self.record() | {"flags": chosen}))

    def record(self) -> dict[str, Any]:
        """What meta.json keeps under `identity`; all compared flags, so that a default may change."""
        return {"flags": self.flags, "data": self.data, "own": self.own, "jax": self.jax}

    def differences(self, meta: Mapping[str, Any], flags_text: str | None) -> list[str]:
        """How the run of a folder differs from this one, in words; empty where it is the same run.

        Args:
          meta: its meta.json. What an earlier version kept there is compared as that version did.
          flags_text: its flags.cfg, None where that is missing.
        """
        kept = meta.get("identity")
        if kept is None:
            here = "\n".join(self._lines)
            there = here if flags_text is None else flags_text
            if differing := _in_words(flag_differences(there, here)):
                return differing
            return hash_differences(meta, there.splitlines(), self._parts)
        flags_there = {name: value for name, value in kept["flags"].items() if name not in NOT_COMPARED}
        differing = _in_words(_flag_differences(flags_there, self.flags))
        if "data" not in kept:
            return differing + _own_differences(kept["own"], source_digests(self._parts))
        if kept["data"] != self.data:
            differing.append(f"other data: SHA-256 {kept['data'][:8]}… there, {self.data[:8]}… here")
        differing += _own_differences(kept["own"], self.own)
        return differing + [
            f"{name}={kept['jax'].get(name, ABSENT)} there, {self.jax.get(name, ABSENT)} here"
            for name in {**kept["jax"], **self.jax}
            if kept["jax"].get(name) != self.jax.get(name)
        ]


def default_flags() -> dict[str, str]:
    """The compared flags at their defaults; those without a default are left out."""
    return _compared(flag_lines(Experiment()))


def flag_differences(there: str, here: str) -> dict[str, tuple[str, str]]:
    """Flags that differ between two flags.cfg texts, name -> (there, here); one that is not named has its default.

    Comments, order, seeds and the flags that only say how a run is kept and shown do not count.
    """
    return _flag_differences(_parsed(there), _parsed(here))


def _flag_differences(there: Mapping[str, str], here: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    usual = default_flags()
    old, new = usual | dict(there), usual | dict(here)
    pairs = {name: (old.get(name, ABSENT), new.get(name, ABSENT)) for name in {**there, **here}}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def _own_differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"another {name} of your own" if name in there and name in here else f"{name} of your own only {where}"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
        for where in ["there" if name in there else "here"]
    ]


def _in_words(differing: Mapping[str, tuple[str, str]]) -> list[str]:
    return [f"--{name}={old} there, {new} here" for name, (old, new) in differing.items()]


def _parsed(text: str) -> dict[str, str]:
    """The compared flags of a flags.cfg in today's spelling, as they stand where this version does not know one."""
    try:
        return _compared(flag_lines(experiment_from_flags(text)))
    except ConfigError:
        return _compared(text.splitlines())


def _compared(lines: Iterable[str]) -> dict[str, str]:
    """Compared flags by name; of a repeated one all values, semicolons between."""
    flags: dict[str, str] = {}
    for line in compared_lines(lines, NOT_COMPARED):
        name, value = split_flag(line)
        value = without_place(value) if name == "dataset" else value
        flags[name] = f"{flags[name]}; {value}" if name in flags else value
    return flags
