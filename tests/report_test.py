"""`python -m jaxreg.report`: pages from run folders, and one line with exit code 1 for everything that cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxreg import report
from jaxreg.errors import RunFolderError
from jaxreg.results import dataset as results
from jaxreg.runs import folder as runfolder
from jaxreg.study import Study
from tests.synthetic import make_meta, make_results

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Leaves a run folder, as a run on synthetic data would."""

    def make(name: str, experiment: str = "lr_sweep", *, flags: str = "--momentum=0\n", key: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        made = make_results(num_checks=5, key=key).assign_coords(dataset="digits", downsample=1, schedule="constant")
        results.save(made, folder / "results.nc")
        (folder / "meta.json").write_text(json.dumps(make_meta() | {"experiment": experiment}), encoding="utf-8")
        (folder / "flags.cfg").write_text(flags, encoding="utf-8")
        return folder

    return make


def run(*arguments: str | Path) -> int:
    return report.main(["report", *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that is said instead of a page."""
    assert run(*arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    return line


def test_the_report_of_one_run_is_rebuilt_in_place(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """With the default study's words and figures, and a line that says so, where the experiment is not known."""
    folder = make_run("one", "somebody_elses")
    (folder / "report.html").write_text("old", encoding="utf-8")
    assert run(folder) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(folder / "report.html")
    assert "experiments.somebody_elses was not found" in said.err
    assert Study().question in (folder / "report.html").read_text(encoding="utf-8")
    assert list((folder / "figures").glob("*.svg"))


def test_the_study_is_that_of_the_experiment() -> None:
    assert report.find_study("lr_sweep").name == "lr_sweep"


@pytest.mark.parametrize("name", ["", "no_such_experiment", "flags", "../lr_sweep", "cli"])
def test_what_is_no_experiment_has_the_default_study(name: str) -> None:
    assert report.find_study(name) == Study()


def test_an_experiment_that_lacks_a_module_is_not_mistaken_for_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module\n", encoding="utf-8")
    import experiments

    monkeypatch.setattr(experiments, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "experiments.broken", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        report.find_study("broken")


def test_several_runs_are_compared_on_one_page(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [make_run("a/run"), make_run("b/run", flags="--momentum=0.9\n", key=1)]
    assert run(*folders) == 0
    assert capsys.readouterr().out.strip() == "comparison.html"
    page = (tmp_path / "comparison.html").read_text(encoding="utf-8")
    assert "How do a/run and b/run compare?" in page
    assert not (folders[0] / "report.html").exists()
    assert run(*folders, "--out=comparison.html") == 0, "a comparison page may be replaced"


def test_a_file_that_is_no_comparison_page_stays(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = make_run("a"), make_run("b")
    (tmp_path / "notes.html").write_text("mine", encoding="utf-8")
    line = refused(capsys, *folders, "--out=notes.html")
    assert "--out=notes.html: exists and is not a comparison page" in line
    assert (tmp_path / "notes.html").read_text(encoding="utf-8") == "mine"
    assert "not the path of a file" in refused(capsys, *folders, "--out=missing/page.html")
    assert "is not the path of a file" in refused(capsys, *folders, "--out=a")


def test_arguments_that_cannot_be(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run("a")
    assert "no run folder given" in refused(capsys)
    assert "Unknown command line flag 'ouy'" in refused(capsys, folder, "--ouy=x")
    assert "--out=x.html: is for several runs" in refused(capsys, folder, "--out=x.html")
    assert "given twice" in refused(capsys, folder, f"{folder}/../a")


def test_folders_that_hold_no_run(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    damaged, unfinished, foreign = make_run("damaged"), make_run("unfinished"), make_run("foreign")
    (damaged / "meta.json").write_text("{", encoding="utf-8")
    (unfinished / "results.nc").unlink()
    (unfinished / "meta.json").write_text('{"experiment": "x", "status": "interrupted"}', encoding="utf-8")
    (foreign / "results.nc").write_text("not NetCDF", encoding="utf-8")
    whole = make_run("whole")
    for arguments in ([], [whole]):
        assert "missing: not a run folder" in refused(capsys, tmp_path / "missing", *arguments)
        assert "empty: not a run folder" in refused(capsys, tmp_path / "empty", *arguments)
        assert "damaged: not a run folder" in refused(capsys, damaged, *arguments)
        assert "holds no results yet (status interrupted)" in refused(capsys, unfinished, *arguments)
        assert "results.nc: cannot be read as results" in refused(capsys, foreign, *arguments)


def test_read_finished_raises_what_main_prints(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        runfolder.read_finished(tmp_path)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "python -m jaxreg.report RUN" in capsys.readouterr().out


def test_the_command_defines_no_flags_and_is_quick_to_refuse(make_run: MakeRun) -> None:
    """Importing it touches neither absl's flags nor what draws; the refusal is one line, without a traceback."""
    folder = make_run("a")
    shutil.rmtree(folder)
    code = (
        "import sys, jaxreg.report as report; from absl import flags; assert 'out' not in flags.FLAGS; "
        f"code = report.main(['report', {str(folder)!r}]); assert 'matplotlib' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1
