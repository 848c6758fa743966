"""``python -m lddmmlib.data check DIR``: list the contents and the problems of a folder, and draw a contact sheet.

Exit code: 0 without problems, 1 with problems, 2 for a command that cannot be carried out.
"""

import argparse
import sys
from pathlib import Path

from lddmmlib.data import check, contact_sheet, images


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lddmmlib.data", description="Look at annotated faces.")
    command = parser.add_subparsers(required=True).add_parser("check", help="what a folder holds, and what is wrong")
    command.add_argument("path", type=Path, metavar="DIR", help="a folder, or one file of annotations")
    command.add_argument("--sheet", type=Path, default="contact_sheet.png", metavar="OUT.png", help="the contact sheet")
    command.add_argument("--count", type=int, default=24, metavar="N", help="faces on it (24)")
    command.add_argument("--images", type=Path, metavar="DIR", help="the images' folder (default: looked for)")
    given = parser.parse_args(arguments)
    png = given.sheet.suffix.lower() == ".png" and given.sheet.absolute().parent.is_dir()
    for right, name, needed, got in (
        (given.path.exists(), "DIR", "a folder or a file", f"{given.path}, where there is nothing"),
        (given.images is None or given.images.is_dir(), "--images", "a folder", given.images),
        (given.count >= 1, "--count", "at least 1", given.count),
        (png, "--sheet", "a .png in a folder that exists", given.sheet),
    ):
        if not right:
            command.error(f"{name}: needed {needed}, got {got}")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have a name that the terminal cannot write

    report = check.inspect(given.path, given.sheet.absolute(), given.images)
    print(check.summary(report))
    records = [record for some in report.faces.values() for record in some]
    if chosen := contact_sheet.spread(records, given.count):
        notes = [problem for found in report.problems.values() for problem in found]
        title = f"{given.path.resolve().name}: {len(chosen):,} of {len(records):,} faces, {len(notes):,} problems"
        try:
            images.save(contact_sheet.draw(chosen, title, notes), given.sheet)
        except OSError as error:
            command.error(f"--sheet: {error}")
        print(f"\ncontact sheet: {given.sheet} ({len(chosen):,} of {len(records):,} faces)")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
