"""The browser that the tests of the page share."""

import os
import shutil
from collections.abc import Generator

import pytest

from tests.audit.browser import Browser


@pytest.fixture(name="browser", scope="session")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Generator[Browser]:
    """Chromium. Without it, tests are skipped, or fail if ALOHUB_TESTS_NEED_BROWSER is set."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        message = "needs Debian's chromium and chromium-driver"
        if os.environ.get("ALOHUB_TESTS_NEED_BROWSER"):
            pytest.fail(message)
        pytest.skip(message)
    browser = Browser(chromium, driver, tmp_path_factory.mktemp("browser"))
    try:
        yield browser
    finally:
        browser.quit()
