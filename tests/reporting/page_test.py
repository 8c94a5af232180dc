"""The report page: parsed as HTML, it is self-contained, well formed for people and screen readers, and complete."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import itertools
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from jaxreg.reporting import document, figures, page, provenance
from jaxreg.study import ReportFigure
from tests.reporting.pages import a_comparison, a_figure, evidence, judgement, make_report
from tests.synthetic import make_meta, make_results

VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclasses.dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""

    def has_class(self, name: str) -> bool:
        return name in (self.attributes.get("class") or "").split()


class Page(html.parser.HTMLParser):
    """All elements in order, each with the text inside it; fails on tags that do not nest."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag
        self.handle_data(" " if tag in ("th", "td") else "")

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    @property
    def text(self) -> str:
        """What is read, runs of any white space as one space."""
        return " ".join(self.all("body")[0].text.split())


def report(path: Path, **changes: Any) -> Page:
    return Page(make_report(path, **changes))


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no_axes": {"results": make_results(axes={}, num_checks=5), "comparison": None},
    "one_seed": {
        "results": make_results(seeds=1, num_checks=5),
        "comparison": a_comparison(low=np.nan, high=np.nan, n=1),
    },
    "all_diverged": {"results": make_results(axes={}, seeds=2, diverged=2, num_checks=5)},
    "three_axes": {
        "results": make_results(
            axes={"learning_rate": [0.1, 1.0], "init": ["normal", "he"], "momentum": [0.0, 0.9]},
            zipped={"batch_size": ("learning_rate", [10, 100])},
            num_checks=5,
        )
    },
    "bare": {"figures": [], "comparison": None, "meta": {}, "source": "", "flags": "", "judgements": ()},
}


@pytest.fixture(params=VARIANTS, scope="module")
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(tmp_path_factory.mktemp("report"), **VARIANTS[request.param])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(tmp_path_factory.mktemp("report"))


def test_nothing_is_loaded_from_elsewhere(variant: Page) -> None:
    for element in variant.elements:
        for name in ("src", "href", "srcset", "data", "action"):
            address = element.attributes.get(name) or "#"
            assert address.startswith(("#", "data:")), f"<{element.tag} {name}={address[:40]}>"
    assert not variant.all("link", "iframe", "object")
    styles = "".join(element.text for element in variant.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles


def test_headings_are_in_order(variant: Page) -> None:
    levels = [int(element.tag[1]) for element in variant.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))


