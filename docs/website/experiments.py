"""A page for each experiment: question, result and figures.

The words are those of the docstring of its module, the figures those of its small run. `python -m
docs.website.experiments` draws them anew into docs/pictures/experiments, with names after it only those of these, and
with NAME=RUN those of a run that has ended.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from docs.website.pictures import keep
from docs.website.places import PICTURES
from docs.website.runs import finished, small_flagfile
from experiments.catalogue import FLAGFILES, module_of, names, on_digits, path_of

KEPT = PICTURES / "experiments"
FIGURES_OF_A_PAGE = 4  # the first that a study draws, unless others are named here
MAIN_FIGURES = {
    "point_cloud": ("fig1_training_loss", "fig2_validation_loss", "error_against_strength", "decision_surfaces"),
}

FULL_SIZE = "full_size.txt"  # beside figures of a run at full size, with the name of its flagfile

# Parts of a docstring, in the order of the page; a part begins a line and goes on to the next one. Paragraphs without
# such a beginning are notes.
_HEADINGS = {
    "Question": "",
    "Expected": "What comes out at full size",
    "Assumed": "What was assumed",
    "Notes": "What to know",
    "Wall time": "How long it takes",
    "Source": "Where the question comes from",
    "Command": "Run it",
}
_PART = re.compile(rf"^({'|'.join(_HEADINGS)})(?: (on [^:]*|\([^)]*\)))?[:,]\s*", re.MULTILINE)
_STUDY = re.compile(r"\b[Rr]eport 00[03]\b")
_CODE = re.compile(
    r"(?<![\w`/.^-])(--[\w-]+(?:=[^\s:;]*[^\s,:;.])?|[\w./]+\.(?:cfg|py|md|csv)\b|[a-z]\w*_[\w]+|\w\^\d\b)"
)


def experiment_page(name: str) -> str:
    """The page of an experiment, in Markdown."""
    documentation = ast.get_docstring(ast.parse(path_of(name).read_text("utf-8"))) or ""
    title, _, rest = documentation.partition("\n")
    parts = _parts(rest)
    lines = [f"# {name}", f"**{_in_markdown(title)}**", _paragraphs(parts.pop("Question"))]
    for part, heading in _HEADINGS.items():
        if part in parts:
            body = _commands(parts[part]) if part == "Command" else _paragraphs(parts[part])
            body = _STUDY.sub(r"[\g<0>](../studies.md)", body) if part == "Source" else body
            lines += [f"## {heading}", body]
        if part == "Expected":
            lines.append(_figures(name))
    return "\n\n".join(line for line in lines if line) + "\n"


def keep_figures(name: str, run: Path, *, in_full: bool = False) -> None:
    """Draws the main figures of a finished run and keeps them with their captions, and that it was one at full size."""
    from jaxreg import load_results
    from jaxreg.reporting.defaults import default_figures

    study = importlib.import_module(module_of(name)).STUDY
    drawn = (study.figures or default_figures)(load_results(run))
    main = MAIN_FIGURES.get(name) or [figure.name for figure in drawn[:FIGURES_OF_A_PAGE]]
    drawn = [figure for figure in drawn if figure.name in main]
    folder = KEPT / name
    shutil.rmtree(folder, ignore_errors=True)
    for figure in drawn:
        keep(figure.figure, folder / f"{figure.name}.png")
    if in_full:
        (folder / FULL_SIZE).write_text(f"{name}.cfg\n", "utf-8")
    captions = {figure.name: figure.caption for figure in drawn}
    (folder / "captions.json").write_text(json.dumps(captions, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _parts(text: str) -> dict[str, str]:
    """The parts of a docstring by name. What stands before the colon, such as the number of seeds, comes first."""
    found = list(_PART.finditer(text))
    parts: dict[str, str] = {}
    for part, following in zip(found, [*found[1:], None], strict=True):
        body = text[part.end() : following.start() if following else len(text)].strip()
        parts[part[1]] = (f"{part[2].strip('()')}:\n\n" if part[2] else "") + body
    parts["Command"], _, notes = parts["Command"].partition("\n\n")
    return parts | ({"Notes": notes} if notes else {})


def _paragraphs(text: str) -> str:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    begun = [text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text for text in paragraphs]
    return "\n\n".join(map(_in_markdown, begun))


def _in_markdown(text: str) -> str:
    """Plain text with flags and names of files and variables as code, and nothing else read as Markdown."""
    pieces = _CODE.split(text)
    return "".join(
        _as_code(piece) if i % 2 else re.sub(r"([*_<\[\]])", r"\\\1", piece) for i, piece in enumerate(pieces)
    )


def _as_code(name: str) -> str:
    """A name as code; that of a page or of another experiment as a link to it."""
    path = Path(name)
    if path.parent == Path("docs"):
        return f"[`{name}`](../{path.name})"
    if path.parent in (Path("experiments"), Path("experiments/references")) and path.stem in names():
        return f"[`{name}`]({path.stem}.md)"
    return f"`{name}`"


def _commands(text: str) -> str:
    """Command lines as blocks of code, what is said between them as text."""
    blocks = []
    for line in map(str.strip, text.splitlines()):
        is_command = line.startswith("python ")
        blocks.append(f"```bash\n{line}\n```" if is_command else _in_markdown(line))
    return "\n\n".join(blocks)


def _figures(name: str) -> str:
    captions = KEPT / name / "captions.json"
    if not captions.is_file():
        return ""
    full, flagfile = captions.with_name(FULL_SIZE), small_flagfile(name).name
    is_small = on_digits(name) and len(list(FLAGFILES.glob(f"{name}*.cfg"))) > 1
    if full.is_file() or not is_small:
        run = full.read_text("utf-8").strip() if full.is_file() else flagfile
        whose = f"They are those of `{run}`, the run above."
    else:
        whose = (
            f"They are those of the **small version on scikit-learn's digits** (`jaxreg run {name} --digits`, which is "
            f"`{flagfile}`), not of the runs above: expect other numbers, and fewer seeds."
        )
    shown = [
        f"![{figure.replace('_', ' ')}](../pictures/experiments/{name}/{figure}.png)\n\n*{_in_markdown(caption)}*"
        for figure, caption in json.loads(captions.read_text("utf-8")).items()
    ]
    return "\n\n".join(["## Figures", whose, *shown])


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the pictures of all experiments anew, or of those that are named."""
    for argument in arguments or names():
        name, _, run = argument.partition("=")
        keep_figures(name, Path(run) if run else finished(name, name), in_full=bool(run))
        print(KEPT / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
