"""``python -m experiments.validation [--write PAGE.md]``: measure, predict, print the page."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from experiments.machine import processor_name
from experiments.validation.design import design, short
from experiments.validation.exchange import CASES, hold, measure_charges
from experiments.validation.hosts import missing, two_hosts
from experiments.validation.measurement import validate
from experiments.validation.page import page


def main() -> int:
    """Validate; where that is not possible say why, and succeed."""
    parser = argparse.ArgumentParser(prog="experiments.validation", description=__doc__)
    parser.add_argument("--write", metavar="PAGE.md", type=Path, help="where the page goes as well")
    parser.add_argument("--short", action="store_true", help="a few cells, in seconds")
    arguments = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"validate-network: skipped: {reason}", file=sys.stderr)
        return 0
    # What was made is removed on the way out, also when somebody ends this process kindly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began_s = time.monotonic()

    def tell(text: str) -> None:
        print(text, file=sys.stderr)

    cells, cases = (short(), ()) if arguments.short else (design(), CASES)
    with two_hosts() as net:
        validation = validate(net, cells, tell)
        charges = measure_charges(net) if cases else None
        exchanges = [hold(net, case, charges) for case in cases if charges is not None]
    machine = f"{os.cpu_count()} × {processor_name()}, Linux {os.uname().release}"
    text = page(validation, exchanges, machine, time.monotonic() - began_s)
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
