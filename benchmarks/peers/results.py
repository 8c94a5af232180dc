"""Everything that was measured, and where, as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.costs import Cost, Start
from benchmarks.peers.loops import num_cores
from benchmarks.peers.rounds import Readings, Ready
from benchmarks.peers.variants import Variant
from benchmarks.peers.versus import Versus
from benchmarks.workloads import Workload
from jaxreg.errors import ConfigError
from jaxreg.files import write_bytes_atomically

FORMAT = 1
MORE_PACKAGES = ("torch", "scikit-learn", "threadpoolctl")
DECIDE_SPEED = ("OMP_", "MKL_", "OPENBLAS_", "XLA_", "JAX_", "CUDA_")  # beginnings of names in the environment


@dataclasses.dataclass(frozen=True)
class Results:
    """One run of the benchmark.

    Attributes:
      about: when, on what machine, with which versions and settings.
      workloads, variants, costs: what was measured; empty where it was not asked for.
    """

    about: Mapping[str, Any]
    workloads: Sequence[Versus] = ()
    variants: Sequence[Variant] = ()
    costs: Sequence[Cost] = ()


class Machine:
    """Describes where a process runs, from a process of its own: JAX holds on to devices once it is used."""

    def describe(self) -> dict[str, Any]:
        """Devices, processor, versions, commit, and what in the environment decides speed."""
        from jaxreg.hardware import use_all_cores
        from jaxreg.runs import provenance

        use_all_cores()
        versions = provenance.package_versions()
        versions |= {name: metadata.version(name) for name in MORE_PACKAGES if _is_installed(name)}
        return {
            "device": provenance.device_description(),
            "processor": _processor(),
            "cores": num_cores(),
            "l2_bytes_per_core": _cache_bytes(),
            "versions": versions,
            "git": provenance.git_state(),
            "environment": {n: v for n, v in sorted(os.environ.items()) if n.startswith(DECIDE_SPEED)},
        }


def save(results: Results, path: Path) -> None:
    """Writes all of it."""
    text = json.dumps({"format": FORMAT, **dataclasses.asdict(results)}, indent=1)
    write_bytes_atomically(path, text.encode())


def load(path: Path) -> Results:
    """What `save` wrote.

    Raises:
      ConfigError: the file is none of these.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError
        return Results(
            found["about"],
            [Versus(Workload(**each["workload"]), _readings(each["peers"])) for each in found["workloads"]],
            [Variant(Workload(**v["workload"]), v["name"], _readings(v["layouts"])) for v in found["variants"]],
            [_cost(each) for each in found["costs"]],
        )
    except (ValueError, KeyError, TypeError):
        raise ConfigError("table", path, "is no JSON that python -m benchmarks.peers --out=DIR has written") from None


def _cost(found: Mapping[str, Any]) -> Cost:
    start = Start(**{**found["start"], "ready": Ready(**found["start"]["ready"])})
    return Cost(**{**found, "start": start, "readings": _reading(found["readings"])})


def _readings(found: Mapping[str, Any]) -> dict[str, Readings]:
    return {name: _reading(each) for name, each in found.items()}


def _reading(found: Mapping[str, Any]) -> Readings:
    return Readings(**{**found, "wall": tuple(found["wall"]), "cpu": tuple(found["cpu"])})


def _is_installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def _processor() -> str:
    """The name of the processor, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown"


def _cache_bytes() -> int | None:
    """The second-level cache of a core, where the system says it."""
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (folder / "level").read_text().strip() == "2":
                size = (folder / "size").read_text().strip()
                return int(size.rstrip("KM")) * {"K": 1024, "M": 1024**2}[size[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return None
