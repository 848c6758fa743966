"""``python -m lddmmlib.data check DIR``: list the contents and the problems of a folder, and draw a contact sheet.
``python -m lddmmlib.data convert SOURCE ... --to SCHEME --out OUT.json``: complete faces to another scheme.

Exit code: 0 without problems, 1 with problems, 2 for a command that cannot be carried out, 130 interrupted.
"""

import argparse
import sys
from pathlib import Path

from lddmmlib.data import check, contact_sheet, formats, images


def main(arguments: list[str] | None = None) -> int:
    """Carry out the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lddmmlib.data", description="Look at annotated faces, or complete them."
    )
    words = parser.add_subparsers(required=True)
    command = words.add_parser("check", help="what a folder holds, and what is wrong")
    command.set_defaults(run=look)
    command.add_argument("path", type=Path, metavar="DIR", help="a folder, or one file of annotations")
    command.add_argument("--sheet", type=Path, default="contact_sheet.png", metavar="OUT.png", help="the contact sheet")
    command.add_argument("--count", type=int, default=24, metavar="N", help="faces on it (24)")
    command.add_argument("--images", type=Path, metavar="DIR", help="the images' folder (default: looked for)")
    command = words.add_parser("convert", help="complete faces to another scheme, or to the union of several")
    command.set_defaults(run=convert)
    command.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a file or folder; or SOURCE=FORMAT, e.g. d=pts29"
    )
    command.add_argument("--to", required=True, metavar="SCHEME", help="wflw-98, 300w-68+cofw-29, ... or union")
    command.add_argument("--out", type=Path, required=True, metavar="OUT.json", help="the COCO keypoint json to write")
    command.add_argument("--images", type=Path, metavar="DIR", help="the images' folder (default: looked for)")
    command.add_argument("--root", type=Path, metavar="DIR", help="images are named relative to it (OUT.json's folder)")
    command.add_argument(
        "--tau", type=float, default=1.4, metavar="T", help="budget of a completed landmark's weights (1.4)"
    )
    command.add_argument(
        "--drawn", type=int, default=0, metavar="N", help="drawn faces that teach where yours cannot (0)"
    )
    command.add_argument(
        "--cascade", type=Path, metavar="FILE", help="coupled.pt of a cascade that was trained, to use images"
    )
    given = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have a name that the terminal cannot write
    return given.run(given, command)


def look(given: argparse.Namespace, command: argparse.ArgumentParser) -> int:
    """The command `check`."""
    png = given.sheet.suffix.lower() == ".png" and given.sheet.absolute().parent.is_dir()
    for right, name, needed, got in (
        (given.path.exists(), "DIR", "a folder or a file", f"{given.path}, where there is nothing"),
        (given.images is None or given.images.is_dir(), "--images", "a folder", given.images),
        (given.count >= 1, "--count", "at least 1", given.count),
        (png, "--sheet", "a .png in a folder that exists", given.sheet),
    ):
        if not right:
            command.error(f"{name}: needed {needed}, got {got}")
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


def convert(given: argparse.Namespace, command: argparse.ArgumentParser) -> int:
    """The command `convert`."""
    from lddmmlib import convert as conversion

    records, out = [], given.out.absolute()
    try:
        for source in given.sources:
            path, mark, form = source.rpartition("=")
            path, form = (Path(path), form) if mark and not Path(source).exists() else (Path(source), None)
            if out.resolve().is_relative_to(path.resolve()):
                command.error(f"--out: needed a file outside the sources, which stay as they are, got {given.out}")
            records += formats.read(path, form, given.images)
        how = {"tau": given.tau, "drawn": given.drawn, "cascade": given.cascade, "root": given.root}
        report = conversion.convert(records, given.to, out, **how, progress=True)
    except (ValueError, TypeError, OSError) as error:
        command.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; give the same command again to go on", file=sys.stderr)
        return 130
    print(f"{given.out}: {report.faces:,} faces as {report.target}, {report.whole:,} of them whole already")
    for row in report.rows[: check.SHOWN]:
        told = "{faces:,} faces with {labelled} labels: {completed} completed, taught by {teachers:,} ({taught_by})"
        print("  " + told.format(**row))
        drawn = " (yours err more)" if row["taught_by"] == "drawn faces" else ""
        for name, what in (("error", f"on teachers held out{drawn}"), ("hidden", "on labels of these faces, hidden")):
            if (value := row[f"{name}_percent"]) is not None:
                print(f"    expected error {value:.2f} %  {what}")
    if len(report.rows) > check.SHOWN:
        print(f"  ... and {len(report.rows) - check.SHOWN} more, in the file (conversion)")
    if report.rows:
        print("  % of the face's size, (width + height)/2 of the box of its labelled landmarks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
