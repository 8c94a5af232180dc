"""The pages in a real browser: quiet, offline, accessible by axe-core, and moved by hand and by keys."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from jaxreg.reporting import figures
from jaxreg.reporting.animations import gif
from jaxreg.reporting.comparison import write_comparison
from jaxreg.statistics import mean_interval
from jaxreg.study import ReportFigure
from tests.reporting.pages import a_figure, make_report, make_run
from tests.synthetic import make_results

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

PAGES = ("report", "comparison", "sweep")
DESKTOP, PHONE = (1280, 800), (390, 844)
Open = Callable[..., Any]


# A fixture of the module, not of the session: while Playwright runs, nothing else in the process may use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser on the path: none of {', '.join(names)}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def sweep() -> xr.Dataset:
    """Two rates, two initial schemes and two momenta; one seed of the last setting diverged."""
    axes: dict[str, list[Any]] = {"learning_rate": [0.1, 1.0], "init": ["normal", "he"], "momentum": [0.0, 0.9]}
    return make_results(axes=axes, num_checks=5, diverged=1)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, sweep: xr.Dataset) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    # Sorted as text 10 would come before 9; every member of the last setting diverged.
    results = make_results(axes={"learning_rate": [0.001, 9.0, 10.0, 1.0]}, diverged=5, num_checks=5)
    make_report(folder, results=results)
    runs = [make_run("first", "--momentum=0\n"), make_run("second", "--momentum=0.9\n", gain=0.01, seeds=3)]
    write_comparison(folder / "comparison.html", [*runs, make_run("third", diverged=2)])
    loss, accuracy = (figures.curves(sweep, f"test_{kind}", log_y=kind == "loss") for kind in ("loss", "accuracy"))
    drawn = [ReportFigure("loss", "Test loss.", loss), ReportFigure("accuracy", "Test accuracy.", accuracy)]
    (folder / "sweep").mkdir()
    make_report(folder / "sweep", results=sweep, figures=drawn)
    (folder / "sweep" / "report.html").rename(folder / "sweep.html")
    animated = folder / "animated"
    animated.mkdir()
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("white", "black")]
    make_report(animated, figures=[ReportFigure("moving", "From check to check.", a_figure(), moving=gif(frames))])
    return {name: folder / f"{name}.html" for name in PAGES} | {"animated": animated / "report.html"}


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Open]:
    """Opens one of the pages, or a page of the test's own, in a window of its own."""
    contexts = []

    def show(name: str | Path, window: tuple[int, int] = DESKTOP, scheme: str = "light", *, script: bool = True) -> Any:
        size = {"width": window[0], "height": window[1]}
        look: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce", "java_script_enabled": script}
        contexts.append(browser.new_context(viewport=size, **look))
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.said, page.asked_for = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.goto((pages[name] if isinstance(name, str) else name).as_uri())
        return page

    yield show
    for context in contexts:
        context.close()


