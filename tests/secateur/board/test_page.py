"""The page of the board in a browser: it filters, sorts, compares what is ticked, and follows what runs."""

import shutil

import pytest

from tests.browser import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")

CRITERIA = "[...document.querySelectorAll('#table tbody tr')].map((row) => row.cells[2].textContent).join(' ')"


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def test_the_page_in_a_browser(browser, server, make_run_folder):
    for number, criterion in enumerate(("SNIP", "CNIP", "GRASP", "<img src=x onerror=alert(1)>")):
        explicit = {"explicit": ["pruning_limit"], "pruning_limit": 0.9 if number else 0.5}
        make_run_folder(criterion, 1, 0.5 + number / 10, **explicit)
    broken = make_run_folder("Broken", 1)
    (broken / "output" / "results.json").write_text("{")
    # What is chosen stands in the address.
    chosen = "columns=status,prune_criterion,accuracy&filter=status%3Dfinished&sort=-accuracy"
    browser.show(f"{server.url}#{chosen}")
    browser.wait(f"document.querySelector('#state')?.textContent === 'live' && {CRITERIA}")
    assert browser.value(CRITERIA) == "<img src=x onerror=alert(1)> GRASP CNIP SNIP"
    assert browser.value("document.querySelector('#count').textContent") == "4 of 5 runs"
    assert browser.value("document.querySelector('#statuses').textContent.trim()") == "finished 4damaged 1"
    assert browser.value("document.querySelector('#compare').hidden")

    browser.value("document.querySelector('th[data-key=accuracy] button').click()")
    assert browser.value(CRITERIA) == "SNIP CNIP GRASP <img src=x onerror=alert(1)>"
    browser.key("/")
    browser.value("document.querySelector('#filter').select()")
    browser.press("nip accuracy>=50 -broken")
    assert browser.value(CRITERIA) == "SNIP CNIP"

    # By keys alone: the first run is ticked, and the next one.
    browser.value("document.querySelector('#table input').focus()")
    for key in (" ", "ArrowDown", " "):
        browser.key(key)
    browser.wait("document.querySelectorAll('#compare .legend li').length === 2")
    legend = "[...document.querySelectorAll('#compare .legend li')].map((line) => line.textContent).join('|')"
    assert browser.value(legend) == "SNIP, pruning_limit 0.5 finished✕|CNIP, pruning_limit 0.9 finished✕"
    titles = (
        "[...document.querySelectorAll('figure:has(svg) figcaption')].map((title) => title.textContent.split(',')[0])"
    )
    drawn = browser.value(titles)
    assert drawn == ["accuracy [%]", "loss", "weights kept in each layer [%]"]  # how much is pruned was not measured
    cells = browser.value("[...document.querySelectorAll('#figures tr')].map((row) => row.innerText.trim())")
    assert "accuracy [%]\t50.00\t60.00" in cells
    assert [cell for cell in cells if cell.startswith("--")] == ["--pruning_limit\t0.5\t0.9"]
    assert "tick=SNIP_1_0&tick=CNIP_1_1" in browser.value("location.hash")
    lines = "[...document.querySelectorAll('#compare figure:first-child path.line')].map((line) => line.outerHTML)"
    assert [line.count("L") for line in browser.value(lines)] == [1, 1]

    # What can be opened is opened by keys, and keeps the focus.
    browser.value("[...document.querySelectorAll('#compare summary')].at(-1).focus()")
    browser.key("Enter")
    browser.wait("document.querySelectorAll('#compare details[open] code').length === 2")
    assert browser.value("document.activeElement.textContent") == "Commands"

    # A run that goes on is drawn on; one that is gone is gone.
    with (server.runs.root / "SNIP_1_0" / "output" / "metrics.csv").open("a") as file:
        file.write("3,0.5,0.6\n")
    shutil.rmtree(server.runs.root / "CNIP_1_1")
    browser.value("document.dispatchEvent(new Event('visibilitychange'))")  # which asks at once
    browser.wait("document.querySelectorAll('#compare .legend li').length === 1")
    assert [line.count("L") for line in browser.value(lines)] == [2]
    assert browser.value("document.querySelectorAll('img, script:not([src])').length") == 0
    assert not browser.value("document.documentElement.scrollWidth > innerWidth")
    assert browser.errors == []
