"""A headless Chromium, driven over WebDriver by hand: a page's console, its links, its pixels."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="chromium and chromedriver (Debian: chromium chromium-driver) are not installed",
)
_LOOKS, _LOOK_S = 200, 0.1


class Browser:
    """One window."""

    def __init__(self, address: str) -> None:
        """Open it at a driver's address."""
        options = {
            "binary": CHROMIUM,
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--window-size=1250,1000",
                # Nothing on a page may come from anywhere but the page.
                "--host-resolver-rules=MAP * ~NOTFOUND",
            ],
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._root = address
        made = self._post("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._root = f"{address}/session/{made['sessionId']}"

    def open(self, path: Path) -> None:
        """Show a file."""
        self._post("/url", {"url": path.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script's body returns."""
        return self._post("/execute/sync", {"script": script, "args": list(arguments)})

    def console(self) -> list[str]:
        """Return what the page complained of."""
        entries = self._post("/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]

    def hover(self, selector: str) -> None:
        """Move the pointer over the first element of a selector."""
        found = self._post("/element", {"using": "css selector", "value": selector})
        move = {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": found}
        pointer = {"type": "pointer", "id": "mouse", "actions": [move]}
        self._post("/actions", {"actions": [pointer]})

    def screenshot(self, path: Path, width: int = 1250, height: int = 1000) -> Path:
        """Write what the window shows as PNG."""
        self._post("/window/rect", {"width": width, "height": height})
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot", None)))
        return path

    def picture(self, selector: str, path: Path) -> Path:
        """Write what the first element of a selector looks like as PNG."""
        found = self._post("/element", {"using": "css selector", "value": selector})
        (number,) = found.values()
        path.write_bytes(base64.b64decode(self._call("GET", f"/element/{number}/screenshot", None)))
        return path

    def close(self) -> None:
        """Close the window."""
        self._call("DELETE", "", None)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._root}{path}", data, method=method)  # noqa: S310 - loopback
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            return json.load(answer)["value"]


@contextmanager
def opened_browser() -> Iterator[Browser]:
    """Start a driver and a window; end both."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(DRIVER), f"--port={port}", "--silent"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            for _ in range(_LOOKS):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status"):
                        break
                except (urllib.error.URLError, OSError):
                    threading.Event().wait(_LOOK_S)
            browser = Browser(f"http://127.0.0.1:{port}")
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.kill()
