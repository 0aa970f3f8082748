"""A headless browser for the tests."""

import json
from pathlib import Path
from typing import Any, Final

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TAB: Final = "\ue004"
ENTER: Final = "\ue007"
"""Key codes of WebDriver."""


class Browser:
    """Chromium, driven by Selenium (`Any`, as pyright does not know its types)."""

    def __init__(self, chromium: str, driver: str, folder: Path) -> None:
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver: Any = Chrome(options=options, service=Service(driver, log_output=str(folder / "log")))

    def open(self, page: str, folder: Path) -> str:
        """Open a page from a file in this folder. Returns its URL."""
        path = folder / "page.html"
        path.write_text(page, encoding="utf-8")
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)  # discards the entries of earlier pages
        self._driver.get(path.as_uri())
        return path.as_uri()

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self._driver.title)

    def console_messages(self) -> list[str]:
        """The messages on the console since the last call."""
        return [str(entry["message"]) for entry in self._driver.get_log("browser")]

    def requests(self, page: str) -> list[str]:
        """The URLs that the page with this URL has requested, or tried to request, since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        # The start page of the browser may still be loading.
        return [params["request"]["url"] for params in sent if params["documentURL"] == page]

    def texts(self, selector: str) -> list[str]:
        """The visible text of the elements that match a CSS selector."""
        return [str(element.text) for element in self._driver.find_elements("css selector", selector)]

    def attributes(self, selector: str, name: str) -> list[str]:
        """An attribute of the elements that match a CSS selector."""
        elements = self._driver.find_elements("css selector", selector)
        return [str(element.get_attribute(name)) for element in elements]

    def click(self, selector: str) -> None:
        """Click on the first element that matches a CSS selector."""
        self._driver.find_element("css selector", selector).click()

    def press(self, key: str) -> str:
        """Press a key. Returns the text of the element that then has the focus."""
        self._driver.switch_to.active_element.send_keys(key)
        return str(self._driver.switch_to.active_element.text)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self._driver.execute_script(f"return {expression}")

    def resize(self, width: int) -> None:
        """Set the width of the screen in pixels; it can be smaller than the minimum width of a window."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def quit(self) -> None:
        """Close the browser."""
        self._driver.quit()
