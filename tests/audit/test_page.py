"""The HTML page, in a browser and as text."""

import re
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given

from alohub_async import ConfigurationError, __version__
from alohub_async.audit import AuditReport, html_page, tenants_page
from tests.audit.browser import ENTER, TAB, Browser
from tests.audit.support import STARTED, audited, record, report_of
from tests.strategies import any_text

HOSTILE = "<script>document.title='taken'</script><img src=http://127.0.0.1:9/x onerror=alert(1)>\"'&amp;"
WAITS = ["9", "10", "80", "90", "100", "200", "1000", "2000", "10000"]
# The Vietnamese order: by letter, then by tone. Code points and English have other orders.
SORTED = ["Ân Thi", "Bình Dương", "Cà Mau", "Cần Thơ", "Dầu Tiếng", "Đà Nẵng", "Hà Nội", "Ô Môn", "Yên Bái"]

BUTTONS = [
    *("ID", "Name", "Strategy", "Max wait (s)"),
    *("Music on hold", "Position announced", "Phone number", "Findings"),
]


def column(browser: Browser, title: str) -> list[str]:
    """The cells of a column in the table of queues, from top to bottom."""
    return browser.texts(f"#queues tbody td:nth-child({BUTTONS.index(title) + 1})")


def sort_by(browser: Browser, title: str) -> None:
    """Click on the heading of a column."""
    browser.click(f"#queues th:nth-child({BUTTONS.index(title) + 1}) button")


def sorted_by(browser: Browser) -> dict[str, str]:
    """The columns that are marked as sorted, with their order."""
    orders = browser.attributes("#queues thead th", "aria-sort")
    return {title: order for title, order in zip(BUTTONS, orders, strict=True) if order != "none"}


def named(*names: str) -> AuditReport:
    """A report of up to nine queues with these names; the first has the longest wait."""
    return report_of(
        *(
            audited(record(callinId=n, callinName=name, timeWait=WAITS[-n], callinNumber=f"1900{n:04}"))
            for n, name in enumerate(names, 1)
        )
    )


def test_sorting(browser: Browser, tmp_path: Path) -> None:
    """A heading sorts its column up and then down, in Vietnamese or numeric order, and is marked as sorted."""
    browser.open(html_page(named(*sorted(SORTED))), tmp_path)
    assert browser.texts("#queues thead button") == BUTTONS
    assert column(browser, "Name") == sorted(SORTED) != SORTED
    assert sorted_by(browser) == {}
    sort_by(browser, "Name")
    assert column(browser, "Name") == SORTED
    assert sorted_by(browser) == {"Name": "ascending"}
    sort_by(browser, "Name")
    assert column(browser, "Name") == SORTED[::-1]
    assert sorted_by(browser) == {"Name": "descending"}
    sort_by(browser, "Max wait (s)")
    assert column(browser, "Max wait (s)") == WAITS
    assert sorted_by(browser) == {"Max wait (s)": "ascending"}


def test_sorting_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    """Tab moves to a heading and Enter presses it; empty values come last."""
    queues = [record(callinId=n, callinName=f"{n}", timeWait=wait) for n, wait in ((1, None), (2, "90"), (3, "100"))]
    browser.open(html_page(report_of(*map(audited, queues))), tmp_path)
    assert any(browser.press(TAB) == "Max wait (s)" for _ in range(40))
    browser.press(ENTER)
    assert column(browser, "Max wait (s)") == ["90", "100", ""]
    browser.press(ENTER)
    assert column(browser, "Max wait (s)") == ["100", "90", ""]


def test_hostile_text_is_text(browser: Browser, tmp_path: Path) -> None:
    """Names with markup are shown as text: no script runs, no request is sent, the console is empty."""
    hostile = dict.fromkeys(("callinName", "musicinQueue", "timeWait", "callinNumber"), HOSTILE)
    report = report_of(audited(record(**hostile)))
    url = browser.open(html_page(report), tmp_path)
    sort_by(browser, "Name")
    assert column(browser, "Name") == [HOSTILE]
    assert HOSTILE in browser.texts(".findings")[0]
    assert browser.title == f"Alohub: {report.headline()}"
    assert browser.texts("img") == []
    assert browser.console_messages() == []
    assert browser.requests(url) == [url]


def test_the_content_security_policy(browser: Browser, tmp_path: Path) -> None:
    """An injected script does not run and an injected image is not requested; our own style applies."""
    injected = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x'></main>"
    browser.open(html_page(named("a")).replace("</main>", injected), tmp_path)
    assert browser.title != "taken"
    refused = " ".join(browser.console_messages())
    assert "Content Security Policy" in refused
    assert "127.0.0.1:9/x" in refused
    assert browser.evaluate("getComputedStyle(document.querySelector('.cards')).display") == "flex"