def test_images_tables_and_links_are_accessible(variant: Page) -> None:
    assert all((image.attributes.get("alt") or "").strip() for image in variant.all("img"))
    assert all(head.attributes.get("scope") in ("row", "col") for head in variant.all("th"))
    assert len(variant.all("caption")) == len(variant.all("table"))
    assert len(variant.all("main")) == len(variant.all("header")) == len(variant.all("nav")) == 1
    assert variant.all("html")[0].attributes["lang"] == "en-GB"
    ids = [element.attributes["id"] for element in variant.elements if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    targets = [element.attributes.get("href") or "" for element in variant.all("a")]
    targets += [
        f"#{element.attributes['aria-labelledby']}"
        for element in variant.elements
        if "aria-labelledby" in element.attributes
    ]
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_rows_are_as_wide_as_their_heads(variant: Page) -> None:
    width, cells = 0, 0
    for element in [*variant.all("table", "tr", "th", "td"), Element("table", {})]:
        if element.tag in ("table", "tr"):
            assert cells in (0, width) or width == 0
            width = 0 if element.tag == "table" else (width or cells)
            cells = 0
        cells += element.tag in ("th", "td")


def test_no_number_is_shown_as_nan_or_none(variant: Page) -> None:
    shown = "".join(element.text for element in variant.all("header", "main"))
    assert not {"nan", "None", "inf"} & set(shown.replace("(", " ").split())


def test_text_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script> & \"quoted\""
    comparison = a_comparison(setting=evil, note=evil)
    figures = [ReportFigure("curves", evil, a_figure())]
    texts = dict.fromkeys(("title", "question", "answer", "source", "flags"), evil)
    meta = make_meta() | {"command": evil}
    claims = [judgement(statement=evil, reason=evil, source=evil, evidence=(evidence(label=evil),))]
    read = report(tmp_path, **texts, notes=[evil], comparison=comparison, figures=figures, meta=meta, judgements=claims)
    assert len(read.all("script")) == 1
    assert read.text.count(evil) == len(texts) + 5 + 4
    assert read.all("title")[0].text.startswith(evil)


def test_question_and_answer_come_first(plain: Page) -> None:
    paragraphs = [element.text for element in plain.all("h1", "p")][:4]
    assert paragraphs == [
        "Learning-rate sweep",
        "How does the learning rate shape training?",
        "A larger rate needs fewer steps.",
        "The largest diverges.",
    ]
    sections = [element.attributes["aria-labelledby"] for element in plain.all("section")]
    assert sections[:3] == ["claims", "results", "comparison"]


def test_the_first_figure_stands_between_answer_and_claims_and_the_others_after_them(tmp_path: Path) -> None:
    drawn = [ReportFigure(name, f"{name} of a run.", a_figure()) for name in ("Loss", "Accuracy", "Error")]
    read = report(tmp_path, figures=drawn)
    parts = (
        "The largest diverges",
        "1 supported",
        "Loss of a run.",
        "Rate 0.1 is best.",
        "Accuracy of a run.",
        "Error of a run.",
    )
    places = [read.text.rindex(words) for words in parts]
    assert places == sorted(places)
    labels = [element.attributes.get("aria-label") for element in read.elements if element.has_class("card")]
    assert labels == ["Figure 1", "Figure 2", "Figure 3"]
    assert "Figures" not in report(tmp_path, figures=drawn[:1]).text


def test_claims_show_verdict_reason_and_n_and_fold_their_evidence(plain: Page) -> None:
    badges = [badge.text for badge in plain.all("span") if badge.has_class("verdict")]
    tally, each = badges[:3], badges[3:]
    assert tally == ["1 supported", "1 contradicted", "1 undecided"]
    assert each == ["supported", "contradicted", "undecided"]
    assert len({path.attributes["d"] for path in plain.all("path")}) == 3  # a shape for each verdict, not colour alone
    text = plain.text
    assert "A larger rate fluctuates less. n = 5 All differences lie below zero." in " ".join(text.split())
    assert len([element for element in plain.all("div") if element.has_class("evidence")]) == 3
    assert "Claimed by: report 000, part 5." in text
    assert "A claim of this study." in text


def test_settings_that_differ_only_in_what_does_not_act_are_one_row_with_a_dash(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"method": ["none", "l2"], "l2_strength": [0.001, 0.01, 0.1]}
    read = report(tmp_path, results=make_results(axes=axes, num_checks=3), comparison=None)
    (results,) = [section.text for section in read.all("section") if section.attributes["aria-labelledby"] == "results"]
    shown = " ".join(results.split())
    assert shown.count("none \u2013 ") == 1
    assert all(f"l2 {strength} " in shown for strength in (0.001, 0.01, 0.1))
    assert "2 settings that differ only in such values are left out." in shown
    assert "4 settings" in read.text


def test_numbers_of_sentences_are_not_torn_from_their_signs(tmp_path: Path) -> None:
    reason = "By 3.00 % (n = 5), 97.00 % \u00b1 1.00."
    page = make_report(tmp_path, answer=reason, judgements=[judgement(reason=reason)])
    assert page.count("By 3.00\u00a0% (n\u00a0=\u00a05), 97.00\u00a0%\u00a0\u00b1\u00a01.00.") == 2


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, "\u22120.0120 \u22120.0200 to \u22120.0040 0.020 Student t 5 \u2013"),
        ({"difference": 1234.0, "low": 1100.0, "high": 1368.0}, "+1 234 +1 100 to +1 368 0.020 Student t 5 \u2013"),
        (
            {"low": np.nan, "high": np.nan, "p_holm": np.nan, "n": 1, "test": "none"},
            "one seed, no interval \u2013 not tested 1",
        ),
        ({"difference": 0.0, "low": 0.0, "high": 0.0, "test": "identical"}, "0 0 to 0 0.020 identical 5"),
        ({"p_holm": 1e-7, "n": 4, "left_out": 1, "needed": 41}, "< 0.001 Student t 41 left out: diverged about 41"),
        ({"difference": np.nan, "low": np.nan, "high": np.nan}, "\u2013 \u2013 0.020"),
    ],
)
def test_evidence_is_a_row_of_numbers(tmp_path: Path, changes: dict[str, Any], row: str) -> None:
    read = report(tmp_path, judgements=[judgement(evidence=(evidence(**changes),))])
    assert row in read.text


def test_evidence_of_many_comparisons_is_a_choice_that_says_so(tmp_path: Path) -> None:
    many = tuple(evidence(label=f"pair {number}") for number in range(250))
    read = report(tmp_path, judgements=[judgement(evidence=many)])
    assert "pair 0 " in read.text
    assert "pair 249 " in read.text
    assert read.text.count("pair ") == page.MAX_EVIDENCE
    assert "100 of 250 comparisons, evenly chosen." in read.text


