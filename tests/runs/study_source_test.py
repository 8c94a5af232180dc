"""What meta.json keeps of where a study is, as imported modules, scripts and notebooks leave it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments import lr_sweep
from jaxreg.errors import RunFolderError
from jaxreg.runs import study_source
from jaxreg.study import Study

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json
import jaxreg
from jaxreg.errors import RunFolderError
from jaxreg.runs import study_source
STUDY = jaxreg.Study("mine", "Mine")
GUARD
    print(json.dumps(study_source.locate(STUDY)))
"""


def located(*command: str, text: str = "") -> Any:
    """What a script says of its study."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, *command]
    done = subprocess.run(arguments, input=text, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_study_of_a_module_is_found_by_its_name() -> None:
    entry = study_source.locate(lr_sweep.STUDY)
    assert entry == {
        "module": "experiments.lr_sweep",
        "attribute": "STUDY",
        "name": "lr_sweep",
        "file": lr_sweep.__file__,
    }
    assert study_source.find({"study": entry}, Path("run")) == (lr_sweep.STUDY, True)


def test_the_default_study_and_one_that_no_module_holds() -> None:
    assert study_source.locate(Study()) == "default"
    assert study_source.find({"study": "default"}, Path("run")) == (Study(), True)
    assert study_source.locate(Study("mine", "Mine")) is None


def test_earlier_runs_are_found_by_the_name_of_their_experiment() -> None:
    assert study_source.find({"experiment": "lr_sweep"}, Path("run")) == (lr_sweep.STUDY, True)
    assert study_source.find({"experiment": "run"}, Path("run")) == (Study(), False)


def test_the_study_of_a_script_is_found_by_its_file_unless_loading_it_would_run_it(tmp_path: Path) -> None:
    script = tmp_path / "sweep.py"
    script.write_text(SCRIPT.replace("GUARD", 'if __name__ == "__main__":'), encoding="utf-8")
    entry = {"module": "__main__", "attribute": "STUDY", "name": "mine", "file": str(script)}
    assert located(str(script)) == entry
    assert located("-m", "sweep") == entry | {"module": "sweep"}
    study, _ = study_source.find({"study": entry}, Path("run"))
    assert study == Study("mine", "Mine")
    for test in ("if True:", "for _ in range(1):"):
        script.write_text(SCRIPT.replace("GUARD", test), encoding="utf-8")
        assert located(str(script)) is None
    assert located("-", text=SCRIPT.replace("GUARD", "if True:")) is None


def test_parts_are_imported_with_the_module_of_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "registers.py"
    file.write_text("import os\nos.environ['REGISTERED'] = 'yes'\n", encoding="utf-8")
    monkeypatch.setenv("REGISTERED", "no")
    assert study_source.import_parts({"study": None}, Path("run")) is None
    assert study_source.import_parts({"study": "default"}, Path("run")) is None
    assert study_source.import_parts({"experiment": "run"}, Path("run")) is None
    assert "No module named" in str(study_source.import_parts({"experiment": "no_such_experiment"}, Path("run")))
    assert os.environ["REGISTERED"] == "no"
    assert study_source.import_parts({"study": None}, Path("run"), str(file)) is None
    assert os.environ["REGISTERED"] == "yes"


@pytest.mark.parametrize("file", ["study.py", "run/study.py", "{folder}/study.py", "{folder}/../run/study.py"])
def test_code_that_came_with_a_run_folder_is_not_run(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "study.py").write_text("raise SystemExit('this was run')\n")
    entry = {"module": "study", "attribute": "STUDY", "name": "mine", "file": file.format(folder=folder)}
    for use in (study_source.find, study_source.import_parts):
        with pytest.raises(RunFolderError, match=r"is not run\. If you trust it, give it by --study="):
            use({"study": entry}, folder)
