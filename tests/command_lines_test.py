"""Made-up command lines, as `python -m benchmarks.command_lines` makes thousands of them."""

from __future__ import annotations

import collections

from benchmarks.command_lines import CommandLine, dry, each


def test_a_command_line_gives_a_plan_or_one_line_and_writes_nothing() -> None:
    counts: collections.Counter[str] = collections.Counter()
    faults = []

    def look(line: CommandLine) -> None:
        outcome = dry(line)
        counts[outcome.kind] += 1
        if outcome.kind not in ("plan", "help", "refusal"):
            faults.append(f"{outcome.kind}: {line}\n{outcome.err}")

    each(150, 0, look)
    assert not faults, "\n\n".join(faults)
    assert counts["plan"] > 30
    assert counts["refusal"] > 30


def test_what_is_wrong_is_called_wrong() -> None:
    """The check itself: lines whose outcome is known."""
    small = ("--hidden_sizes=4", "--num_steps=6")
    for arguments, kind in [
        (small, "plan"),
        ((*small, "--seeds=0"), "refusal"),
        (("--help",), "help"),
        ((*small, "--flagfile=a.cfg"), "refusal"),
    ]:
        assert dry(CommandLine("lr_sweep", arguments, (("a.cfg", b"seeds=3"),))).kind == kind
