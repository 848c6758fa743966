"""Run the benchmarks and keep their tables in book/benchmarks, where the book's page on speed reads them.

python tests/benchmarks/record.py [NAME ...]

Peers that are not installed are left out: `pip install geomloss kornia` first.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "book" / "benchmarks"
NAMES = ("lddmm", "layer", "lars", "heatmaps", "optimal_transport", "polyharmonic", "metrics")


def main():
    for name in sys.argv[1:] or NAMES:
        program = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(RESULTS / f"{name}.json")]
        subprocess.run(program, check=True)


if __name__ == "__main__":
    main()