def test_claims_about_what_the_run_does_not_hold_are_counted_and_folded_away(plain: Page, tmp_path: Path) -> None:
    (folded,) = [element for element in plain.all("details") if element.has_class("elsewhere")]
    assert "open" not in folded.attributes
    said = " ".join(folded.text.split())
    assert said == (
        "1 claim is about data or settings that this run does not have "
        "Rate 7 diverges. The run holds no such rate. Claimed by: report 000, part 5."
    )
    only = [judgement(verdict="undecided", n=0, evidence=())] * 2
    text = report(tmp_path, judgements=only).text
    assert "2 claims are about data or settings" in text
    assert "undecided" not in text


def test_a_claim_of_which_every_member_diverged_is_one_of_this_run(tmp_path: Path) -> None:
    read = report(tmp_path, judgements=[judgement(verdict="undecided", n=0)])
    assert "undecided A larger rate fluctuates less. n = 0" in read.text
    assert not [element for element in read.all("details") if element.has_class("elsewhere")]


def test_one_claim_needs_no_tally_and_none_no_section(tmp_path: Path) -> None:
    one = report(tmp_path, judgements=[judgement()])
    assert [badge.text for badge in one.all("span") if badge.has_class("verdict")] == ["supported"]
    assert "Claims" not in report(tmp_path, judgements=()).text


def test_configuration_shows_what_differs_first(plain: Page) -> None:
    section = next(e.text for e in plain.all("section") if e.attributes["aria-labelledby"] == "configuration")
    table, _, everything = " ".join(section.split()).partition("All flags")
    assert "learning_rate 0.001,0.01,0.1,1 0.1" in table
    assert "num_steps 200 set by num_epochs, else 1000" in table
    assert "seeds 5 1" in table
    assert "momentum" not in table
    assert "--momentum=0" in everything


def test_configuration_of_a_default_run(tmp_path: Path) -> None:
    assert "Every flag is at its default" in report(tmp_path, flags="--momentum=0\n").text


def test_numbers_are_those_of_the_results_and_the_best_on_validation_is_marked(tmp_path: Path) -> None:
    results = make_results(num_checks=5)
    results["final_validation_accuracy"][:] = [
        [0.50, 0.51, 0.52, 0.53, 0.54],
        [0.71, 0.73, 0.72, 0.71, 0.73],
        [0.61, 0.63, 0.62, 0.61, 0.63],
        [0.40, 0.41, 0.42, 0.43, 0.44],
    ]
    results["final_test_accuracy"][0] = 0.99
    read = report(tmp_path, results=results)
    (best,) = [row for row in read.all("tr") if row.has_class("best")]
    assert best.text.split()[:6] == ["best", "0.01", "72.0", "%", "±", "1.2"]
    assert "mean over 5 seeds ± half the width of its 95 % interval" in read.text


def test_one_seed_has_no_interval_and_says_so(tmp_path: Path) -> None:
    read = report(tmp_path, results=make_results(seeds=1, num_checks=5), comparison=None)
    assert "±" not in read.text
    assert "one seed, no interval" in read.text


def test_a_mean_of_the_one_seed_that_is_left_says_so(tmp_path: Path) -> None:
    assert "one seed, no interval" not in report(tmp_path, results=make_results(num_checks=5)).text
    left = report(tmp_path, results=make_results(diverged=4, num_checks=5)).text
    assert "one seed, no interval" in left


def test_comparison_gives_the_verdict_in_words(plain: Page, tmp_path: Path) -> None:
    assert "85.30 % 85.00 % 84.10 to 85.90 % 5 inside" in plain.text
    assert page.FITTED not in plain.text
    assert "outside" in report(tmp_path, comparison=a_comparison(reported=0.9, inside=False)).text
    one_seed = a_comparison(n=1, low=np.nan, high=np.nan, inside=None)
    assert "not judged: one seed, no interval" in report(tmp_path, comparison=one_seed).text


def test_fitted_numbers_are_marked_as_no_evidence(tmp_path: Path) -> None:
    comparison = pd.concat([a_comparison(fitted=True), a_comparison(id="other")])
    read = report(tmp_path, comparison=comparison)
    (fitted,) = [row for row in read.all("tr") if page.FITTED in row.text]
    assert "A5-0.01-test" in fitted.text
    assert "were used to choose the settings and are no evidence" in read.text


def test_diverged_members_are_listed(plain: Page, tmp_path: Path) -> None:
    assert "2 of 20 members diverged" in plain.text
    assert "learning_rate seed step 1 0 100 1 1 100" in plain.text
    assert "No member of 20 diverged" in report(tmp_path, results=make_results(num_checks=5)).text