def of_tenants(count: int) -> str:
    """A page of this many tenants; each third has findings, the last could not be audited."""
    found = [report_of(audited(record(timeWait=wait))).as_record() for wait in ("x", "60", "60")]
    results: dict[str, Any] = {f"khách-{n:04}": {**found[n % 3], "address": HOSTILE} for n in range(1, count)}
    links = dict.fromkeys(["khách-0002"], "audit-tenants/kh%C3%A1ch-0002.html")
    return tenants_page({**results, "hỏng": HOSTILE}, started=STARTED, links=links)


def test_several_tenants(browser: Browser, tmp_path: Path) -> None:
    """Tenants that failed come first, then those with the most findings; text is text, and links lead to pages."""
    url = browser.open(of_tenants(7), tmp_path)
    names = "#tenants tbody th"
    assert browser.texts(names) == ["hỏng", *(f"khách-000{n}" for n in (3, 6, 1, 2, 4, 5))]
    assert browser.texts("#tenants tbody tr:first-child td")[0] == HOSTILE
    assert browser.texts("#tenants tbody td:nth-child(3)") == ["", "1", "1", "0", "0", "0", "0"]
    assert browser.attributes("#tenants a", "href") == [f"{tmp_path.as_uri()}/audit-tenants/kh%C3%A1ch-0002.html"]
    assert browser.texts(".cards li")[:2] == ["1\nfailed", "2\nerrors"]
    assert browser.title == "Alohub: audit of 7 tenants"
    browser.click("#tenants th:nth-child(1) button")
    assert browser.texts(names) == ["hỏng", *(f"khách-000{n}" for n in range(1, 7))]
    browser.click("#find")
    browser.press("0002")
    assert [text for text in browser.texts(names) if text] == ["khách-0002"]
    assert browser.console_messages() == []
    assert browser.requests(url) == [url]


@pytest.mark.parametrize("width", [360, 1200])
def test_many_tenants_fit(browser: Browser, tmp_path: Path, width: int) -> None:
    """The page of 2,000 tenants fits the screen, and the table scrolls in itself."""
    browser.resize(width)
    browser.open(of_tenants(2000), tmp_path)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("document.documentElement.scrollHeight") < 3000
    assert browser.texts("h1") == ["Audit of 2,000 tenants"]


@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits(browser: Browser, tmp_path: Path, width: int) -> None:
    """The page fits the screen, also that of a phone; only the table of queues scrolls sideways."""
    long = "Trung tâm chăm sóc khách hàng thân thiết khu vực Thành phố Hồ Chí Minh và các tỉnh Đông Nam Bộ" * 2
    browser.resize(width)
    browser.open(html_page(named(long, long.replace(" ", ""), "b")), tmp_path)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_content() -> None:
    """The page has counts, charts with numbers as text, findings, and a notice about an incomplete list."""
    page = html_page(report_of(audited(record(strategy=99)), complete=False, total=5))
    assert re.search(r"<strong>1</strong> error\b", page)
    assert "Not provably complete" in page
    assert re.search(r'<th scope="row">LOCKED</th><td class="number">1</td>', page)
    assert "received 1 queue; the server reports a total of 5" in page
    assert "Not provably complete" not in html_page(report_of(audited(record())))
    assert "No findings." in html_page(report_of())


def test_whose_report_it_is() -> None:
    """The page names the tenant, the address, the time and the version; the title names the tenant."""
    page = html_page(attrs.evolve(report_of(), tenant="<b>", address="https://a.example"))
    assert "<title>Alohub: &lt;b&gt;: 0 queues audited" in page
    source = f"tenant &lt;b&gt; · https://a.example · 2026-11-25 12:00 UTC · alohub-async {__version__}"
    assert source in page
    assert f"<bdi>2026-11-25 12:00 UTC · alohub-async {__version__}</bdi>" in html_page(report_of())


@given(any_text, any_text)
def test_any_text(name: str, music: str) -> None:
    """With any name of a queue, the page can be encoded as UTF-8 and has no control characters."""
    page = html_page(report_of(audited(record(callinName=name, musicinQueue=music, timeWait=name, extra=music))))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page.encode().decode().replace("\r", ""))


def test_the_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Jinja2, the error explains how to install it."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'alohub-async\[audit\]'"):
        html_page(report_of())
