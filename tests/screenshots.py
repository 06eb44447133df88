"""Pictures of a report for docs/images, taken in a headless Chromium.

    python -m tests.screenshots RUN_DIR

The run should be of the six methods (`costeer run demo`); its report is written again first.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from experiments.report import write_report
from tests.browser import opened_browser

IMAGES = Path(__file__).parents[1] / "docs/images"
_WIDTH = 1250
_TOP = 1150


def take(run_dir: Path, images: Path) -> list[Path]:
    """Take all pictures; return them."""
    report = write_report(run_dir)
    with opened_browser() as browser:
        browser.open(report)
        taken = [
            browser.screenshot(images / "report.png", _WIDTH, _TOP),
            browser.picture("#stages", images / "stages.png"),
        ]
        browser.run("document.querySelector('.sample').scrollIntoView({block: 'center'})")
        browser.hover(".token.steered")
        taken.append(browser.picture(".sample", images / "tokens.png"))
    for path in taken:
        _shrink(path)
    return taken


def _shrink(path: Path) -> None:
    """Few colours are enough for a page; ImageMagick, where it is installed."""
    convert = shutil.which("convert")
    if convert:
        command = [convert, str(path), "-strip", "+dither", "-colors", "128", f"png8:{path}"]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    for picture in take(Path(sys.argv[1]), IMAGES):
        print(picture)  # noqa: T201 - what a script is asked for
