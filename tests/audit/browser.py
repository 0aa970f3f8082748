"""A real browser without a screen, as far as the tests need one."""

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
"""Keys, as WebDriver numbers them."""


class Browser:
    """Chromium, driven by Selenium (whose types are unknown to pyright, hence `Any`)."""

    def __init__(self, chromium: str, driver: str, folder: Path) -> None:
        options = ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver: Any = Chrome(options=options, service=Service(driver, log_output=str(folder / "log")))

    def open(self, page: str, folder: Path) -> str:
        """Show a page, from a file in this folder; its URL."""
        path = folder / "page.html"
        path.write_text(page, encoding="utf-8")
        for kind in ("browser", "performance"):
            self._driver.get_log(kind)  # what was before is not this page's
        self._driver.get(path.as_uri())
        return path.as_uri()

    @property
    def title(self) -> str:
        """The page's."""
        return str(self._driver.title)

    def complaints(self) -> list[str]:
        """What the console has said since the last look."""
        return [str(entry["message"]) for entry in self._driver.get_log("browser")]

    def requests(self, page: str) -> list[str]:
        """The URLs that this page, itself given by its URL, has asked for, or tried to, since the last look."""
        events = [json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        # The browser's own first page may still be loading, too.
        return [params["request"]["url"] for params in sent if params["documentURL"] == page]

    def texts(self, selector: str) -> list[str]:
        """What is to be read in the elements of a CSS selector."""
        return [str(element.text) for element in self._driver.find_elements("css selector", selector)]

    def attributes(self, selector: str, name: str) -> list[str]:
        """An attribute of each of them."""
        found = self._driver.find_elements("css selector", selector)
        return [str(element.get_attribute(name)) for element in found]

    def click(self, selector: str) -> None:
        """Click on the first of them."""
        self._driver.find_element("css selector", selector).click()

    def press(self, key: str) -> str:
        """Press a key; the text of what has the focus then."""
        self._driver.switch_to.active_element.send_keys(key)
        return str(self._driver.switch_to.active_element.text)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self._driver.execute_script(f"return {expression}")

    def resize(self, width: int) -> None:
        """Have a screen of so many pixels, narrower than a window can be."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def quit(self) -> None:
        """End it."""
        self._driver.quit()