def violations(page: Any, *rules: str) -> list[str]:
    """The rules of axe-core that the page breaks, of all or of those named."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    return [rule["id"] for rule in axe.Axe().run(page, options=options).response["violations"]]


def column(page: Any, section: str, name: str) -> tuple[list[str], str | None]:
    """The sort keys of a column from top to bottom, and its aria-sort."""
    found = page.evaluate(
        """([section, name]) => {
          const table = document.querySelector(`section[aria-labelledby=${section}] table`);
          const heads = [...table.tHead.rows[0].cells], i = heads.findIndex(head => head.innerText === name);
          return [[...table.tBodies[0].rows].map(row => row.cells[i].dataset.key), heads[i].getAttribute("aria-sort")];
        }""",
        [section, name],
    )
    return tuple(found)


@pytest.mark.parametrize("name", PAGES)
def test_it_loads_from_disk_quietly_and_without_network(show: Open, pages: dict[str, Path], name: str) -> None:
    page = show(name)
    assert page.said == []
    elsewhere = [url for url in page.asked_for if not url.startswith("data:image/")]
    assert elsewhere == [pages[name].as_uri()]


def test_the_test_hears_errors_and_requests(show: Open) -> None:
    page = show("report")
    page.evaluate("setTimeout(() => { throw Error('broken'); })")
    page.evaluate("new Image().src = 'https://example.invalid/x.png'")  # stopped by the page's own policy
    page.wait_for_timeout(100)
    assert any("broken" in line for line in page.said)
    assert any("Content Security Policy" in line for line in page.said)


@pytest.mark.parametrize("name", PAGES)
def test_figures_and_details_show(show: Open, name: str) -> None:
    page = show(name)
    sizes = page.evaluate(
        "[...document.images].map(image => [image.complete, image.naturalWidth, image.naturalHeight])"
    )
    assert sizes
    assert all(complete and width > 0 and height > 0 for complete, width, height in sizes)
    for details in page.locator("details").all():
        inside = details.locator(":scope > :last-child")
        assert not inside.is_visible()
        details.locator("summary").click()
        assert inside.is_visible()


@pytest.mark.parametrize("key", ["click", "Enter", "Space"])
def test_numbers_sort_by_value_and_missing_ones_stay_last(show: Open, key: str) -> None:
    page = show("report")

    def press(name: str) -> None:
        button = page.locator("section[aria-labelledby=results]").get_by_role("button", name=name, exact=True)
        if key == "click":
            button.click()
        else:
            button.focus()
            page.keyboard.press(key)

    press("learning_rate")
    assert column(page, "results", "learning_rate") == (["0.001", "1.0", "9.0", "10.0"], "ascending")
    press("learning_rate")
    assert column(page, "results", "learning_rate") == (["10.0", "9.0", "1.0", "0.001"], "descending")
    for _ in range(2):
        press("test accuracy")
        keys, direction = column(page, "results", "test accuracy")
        numbers = list(map(float, keys[:-1]))
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert keys[-1] == "nan"
    assert column(page, "results", "learning_rate")[1] is None


def test_the_comparison_sorts_text_and_numbers(show: Open) -> None:
    page = show("comparison")
    heads = page.locator("section[aria-labelledby=results]")
    heads.get_by_role("button", name="run", exact=True).click()
    heads.get_by_role("button", name="run", exact=True).click()
    assert column(page, "results", "run") == (["third", "second", "first"], "descending")
    heads.get_by_role("button", name="seeds", exact=True).click()
    assert column(page, "results", "seeds") == (["3", "5", "5"], "ascending")


def test_question_answer_and_the_count_of_verdicts_are_in_the_first_screen_and_the_figure_begins_there(
    show: Open,
) -> None:
    page = show("report")
    parts = page.locator(".question, .answer, .tally .verdict, .main-figure .card").all()
    assert len(parts) == 1 + 2 + 3 + 1
    ends = [part.bounding_box()["y"] + part.bounding_box()["height"] for part in parts]
    assert all(end <= DESKTOP[1] for end in ends[:-1])
    assert parts[-1].bounding_box()["y"] < DESKTOP[1] / 2
    statements = page.locator(".claims .statement").all()
    assert all(ends[-1] < statement.bounding_box()["y"] for statement in statements)


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_scrolls_one_way_only(show: Open, name: str) -> None:
    page = show(name, PHONE)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@pytest.mark.parametrize("name", PAGES)
def test_the_dark_scheme_is_dark(show: Open, name: str) -> None:
    light, dark = (
        show(name, scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        for scheme in ("light", "dark")
    )
    assert min(light) > 200
    assert max(dark) < 60


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(show: Open, name: str, scheme: str, window: tuple[int, int]) -> None:
    page = show(name, window, scheme)
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("document.images[0].removeAttribute('alt')", "image-alt"),
        ("document.body.style.color = '#ccc'", "color-contrast"),
        ("document.querySelector('html').removeAttribute('lang')", "html-has-lang"),
        ("document.querySelector('[aria-labelledby=results] thead button').replaceChildren()", "button-name"),
    ],
)
def test_axe_sees_a_broken_page(show: Open, damage: str, rule: str) -> None:
    page = show("report")
    assert violations(page, rule) == []
    page.evaluate(damage)
    assert violations(page, rule) == [rule]


@pytest.mark.parametrize("name", PAGES)
def test_the_keyboard_begins_at_the_skip_link(show: Open, name: str) -> None:
    page = show(name)
    page.keyboard.press("Tab")
    focused = "[document.activeElement.className, document.activeElement.getBoundingClientRect().left >= 0]"
    assert page.evaluate(focused) == ["skip", True]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize(
    ("media", "motion", "shown"),
    [("screen", "no-preference", "gif"), ("screen", "reduce", "svg+xml"), ("print", "no-preference", "svg+xml")],
)
def test_paper_and_readers_who_want_it_still_see_the_end_of_an_animation(
    show: Open, media: str, motion: str, shown: str
) -> None:
    page = show("animated")
    page.emulate_media(media=media, reduced_motion=motion)
    (seen,) = [image for image in page.locator("figure img").all() if image.is_visible()]
    assert seen.get_attribute("src").startswith(f"data:image/{shown};")
    assert seen.get_attribute("alt").startswith("Plot: ")


def brightness(page: Any) -> float:
    """That of the background of a figure as it is shown, from 0 to 255."""
    with Image.open(io.BytesIO(page.locator("figure .card").first.screenshot())) as image:
        grey = np.asarray(image.convert("L"))
    return float(np.bincount(grey.ravel()).argmax())


@pytest.mark.parametrize(
    ("scheme", "media", "dark"), [("light", "screen", 0), ("dark", "screen", 1), ("dark", "print", 0)]
)
def test_a_dark_page_has_dark_figures_and_paper_is_white(show: Open, scheme: str, media: str, dark: int) -> None:
    page = show("report", scheme=scheme)
    page.emulate_media(media=media, color_scheme=scheme)
    assert (brightness(page) < 40) if dark else (brightness(page) > 240)


def test_a_figure_fits_on_a_phone(show: Open) -> None:
    for card in show("report", PHONE).locator("figure .card").all():
        assert card.evaluate("card => card.scrollWidth <= card.clientWidth")


def test_paper_shows_what_the_screen_folds(show: Open) -> None:
    page = show("report")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("[...document.querySelectorAll('details')].every(details => details.open)")
    assert not page.locator("nav").is_visible()


# What moves

LOSS = "#figure-1 .chart"


def outlines(page: Any, chart: str = LOSS) -> int:
    """How many curves a chart draws, diverged members aside."""
    return int(page.locator(f"{chart} .plot svg .mark-area path[d]:not([d=''])").count())


def ticks(page: Any, role: str = "X-axis") -> list[str]:
    """The labels along an axis of the chart of the loss."""
    found = page.locator(f"{LOSS} svg [aria-label^='{role}'] .role-axis-label text").all_text_contents()
    return [text for text in found if text]


def drag(page: Any, stage: Any, *path: tuple[float, float]) -> None:
    """Presses, moves and lets go, at places in the box of an element, as parts of its width and height."""
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    for number, (across, down) in enumerate(path):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def quiet(page: Any) -> bool:
    """Nothing was said on the console, and nothing asked for but the page and what it holds."""
    return page.said == [] and [url for url in page.asked_for if not url.startswith("data:image/")] == [page.url]


def test_pointing_at_a_curve_tells_its_value_with_interval_and_n(show: Open, sweep: xr.Dataset) -> None:
    page = show("sweep")
    stage = page.locator(f"{LOSS} .plot")
    stage.hover()
    tip = stage.locator(".tip")
    setting, value, place = tip.locator("div").all_text_contents()
    rate, init, momentum = setting.removeprefix("learning rate, initial scheme, momentum: ").split(", ")
    at = {"learning_rate": float(rate), "init": init, "momentum": float(momentum)}
    check = sweep["check_step"].values.tolist().index(int(place.removeprefix("after ").removesuffix(" steps")))
    sound = sweep["test_loss"].where(sweep["diverged_step"] < 0)
    interval = mean_interval(sound).sel(at).isel(check=check)
    numbers = list(map(float, re.findall(r"[\d.]+", value)))
    assert numbers == pytest.approx([float(interval[name]) for name in ("mean", "low", "high", "n")], rel=1e-3)
    assert f"after {int(sweep['check_step'][check])} steps" in page.locator(f"{LOSS} caption").text_content()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    assert quiet(page)


@pytest.mark.parametrize("key", ["click", "Space"])
def test_settings_are_switched_off_and_on_in_the_legend(show: Open, key: str) -> None:
    page = show("sweep")
    boxes = page.locator(f"{LOSS} .legend").get_by_role("checkbox")
    assert boxes.count() == outlines(page) == 8

    def press(number: int) -> None:
        if key == "click":
            page.locator(f"{LOSS} .legend label").nth(number).click()
        else:
            boxes.nth(number).focus()
            page.keyboard.press(key)

    press(1)
    press(7)
    assert [box.is_checked() for box in boxes.all()] == [True, False, *[True] * 5, False]
    playwright.expect(page.locator(f"{LOSS} .plot svg .mark-area path[d]:not([d=''])")).to_have_count(6)
    assert outlines(page, "#figure-2 .chart") == 8
    press(1)
    playwright.expect(page.locator(f"{LOSS} .plot svg .mark-area path[d]:not([d=''])")).to_have_count(7)
    page.locator(LOSS).get_by_role("button", name="All off").click()
    playwright.expect(page.locator(f"{LOSS} .plot svg .mark-area path[d]:not([d=''])")).to_have_count(0)
    assert quiet(page)


def test_the_values_are_read_with_keys(show: Open, sweep: xr.Dataset) -> None:
    page = show("sweep")
    slider = page.locator(LOSS).get_by_role("slider")
    slider.focus()
    for key, check in (("ArrowLeft", 3), ("Home", 0), ("End", 4)):
        page.keyboard.press(key)
        assert slider.get_attribute("aria-valuetext") == f"after {int(sweep['check_step'][check])} steps"
        value, _, n = page.locator(f"{LOSS} .legend tbody tr").first.locator("td").all_text_contents()
        mean = float(sweep["test_loss"].isel(learning_rate=0, init=0, momentum=0, check=check).mean())
        assert float(value) == pytest.approx(mean, rel=1e-3)
        assert n == "5"
    assert quiet(page)


def test_a_plot_is_zoomed_by_dragging_by_keys_and_by_buttons(show: Open) -> None:
    page = show("sweep")
    stage, whole = page.locator(f"{LOSS} .plot"), ticks(page)
    assert {"0", "200"} <= set(whole)
    drag(page, stage, (0.6, 0.2), (0.9, 0.8))
    playwright.expect(page.locator(f"{LOSS} svg").get_by_text("0", exact=True)).to_have_count(0)
    assert quiet(page)
    stage.focus()
    page.keyboard.press("0")
    page.wait_for_timeout(50)
    assert sorted(ticks(page)) == sorted(whole)
    for press in (lambda: page.keyboard.press("+"), page.get_by_role("button", name="Zoom in").first.click):
        press()
        page.wait_for_timeout(50)
        assert sorted(ticks(page)) != sorted(whole)
        page.get_by_role("button", name="Whole").first.click()
        page.wait_for_timeout(50)
        assert sorted(ticks(page)) == sorted(whole)
    assert quiet(page)


SETTINGS = "[aria-labelledby=side-by-side]"


def test_a_range_dragged_on_an_axis_filters_the_settings(show: Open) -> None:
    page = show("sweep")
    status, rows = page.locator(SETTINGS).get_by_role("status"), page.locator(f"{SETTINGS} tbody tr")
    assert status.text_content() == "8 of 8 settings"
    stage = page.locator(f"{SETTINGS} .plot")
    left = 46 / stage.bounding_box()["width"]  # where the first axis stands
    drag(page, stage, (left, 0.1), (left, 0.4))
    assert status.text_content() == "4 of 8 settings"
    assert {row.locator("th").first.text_content() for row in rows.all()} == {"1"}
    drag(page, stage, (left, 0.5), (left, 0.5))
    assert status.text_content() == "8 of 8 settings"
    assert quiet(page)


def test_sliders_filter_too_and_together(show: Open) -> None:
    page = show("sweep")
    status, part = page.locator(SETTINGS).get_by_role("status"), page.locator(SETTINGS)
    part.locator("summary").click()
    for label, key, left in (("learning rate, from", "End", 4), ("momentum, to", "Home", 2)):
        part.get_by_role("slider", name=label).focus()
        page.keyboard.press(key)
        assert status.text_content() == f"{left} of 8 settings"
    assert part.get_by_role("slider", name="learning rate, from").get_attribute("aria-valuetext") == "1"
    part.get_by_role("button", name="Show all settings").click()
    assert status.text_content() == "8 of 8 settings"
    assert quiet(page)


def test_without_a_script_and_on_paper_there_is_the_picture(show: Open) -> None:
    still = show("sweep", script=False)
    assert still.locator("#figure-1 img").is_visible()
    assert not still.locator(LOSS).is_visible()
    assert "needs JavaScript" in still.locator(SETTINGS).inner_text()
    page = show("sweep")
    assert page.locator(LOSS).is_visible()
    assert not page.locator("#figure-1 img").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#figure-1 img").is_visible()
    assert not page.locator(LOSS).is_visible()
    assert not page.locator(SETTINGS).is_visible()


def test_a_chart_that_cannot_be_drawn_leaves_the_picture(show: Open, pages: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        pages["sweep"].read_text(encoding="utf-8").replace("data-chart='{", "data-chart='{?"), encoding="utf-8"
    )
    page = show("sweep")
    page.goto(broken.as_uri())
    assert page.locator("#figure-1 img").is_visible()
    assert not page.locator(LOSS).is_visible()
    assert page.said != []


def test_the_table_of_three_axes_fits_on_a_page_of_a4(show: Open, tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {
        "hidden_sizes": ["8", "32"],
        "init_variance": [0.01, 0.1],
        "learning_rate": [0.1, 1.0],
    }
    results = make_results(axes=axes, seeds=2, num_checks=5)
    for name in ("validation", "test"):  # so far apart that intervals are wide, and their words long
        results[f"final_{name}_accuracy"] = results[f"final_{name}_accuracy"] * [1.0, 0.8]
    make_report(tmp_path, results=results)
    page = show(tmp_path / "report.html")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within margins of a centimetre, 96 dots an inch
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718


def test_charts_follow_the_colours_of_the_screen(show: Open) -> None:
    page = show("sweep")
    colour = f"getComputedStyle(document.querySelector('{LOSS} .mark-line path')).stroke"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    dark, looks = light, 0
    while dark == light and (looks := looks + 1) < 100:
        page.wait_for_timeout(50)
        dark = page.evaluate(colour)
    assert sum(map(int, re.findall(r"\d+", dark))) > sum(map(int, re.findall(r"\d+", light)))


def test_a_page_is_below_five_megabytes(pages: dict[str, Path]) -> None:
    assert all(path.stat().st_size < 5e6 for path in pages.values())


def test_long_names_of_what_is_plotted_are_not_cut(show: Open, tmp_path: Path) -> None:
    results = make_results(num_checks=5)
    results["train_loss_with_penalties"] = results["test_loss"]  # a long name in words
    drawn = [ReportFigure("loss", "Loss.", figures.curves(results, "train_loss_with_penalties"))]
    make_report(tmp_path, results=results, figures=drawn)
    for window in (DESKTOP, PHONE):
        page = show(tmp_path / "report.html", window)
        page.wait_for_selector(".plot svg text")
        found = page.evaluate(
            """() => [...document.querySelectorAll(".plot svg text, .legend caption div")].map(text => {
              const inner = text.getBoundingClientRect(), frame = text.closest("svg, .legend").getBoundingClientRect();
              const within = inner.top >= frame.top - 1 && inner.bottom <= frame.bottom + 1
                && inner.left >= frame.left - 1 && inner.right <= frame.right + 1;
              return [text.textContent, within];
            })"""
        )
        assert any("mean between checks" in text for text, _ in found)
        assert [text for text, within in found if not within] == []
