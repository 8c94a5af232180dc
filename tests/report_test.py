"""`python -m jaxreg.report`: pages from run folders, and one line with exit code 1 for everything that cannot be."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments import lr_sweep
from jaxreg import report, results
from jaxreg.errors import RunFolderError
from jaxreg.runs import folder as runfolder
from jaxreg.runs import study_source
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


def rebuilt(folder: Path, *arguments: str) -> str:
    """The page that is written, with figures beside it."""
    assert run(folder, *arguments) == 0
    assert list((folder / "figures").glob("*.svg"))
    return (folder / "report.html").read_text(encoding="utf-8")


def note(folder: Path, **meta: object) -> None:
    """Adds to meta.json."""
    path = folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | meta), encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_report_of_one_run_is_rebuilt_in_place(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """With the words and figures of its study; what it no longer has goes, what is not of the report stays."""
    folder = make_run("one")
    (folder / "report.html").write_text("old", encoding="utf-8")
    (folder / "figures").mkdir()
    for name in ("of_earlier.svg", "notes.txt", "fig36_test_loss.gif"):
        (folder / "figures" / name).write_text("old", encoding="utf-8")
    page = rebuilt(folder)
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert lr_sweep.STUDY.question in page
    assert all(claim.statement in page for claim in lr_sweep.CLAIMS)
    names = {path.name for path in (folder / "figures").iterdir()}
    assert "fig36_test_loss.svg" in names
    assert "notes.txt" in names
    assert not {"of_earlier.svg", "fig36_test_loss.gif"} & names
    assert not list(folder.glob(".figures*"))


def test_of_a_run_that_goes_on_there_is_what_it_has_so_far(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one")
    note(folder, status="running", ended=None)
    so_far = results.load(folder)
    begun = so_far["learning_rate"] < 1  # the last setting has not begun
    measured = (so_far["check"] < 3) & begun
    curves = [name for name in so_far.data_vars if "check" in so_far[name].dims]
    so_far = so_far.assign({name: so_far[name].where(measured) for name in curves})
    so_far = so_far.assign(checks_done=(3 * begun).broadcast_like(so_far["checks_done"]))
    ends = [name for name in so_far.data_vars if str(name).startswith("final_")]
    so_far = so_far.assign({name: so_far[name] * float("nan") for name in ends})
    results.save(so_far, folder / runfolder.SO_FAR)
    (folder / "results.nc").unlink()
    page = rebuilt(folder)
    warning = "not finished (running): the numbers are those measured so far, between steps 0 and 100 of 200"
    assert f"{warning}; 15 of 20 members have begun." in page
    accuracy = float(so_far["test_accuracy"].sel(learning_rate=0.1).isel(check=2).mean())
    assert f"{100 * accuracy:.1f}\u00a0%" in page
    capsys.readouterr()
    assert "holds no results yet (status running)" in refused(capsys, folder, make_run("two"))


def test_a_run_without_a_study_has_the_default_one(make_run: MakeRun) -> None:
    folder = make_run("one", "run")
    note(folder, study=study_source.locate(Study()))
    assert Study().question in rebuilt(folder)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"experiment": "somebody_elses"}, "experiments.somebody_elses:STUDY, is not found (No module named"),
        ({"experiment": "../lr_sweep"}, "is not found"),
        ({"experiment": "flags"}, "experiments.flags has no study STUDY"),
        ({"study": None}, "made inside a function"),
        ({"study": {"module": "no_such", "attribute": "STUDY", "file": "/no/such.py"}}, "/no/such.py is missing"),
        ({"study": {"module": "experiments.cli", "attribute": "MINE", "file": None}}, "has no study MINE"),
        (
            {"study": {"module": "experiments.lr_sweep", "attribute": "STUDY", "name": "mine", "file": None}},
            "is the study lr_sweep, not mine",
        ),
    ],
    ids=["missing", "path", "no study", "unlocated", "no file", "no attribute", "another study"],
)
def test_a_study_that_is_not_found_is_asked_for_and_nothing_changes(
    meta: dict[str, object], words: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one")
    note(folder, **meta)
    (folder / "figures").mkdir()
    (folder / "figures" / "fig36_test_loss.svg").write_text("earlier", encoding="utf-8")
    (folder / "report.html").write_text("earlier", encoding="utf-8")
    before = contents(folder)
    line = refused(capsys, folder)
    assert words in line
    assert "--study=MODULE_OR_FILE[:ATTRIBUTE]" in line
    assert contents(folder) == before


MINE = """
import dataclasses, {other}
from matplotlib.figure import Figure
from jaxreg.reporting.document import ReportFigure
from jaxreg.study import Study
@dataclasses.dataclass
class Words:
    text: "str"
