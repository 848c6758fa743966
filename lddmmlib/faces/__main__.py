"""``python -m lddmmlib.faces --out DIR --count N --scheme wflw-98``: write drawn faces to files.

DIR gets ``images/*.png`` and ``annotations.json`` (COCO keypoints), which ``python -m lddmmlib.data check DIR`` and
other tools read. The same command resumes an interrupted run; a folder with another run, or with anything else, is
left unchanged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from lddmmlib import _checks
from lddmmlib.data import images
from lddmmlib.data.coco_writer import write_coco
from lddmmlib.data.records import Record
from lddmmlib.faces import painters, schemes, synthetic

RUN, LOG, RESULT = ".run.json", ".faces.jsonl", "annotations.json"


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns the exit code: 0, or 2 for what cannot be done as asked."""
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.faces", description="Draw faces into a folder.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, or one to resume")
    parser.add_argument("--count", type=_positive, required=True, metavar="N", help="how many faces")
    parser.add_argument("--scheme", choices=schemes.SCHEMES, default="300w-68", help="the landmarks (300w-68)")
    parser.add_argument("--split", choices=synthetic.SPLITS, default="wild", help="which faces (wild)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of the images (256)")
    parser.add_argument("--style", choices=painters.STYLES, default="photo", help="how they are drawn (photo)")
    parser.add_argument("--start", type=int, default=0, metavar="I", help="index of the first face (0)")
    parser.add_argument("--workers", type=_positive, default=1, metavar="K", help="processes that draw (1)")
    given = vars(parser.parse_args(arguments))
    out, workers = given.pop("out"), given.pop("workers")
    try:
        write(out, workers=workers, **given)
    except (ValueError, FileExistsError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; give the same command again to go on", file=sys.stderr)
        return 130
    return 0


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"needed a whole number > 0, got {word!r}")
    return int(word)


def write(out: Path, count: int, scheme: str, split: str, size: int, style: str, start: int, workers: int = 1) -> None:
    """Draw faces start, start + 1, ... into ``out``; nothing is drawn twice, nothing of another run is touched."""
    faces = _Numbered(start, count, {"split": split, "size": size, "style": style, "scheme": scheme})
    _claim(out, {"start": start, "count": count, **faces.how})
    if (out / RESULT).exists():
        print(f"{out} is complete: {count} faces")
        return
    done = _drawn(out / LOG)
    with (out / LOG).open("a", encoding="utf-8", newline="\n") as log:
        for index, face in _progress(faces.left(set(done), workers), count, len(done)):
            images.save(face.image.permute(1, 2, 0).flip(-1).contiguous().numpy(), _picture(out, index))
            done[index] = _entry(face)
            log.write(json.dumps({"index": index, **done[index]}) + "\n")
            log.flush()
    write_coco([_record(out, scheme, index, done[index]) for index in sorted(done)], out / RESULT, scheme=scheme)
    (out / LOG).unlink()


class _Numbered(torch.utils.data.Dataset):
    """Faces with their index."""

    def __init__(self, start: int, count: int, how: dict) -> None:
        synthetic.sample(
            start, **how | {"size": how["size"]}
        )  # refuses what cannot be drawn, before anything is written
        self.indices, self.how = range(start, start + count), how

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[int, synthetic.Face]:
        return self.indices[i], synthetic.sample(self.indices[i], **self.how)

    def left(self, done: set[int], workers: int) -> Iterator[tuple[int, synthetic.Face]]:
        todo = torch.utils.data.Subset(self, [i for i, index in enumerate(self.indices) if index not in done])
        return iter(torch.utils.data.DataLoader(todo, batch_size=None, num_workers=workers if workers > 1 else 0))


def _claim(out: Path, run: dict) -> None:
    """Make the folder this run's, or find that it is."""
    out.mkdir(parents=True, exist_ok=True)
    claim = out / RUN
    if claim.exists():
        other = json.loads(claim.read_text(encoding="utf-8"))
        if other != run:
            apart = ", ".join(f"{k} {other.get(k)!r}, not {run[k]!r}" for k in run if other.get(k) != run[k])
            raise FileExistsError(f"--out: {out} holds another run ({apart}); give another folder")
        return
    if any(out.iterdir()):
        raise FileExistsError(f"--out: {out} is not empty and holds no run of this command; give another folder")
    (out / "images").mkdir()
    claim.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


def _drawn(log: Path) -> dict[int, dict]:
    """The faces that an interrupted run has finished; an incomplete last line is ignored."""
    done: dict[int, dict] = {}
    if log.exists():
        whole = log.read_text(encoding="utf-8").rpartition("\n")[0]
        log.write_text(whole + "\n" if whole else "", encoding="utf-8", newline="\n")
        for line in whole.splitlines():
            entry = json.loads(line)
            done[entry.pop("index")] = entry
    return done


def _entry(face: synthetic.Face) -> dict:
    flags = {name: int(flag) for name, flag in face.attributes.items()}
    numbers = {name: round(value, 6) for name, value in face.numbers.items()}
    return {"landmarks": face.landmarks.tolist(), "visible": face.visible.tolist(), "attributes": flags | numbers}


def _picture(out: Path, index: int) -> Path:
    return out / "images" / f"{index:07d}.png"


def _record(out: Path, scheme: str, index: int, entry: dict) -> Record:
    landmarks, visible = torch.tensor(entry["landmarks"], dtype=torch.float64), torch.tensor(entry["visible"])
    return Record(image=_picture(out, index), landmarks=landmarks, visible=visible, box=None, scheme=scheme,
                  attributes=entry["attributes"], source=f"face {index}")  # fmt: skip


def _progress(faces: Iterator, count: int, done: int) -> Iterator:
    tqdm = _checks.optional("tqdm").tqdm

    return iter(tqdm(faces, total=count, initial=done, unit="face", file=sys.stderr))


if __name__ == "__main__":
    sys.exit(main())
