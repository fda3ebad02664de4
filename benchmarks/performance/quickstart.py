"""What a new user waits for: `mella --help`, and the time and memory of `mella quickstart` after the installation."""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="of mella --help")
    options = parser.parse_args()
    mella = str(Path(sys.executable).with_name("mella"))
    helps = [seconds([mella, "--help"]) for _ in range(options.repeats)]
    with tempfile.TemporaryDirectory() as temporary:
        whole = seconds([mella, "quickstart", "--out", f"{temporary}/quickstart"])
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # KiB on Linux
    print("| command | seconds | limit | peak memory, GiB | limit |")
    print("|---|---|---|---|---|")
    print(f"| `mella --help` (median of {options.repeats}) | {statistics.median(helps):.2f} | 0.4 | - | - |")
    print(f"| `mella quickstart` | {whole:.0f} | 120 | {peak:.2f} | 3 |")


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