def one(results): return [ReportFigure("one", "One.", Figure(figsize=(1, 1)))]
def fail(results): raise ZeroDivisionError
STUDY = Study("mine", "Mine", {other}.QUESTION, figures=one)
OTHER = Study("other", "Other", "Another question?", figures=one)
BROKEN = dataclasses.replace(STUDY, figures=fail)
FAILS = dataclasses.replace(STUDY, answer=fail)
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a study, which imports a module beside it; neither can be imported by name from here."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / f"words_{tmp_path.name}.py").write_text("QUESTION = 'Is it mine?'\n", encoding="utf-8")
    file = folder / f"study_{tmp_path.name}.py"
    file.write_text(MINE.format(other=f"words_{tmp_path.name}"), encoding="utf-8")
    return file


def test_a_study_is_found_by_its_file_where_its_module_cannot_be_imported(make_run: MakeRun, mine: Path) -> None:
    folder = make_run("one", "run")
    for module in (mine.stem, "__main__"):
        note(folder, study={"module": module, "attribute": "STUDY", "name": "mine", "file": str(mine)})
        assert "Is it mine?" in rebuilt(folder)
    assert "Another question?" in rebuilt(folder, f"--study={mine}:OTHER")
    note(folder, study=None)
    assert "Is it mine?" in rebuilt(folder, f"--study={mine}")


def test_a_study_given_by_hand_that_is_none_is_refused(
    make_run: MakeRun, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one")
    before = contents(folder)
    (mine.parent / "leaves.py").write_text("import sys; sys.exit('leaving')", encoding="utf-8")
    for given, words in [
        ("no_such_module", "No module named 'no_such_module'"),
        ("experiments.lr_sweep:CLAIMS", "experiments.lr_sweep has no study CLAIMS"),
        (f"{mine}:Words", "has no study Words"),
        (f"{mine.parent}/missing.py", "missing.py is missing"),
        (f"{mine.parent}/leaves.py", "leaving"),
    ]:
        line = refused(capsys, folder, f"--study={given}")
        assert line.startswith(f"--study={given}: ")
        assert words in line
    assert "is for the report of one run" in refused(capsys, folder, make_run("b"), "--study=experiments.lr_sweep")
    assert contents(folder) == before


def test_earlier_runs_from_python_keep_figures_and_words_that_only_a_study_can_have_drawn(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run("one", "run")
    assert Study().question in rebuilt(folder)
    (folder / "figures" / "my_figure.png").write_text("mine", encoding="utf-8")
    before = contents(folder)
    capsys.readouterr()
    assert "would lose the figures my_figure" in refused(capsys, folder)
    assert contents(folder) == before
    (folder / "figures" / "my_figure.png").unlink()
    (folder / "report.html").write_text("<title>My question · jaxreg</title>", encoding="utf-8")
    assert "would lose its title" in refused(capsys, folder)
    assert Study().question in rebuilt(folder, "--study=default"), "as asked for"
    assert Study().question in rebuilt(folder), "nothing of a study is left to lose"


def test_figures_stay_where_new_ones_cannot_be_drawn(make_run: MakeRun, mine: Path) -> None:
    folder = make_run("one")
    rebuilt(folder, f"--study={mine}:OTHER")
    before = contents(folder)
    for attribute in ("BROKEN", "FAILS"):
        with pytest.raises(ZeroDivisionError):
            run(folder, f"--study={mine}:{attribute}")
        assert contents(folder) == before


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
    assert "--ouy: no such flag; did you mean --out?" in refused(capsys, folder, "--ouy=x")
    assert "--out=x.html: is for several runs" in refused(capsys, folder, "--out=x.html")
    assert "given twice" in refused(capsys, folder, f"{folder}/../a")


def test_results_that_their_study_cannot_show_are_refused_in_one_line(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as an axis that the claims of the study do not know: of another program, or of somebody who edited it."""
    folder = make_run("foreign")
    results.save(results.load(folder).rename({"learning_rate": "evil"}), folder / "results.nc")
    before = contents(folder)
    line = refused(capsys, folder)
    assert "its study lr_sweep cannot show these results" in line
    assert "the results hold no learning_rate" in line
    assert contents(folder) == before


def test_folders_that_hold_no_run(make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    damaged, unfinished, foreign = make_run("damaged"), make_run("unfinished"), make_run("foreign")
    (damaged / "meta.json").write_text("{", encoding="utf-8")
    (unfinished / "results.nc").unlink()
    (unfinished / "meta.json").write_text('{"experiment": "x", "status": "interrupted"}', encoding="utf-8")
    (foreign / "results.nc").write_text("not NetCDF", encoding="utf-8")
    intact = make_run("intact")
    for arguments in ([], [intact]):
        assert "missing: not a run folder" in refused(capsys, tmp_path / "missing", *arguments)
        assert "empty: not a run folder" in refused(capsys, tmp_path / "empty", *arguments)
        assert "damaged/meta.json: cannot be used (it is not JSON)" in refused(capsys, damaged, *arguments)
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
