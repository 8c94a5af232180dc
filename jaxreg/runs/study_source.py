"""Where the study of a run is found again.

Its words, claims and figures are code, so meta.json keeps where that code is, under `study`: the module, the attribute
and the file; "default" for `Study()`; null for a study that is no attribute of a module. Importing the module also
registers what it defines of its own, such as an activation, before the flags of the run are read.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxreg.config.experiment import Experiment
from jaxreg.errors import ConfigError, JaxregError, RunFolderError
from jaxreg.files import user_path
from jaxreg.study import Study

DEFAULT = "default"
_LOADED = "study_of_"  # before the name of a file that is loaded as a module
HOW = f"--study=MODULE_OR_FILE[:ATTRIBUTE], or --study={DEFAULT} for the words and figures of a run without one"


def locate(study: Study) -> dict[str, Any] | str | None:
    """What meta.json keeps of a study: `{module, attribute, name, file}`, "default", or None where no module holds it.

    None also for one in a script that trains as soon as it is loaded, having no `if __name__ == "__main__"`.
    """
    if study == Study():
        return DEFAULT
    held = [
        (module, attribute)
        for module in list(sys.modules.values())
        for attribute, value in list(getattr(module, "__dict__", {}).items())
        if value is study
    ]
    if not held:
        return None
    # Any of them will do; the module that is named after the study is the one that made it.
    module, attribute = min(
        held, key=lambda found: (found[0].__name__ == "__main__", not found[0].__name__.endswith(study.name))
    )
    name = module.__spec__.name if module.__spec__ else module.__name__
    path = getattr(module, "__file__", None)
    file = None if path is None else Path(path).absolute()
    if name == "__main__" and (file is None or not _is_guarded(file)):
        return None
    return {"module": name, "attribute": attribute, "name": study.name, "file": None if file is None else str(file)}


def find(meta: Mapping[str, Any], folder: Path, given: str | None = None) -> tuple[Study, bool]:
    """The study of a finished run, and whether that is certain.

    Earlier versions kept no `study`: for a run named `run`, which `jaxreg.run` made, the default study is returned, and
    it is not certain that none was given.

    Args:
      meta: the meta.json of the run.
      folder: of the run, for the refusal.
      given: `module`, `module:attribute`, `file.py` or `file.py:attribute` in place of what is kept, or "default".

    Raises:
      ConfigError: `given` names no study.
      RunFolderError: the study of the run is not found.
    """
    if given is not None:
        if given == DEFAULT:
            return Study(), True
        return _load(_parse(given), lambda reason: ConfigError("study", given, reason)), True
    entry = _entry(meta)
    if entry == DEFAULT:
        return Study(), "study" in meta
    _refuse_own_code(entry, folder)
    if not isinstance(entry, dict):
        raise RunFolderError(
            f"{folder}: its study was made inside a function, a notebook or a script without "
            f'`if __name__ == "__main__"` and is not found again; give it by {HOW}'
        )
    place = f"{entry['module']}:{entry['attribute']}"
    return _load(
        entry,
        lambda reason: RunFolderError(f"{folder}: its study, {place}, is not found ({reason}); give it by {HOW}"),
    ), True


def of(given: str) -> Study:
    """The study that `module`, `module:attribute`, `file.py` or `file.py:attribute` names; STUDY where none is named.

    Raises:
      JaxregError: it names none, or what it names cannot be imported.
    """
    return _load(_parse(given), lambda reason: JaxregError(f"{given}: {reason}"))


def command(meta: Mapping[str, Any]) -> str | None:
    """The command that trains the study of a run with other flags; None where no module holds it."""
    entry = _entry(meta)
    if not isinstance(entry, dict):
        return None
    if entry["module"] == "__main__":
        return f"python {shlex.quote(entry['file'])}"
    if entry["module"].startswith(_LOADED):
        return f"jaxreg run {shlex.quote(entry['file'])}"
    return f"python -m {entry['module']}"


def import_parts(meta: Mapping[str, Any], folder: Path, given: str | None = None) -> str | None:
    """Imports the module of a run's study for what it registers; returns why that failed, None if it did not.

    Args:
      meta, folder, given: as for `find`.

    Raises:
      RunFolderError: as `find`, where meta.json names a file inside the run folder.
    """
    entry = _entry(meta) if given is None else _parse(given)
    if not isinstance(entry, dict) or given == DEFAULT:
        return None
    if given is None:
        _refuse_own_code(entry, folder)
    problems: list[str] = []
    return None if next(_modules(entry, problems), None) else "; ".join(problems)


def _refuse_own_code(entry: Any, folder: Path) -> None:
    """Refuses a file inside the run folder: who reads a run of somebody else's must not run code that came with it."""
    file = entry.get("file") if isinstance(entry, dict) else None
    if file is not None and (not Path(file).is_absolute() or Path(file).resolve().is_relative_to(folder.resolve())):
        raise RunFolderError(
            f"{folder}: meta.json names {file} as the file of its study; code inside a run folder, or at a relative "
            f"path, is not run. If you trust it, give it by {HOW}"
        )


