"""`python -m data_scripts.weights realism_small.notebook`, after that experiment has run here: ship its network.

Reads the run's checkpoint and its result, writes ``networks/drawn-68.safetensors`` with its card.
"""

from __future__ import annotations

import json
import sys

from lddmmlib import training
from lddmmlib.experiments import _record, _runs, realism
from lddmmlib.networks import HRNetV2, shipped


def card(name: str) -> dict:
    """What a user wants to know of the network: made of the recorded result alone."""
    plain, scale = name.split(".")
    size = {"realism": realism.SIZES, "realism_small": realism.SMALL}[plain][scale]
    record = json.loads((_record.RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    seed = record["figures"]["seeds"]["0"]
    return {
        "network": {"landmarks": realism.SCHEME.n, **size.network},
        "size": size.side,
        "scheme": realism.SCHEME.name,
        "trained_on": f"{size.faces:,} drawn faces, {size.epochs} times each, augmented; no photograph of anybody",
        "result": name,
        "provenance": {k: record["provenance"][k] for k in ("commit", "date", "seconds", "machine", "torch")},
        "error_percent_of_corner_distance": {name: seed[name] for name in ("photographs", "frames")},
    }


def main(name: str) -> None:
    """Write both files."""
    told = card(name)
    net = HRNetV2(**told["network"])
    plain, width = name.split(".")[0], told["network"]["width"]
    folder = _record.RUNS / name / _runs.digest(realism.EXPERIMENTS[plain]) / f"width {width} 0"
    net.load_state_dict(training.load_checkpoint(folder)["model"])
    shipped.write(shipped.WEIGHTS, net, told)
    print(f"{shipped.WEIGHTS}: {shipped.WEIGHTS.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1])
