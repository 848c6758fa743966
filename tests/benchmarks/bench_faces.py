"""How fast faces are drawn: images a second on one core, by setting, style and size. Aim: 40 at 128 px.

python tests/benchmarks/bench_faces.py
"""

import tempfile
import time

import cv2
import torch

from lddmmlib.faces import geometry, synthetic

FACES, REPEATS = 24, 5


def per_second(draw) -> float:
    """The best of some rounds over the same faces, in seconds of the processor, so that other programs do not count."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        for index in range(FACES):
            draw(index)
        best = min(best, time.process_time() - start)
    return FACES / best


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    aim = per_second(lambda i: synthetic.sample(i))
    rows = [("wild, photo, 128 px", aim)]
    for split, style, size in (
        ("studio", "photo", 128),
        ("wild", "line", 128),
        ("wild", "photo", 64),
        ("wild", "photo", 256),
    ):
        rows.append(
            (
                f"{split}, {style}, {size} px",
                per_second(lambda i, s=split, y=style, n=size: synthetic.sample(i, s, n, y)),
            )
        )
    rows.append(("sampling alone", per_second(lambda i: synthetic.sitting(i))))
    sittings = [synthetic.sitting(i).geometry for i in range(FACES)]
    rows.append(("landmarks of 98 alone", per_second(lambda i: geometry.landmarks(sittings[i], "wflw-98"))))
    with tempfile.TemporaryDirectory() as folder:
        kept = synthetic.Faces(FACES, pool=folder)
        [kept[i] for i in range(FACES)]
        rows.append(("from a pool", per_second(lambda i: kept[i])))
    print(f"{'':28} images/s   of the first\n" + "\n".join(f"{n:28} {v:8.0f} {v / aim:11.2f}" for n, v in rows))


if __name__ == "__main__":
    main()
