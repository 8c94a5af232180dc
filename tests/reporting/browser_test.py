"""The pages in a real browser: quiet, offline, sortable, readable on any screen, and accessible by axe-core."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxreg.reporting.animations import gif
from jaxreg.reporting.comparison import write_comparison
from jaxreg.study import ReportFigure
from tests.reporting.pages import a_figure, make_report, make_run
from tests.synthetic import make_results

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

PAGES = ("report", "comparison")
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
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    # Sorted as text 10 would come before 9; every member of the last setting diverged.
    results = make_results(axes={"learning_rate": [0.001, 9.0, 10.0, 1.0]}, diverged=5, num_checks=5)
    make_report(folder, results=results)
    runs = [make_run("first", "--momentum=0\n"), make_run("second", "--momentum=0.9\n", gain=0.01, seeds=3)]
    write_comparison(folder / "comparison.html", [*runs, make_run("third", diverged=2)])
    animated = folder / "animated"
    animated.mkdir()
    frames = [Image.new("RGB", (400, 300), colour) for colour in ("white", "black")]
    make_report(animated, figures=[ReportFigure("moving", "From check to check.", a_figure(), moving=gif(frames))])
    return {name: folder / f"{name}.html" for name in PAGES} | {"animated": animated / "report.html"}


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Open]:
    """Opens a page in a window of its own."""
    contexts = []

    def show(name: str, window: tuple[int, int] = DESKTOP, scheme: str = "light") -> Any:
        size = {"width": window[0], "height": window[1]}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce"))
        page = contexts[-1].new_page()
        page.set_default_timeout(5000)
        page.said, page.asked_for = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked_for.append(request.url))
        page.goto(pages[name].as_uri())
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
