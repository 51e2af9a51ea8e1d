"""A real Chromium, headless, driven by Selenium: for what only a browser can judge.

Must not: use a profile of the user's, reach any network, or have Selenium look for programs by itself (it would ask the
internet for them).
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_LOAD_SECONDS = 120
_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-lcd-text",  # a screenshot with coloured edges is half as large again
    "--disable-dev-shm-usage",
    "--no-sandbox",  # root has no other way, and the page is our own
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever the page asked for, it would not get
)
_KEYS = {"Enter": Keys.ENTER, "Escape": Keys.ESCAPE, "Tab": Keys.TAB, "ArrowDown": Keys.DOWN, "ArrowUp": Keys.UP}
_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"


class BrowserError(RuntimeError):
    """There is no Chromium here, or no driver for it."""


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        self._size = (width, height)

    def __enter__(self) -> Self:
        width, height = self._size
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium")
        for flag in (*_FLAGS, f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        with patch.dict("os.environ", {"no_proxy": "localhost,127.0.0.1"}):
            self._driver = webdriver.Chrome(options, Service(_program("chromedriver")))
        self._driver.set_page_load_timeout(_LOAD_SECONDS)
        self._driver.set_script_timeout(_LOAD_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._driver.quit()

    def problems(self) -> list[str]:
        """The page's errors and warnings since this was asked last."""
        return [one["message"] for one in self._driver.get_log("browser") if one["level"] in {"SEVERE", "WARNING"}]

    def requests(self) -> list[str]:
        """The addresses that the page asked for since this was asked last."""
        told = (json.loads(one["message"])["message"] for one in self._driver.get_log("performance"))
        return [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]

    def open(self, file: Path) -> None:
        """Show the file, and wait until it has loaded."""
        self._driver.get(file.resolve().as_uri())
        self.settle()

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; a promise is waited for."""
        return self._driver.execute_script(f"return {script}")

    def do(self, statement: str) -> None:
        """A JavaScript statement in the page."""
        self._driver.execute_script(statement)

    def settle(self) -> None:
        """Wait until what was asked for has been drawn."""
        self.run(_DRAWN)

    def click(self, selector: str) -> None:
        """A click of the mouse into the middle of the first element that the selector finds."""
        element = self._driver.find_element(By.CSS_SELECTOR, selector)
        self._driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        self.settle()
        element.click()
        self.settle()

    def press(self, key: str) -> None:
        """One key, by its name (`Enter`, `j`, `ArrowDown`)."""
        self.write(_KEYS.get(key, key))

    def write(self, text: str) -> None:
        """The keys of a text, one after the other."""
        ActionChains(self._driver).send_keys(text).perform()
        self.settle()

    def scheme(self, name: str) -> None:
        """What the system prefers: `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.command("Emulation.setEmulatedMedia", features=features)
        self.settle()

    def command(self, method: str, **parameters: Any) -> None:
        """One of the DevTools protocol's commands, for what WebDriver has no word for."""
        self._driver.execute_cdp_cmd(method, parameters)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(self._driver.get_screenshot_as_png())


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrowserError(f"no {name} on PATH: on Debian `apt-get install chromium chromium-driver`")
    return found
