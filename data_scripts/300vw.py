"""`python data_scripts/300vw.py FOLDER --out DIR`: 300-VW, videos with 68 landmarks in each frame.

Frames are read from ``NNN/imgs``, where they were extracted already; else they are taken out of ``NNN/vid.avi`` into
``DIR/300vw/NNN``, as PNG, without loss: have much room.
"""

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import _dataset
import numpy as np
from _dataset import Dataset, Split

from lddmmlib import _checks
from lddmmlib.data.records import Problem, Record

IDS = {
    "train": "001 002 003 004 007 009 010 011 013 015 016 017 018 019 020 022 025 027 028 029 031 033 034 035 037 039 "
    "041 043 044 046 047 048 049 053 057 059 112 113 115 119 120 123 138 143 144 160 204 205 223 225",
    "test_1": "114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 524 525 537 538 "
    "540 541 546 547 548",
    "test_2": "203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553",
    "test_3": "410 411 516 517 526 528 529 530 531 533 557 558 559 562",
}
SPLITS = {split: tuple(ids.split()) for split, ids in IDS.items()}
VIDEOS = sorted(video for some in SPLITS.values() for video in some)


def read(folder: Path, out: Path) -> _dataset.Found:
    """The faces of all videos, with the frames that they are of."""
    for video, items in groupby(_dataset.in_folders(folder, VIDEOS), lambda item: item[0]):
        faces = [item for _, item in items]
        if video is None:
            yield from ((None, item) for item in faces)
            continue
        source = next(Path(face.source if isinstance(face, Record) else face.path) for face in faces)
        home = source.parent.parent
        frames = found(home, out / "300vw" / video)
        for face in faces:
            if isinstance(face, Record):
                stem = Path(face.source).stem
                told = {"video": video, "frame": int(stem) if stem.isdecimal() else stem}
                face = face._replace(image=frames.get(stem), attributes=told)
            yield video, face
        if len(frames) != len(faces):
            got = f"{len(faces):,} (those without a frame are named as missing images)"
            yield None, Problem(home, None, f"an annotation for each of {len(frames):,} frames", got)


def found(home: Path, target: Path) -> dict[str, Path]:
    """The frames of a video by their numbers, from ``000001``."""
    if (home / "imgs").is_dir():
        return _dataset.by_stem(home / "imgs")
    if (home / "vid.avi").is_file():
        _dataset.taken_out(target, frames(home / "vid.avi"))
    return _dataset.by_stem(target) if target.is_dir() else {}


def frames(video: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All frames that can be decoded, and their names."""
    film, i = _checks.optional("cv2").VideoCapture(str(video)), 0
    while (frame := film.read())[0]:
        yield f"{(i := i + 1):06}.png", frame[1]
    film.release()


DATASET = Dataset(
    name="300vw",
    title="300-VW",
    points=(68,),
    where="https://ibug.doc.ic.ac.uk/resources/300-VW/",
    terms="see the page of its makers",
    layout="""
        001/annot/000001.pts ...
        001/vid.avi, or 001/imgs/000001.png ...
        002 ... (114 videos)
    """,
    parts=dict.fromkeys(VIDEOS),
    splits={split: Split(videos) for split, videos in SPLITS.items()},
    read=read,
)

if __name__ == "__main__":
    sys.exit(_dataset.main(DATASET))