def test_many_settings_are_cut_and_counted(tmp_path: Path) -> None:
    results = make_results(axes={"learning_rate": list(range(300))}, seeds=2, num_checks=3)
    read = report(tmp_path, results=results, figures=[], comparison=None)
    assert "130 are left out here, all are in summary.csv" in read.text
    assert len(read.all("tr")) < 200


def test_receipt_and_reproduction(tmp_path: Path) -> None:
    meta = make_meta()
    meta["git"]["dirty"] = True
    text = report(tmp_path, meta=meta).text
    parts = ["members 20 (20 finished, 0 stopped, 0 diverged)", "steps of a member 200", "wall time 20.0 s"]
    parts += [
        "compile time 1.5 s",
        "1 600 member-steps/s",
        "668 MiB",
        "cpu x 2",
        "5 seeds x 4 settings",
        "tiles of 1 x 4",
    ]
    for part in parts:
        assert part in text
    for part in (meta["command"], f"{meta['git']['commit']}, with uncommitted changes", "jax 0.10.2"):
        assert part in text
    assert "not finished (interrupted)" in report(tmp_path, meta=meta | {"status": "interrupted"}).text


def test_a_joined_run_names_the_machines_of_its_parts() -> None:
    small, large = ({"platform": "cpu", "kind": "cpu", "count": n, "machine": "x86_64"} for n in (2, 8))
    meta = make_meta() | {"joined": [{"part": f"{k}/3", "device": d} for k, d in enumerate((small, large, small), 1)]}
    rows = dict(provenance.receipt(make_results(), meta))
    assert rows["parts"] == "3, each trained on 2 CPU devices on x86_64, or 8 CPU devices on x86_64"
    assert rows["wall time of joining"] == "20.0\u00a0s"
    assert "device" not in rows


def test_figures_are_inlined_with_caption_and_alternative_text(plain: Page) -> None:
    (image,) = plain.all("img")
    kind, _, data = (image.attributes["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert ET.fromstring(base64.b64decode(data)).tag.endswith("svg")
    assert image.attributes["alt"] == "Plot: test loss (nats) against step."
    assert plain.all("figcaption")[0].text == "Test loss against step (figure 36)."


@pytest.mark.parametrize(("limit", "kind", "file"), [(10**6, "svg+xml", 1), (100, "png", 0)])
def test_files_that_were_saved_are_inlined_as_they_are(
    limit: int, kind: str, file: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "LARGE_SVG_BYTES", limit)
    drawn = a_figure()
    files = figures.save(drawn, tmp_path, "loss")
    monkeypatch.setattr(Figure, "savefig", None)  # it cannot be drawn again
    data = document.inlined(ReportFigure("loss", "Loss.", drawn, files))["data"]
    assert data == f"data:image/{kind};base64,{base64.b64encode(files[file].read_bytes()).decode()}"


def test_a_heavy_figure_becomes_a_bitmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_SVG_BYTES", 100)
    (image,) = report(tmp_path).all("img")
    assert (image.attributes["src"] or "").startswith("data:image/png;base64,")


def test_the_same_report_has_the_same_bytes_and_replaces_the_old_one(tmp_path: Path) -> None:
    report(tmp_path)
    first = (tmp_path / "report.html").read_bytes()
    report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.6414, "0.641"),
        (2.2102, "2.21"),
        (0.9999, "1.00"),
        (-0.5, "\u22120.500"),
        (20_000.0, "20\u202f000"),
        (1234567.0, "1.23 · 10^6"),
        (2e-7, "2.00 · 10^\u22127"),
        (np.inf, "∞"),
        (np.nan, "\u2013"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert document.significant(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.42, "0.42 s"), (59.94, "59.9 s"), (59.97, "1 min 0 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")],
)
def test_seconds(value: float, text: str) -> None:
    assert document.seconds(value).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(500, "500 B"), (700_000_000, "668 MiB"), (2**30, "1.0 GiB"), (1_073_741_000, "1.0 GiB")]
)
def test_size(value: float, text: str) -> None:
    assert document.size(value).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"platform": "cpu", "kind": "cpu", "count": 2, "processes": 1, "cpu_cores": 2, "machine": "x86_64"},
         "2 CPU devices on x86_64 with 2 cores"),
        ({"platform": "gpu", "kind": "NVIDIA H100", "count": 1, "cpu_cores": 16, "machine": "x86_64"},
         "1 GPU (NVIDIA H100) on x86_64 with 16 cores"),
        ({"platform": "tpu", "kind": "TPU v5e", "count": 8, "processes": 2}, "8 TPUs (TPU v5e), 2 processes"),
    ],
)  # fmt: skip
def test_device_in_words(found: dict[str, Any], words: str) -> None:
    assert provenance.device(found) == words