def _entry(meta: Mapping[str, Any]) -> Any:
    """What is kept in meta.json; of earlier runs, where their experiment would be."""
    if "study" in meta:
        return meta["study"]
    name = str(meta.get("experiment", ""))
    if name == Experiment.name:
        return DEFAULT
    return {"module": f"experiments.{name}", "attribute": "STUDY"}


def _parse(given: str) -> dict[str, Any]:
    """`module:attribute` or `file.py:attribute` as an entry; the attribute is STUDY where it is left out."""
    place, colon, attribute = given.rpartition(":")
    if not (colon and attribute.isidentifier()):
        place, attribute = given, "STUDY"
    if place.endswith(".py") or "/" in place:
        return {"module": "__main__", "attribute": attribute, "file": str(user_path(place).absolute())}
    return {"module": place, "attribute": attribute}


def _load(entry: Mapping[str, Any], refusal: Callable[[str], JaxregError]) -> Study:
    problems: list[str] = []
    for module in _modules(entry, problems):
        study = getattr(module, entry["attribute"], None)
        if not isinstance(study, Study):
            problems.append(f"{module.__name__} has no study {entry['attribute']}")
        elif study.name != entry.get("name", study.name):
            problems.append(f"{module.__name__}:{entry['attribute']} is the study {study.name}, not {entry['name']}")
        else:
            return study
    raise refusal("; ".join(dict.fromkeys(problems)))


def _modules(entry: Mapping[str, Any], problems: list[str]) -> Iterator[ModuleType]:
    """The module of an entry by its name, then by its name from the folder of its file, then the file by itself.

    The folder is appended to `sys.path` and stays there: a study imports some modules only when it draws.
    """
    name, file = entry["module"], Path(entry["file"]) if entry.get("file") else None
    packages = name.count(".")
    if name != "__main__":
        yield from _attempt(lambda: importlib.import_module(name), problems)
    if file is None:
        return
    if not file.is_file():
        problems.append(f"{file} is missing")
        return
    root = str(file.parents[min(packages, len(file.parents) - 1)])
    if root not in sys.path:
        sys.path.append(root)
        importlib.invalidate_caches()
        if name != "__main__":
            yield from _attempt(lambda: importlib.import_module(name), problems)
    yield from _attempt(lambda: _load_file(file), problems)


def _attempt(load: Callable[[], ModuleType], problems: list[str]) -> Iterator[ModuleType]:
    try:
        module = load()
    except (Exception, SystemExit) as error:  # whatever a module of the user's does while it is imported
        problems.append(" ".join(str(error).split()) or type(error).__name__)
    else:
        yield module


def _load_file(file: Path) -> ModuleType:
    name = f"{_LOADED}{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_guarded(file: Path) -> bool:
    """Whether a script has an `if __name__ == …`, without which loading it would run it."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False
    conditions = [node.test for node in tree.body if isinstance(node, ast.If)]
    return any(isinstance(part, ast.Name) and part.id == "__name__" for test in conditions for part in ast.walk(test))
