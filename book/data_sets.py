"""The directive {datasets}: the table of the public data sets, as the scripts of data_scripts state them."""

import re
import runpy
import sys
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

SCRIPTS = Path(__file__).parents[1] / "data_scripts"


class Datasets(SphinxDirective):
    """``{datasets}``: a row for each script."""

    def run(self) -> list[nodes.Node]:
        for path in sorted(SCRIPTS.glob("*.py")):
            self.env.note_dependency(str(path))
        around = nodes.Element()
        self.state.nested_parse(StringList(lines(), source=str(SCRIPTS)), self.content_offset, around)
        return around.children


def lines() -> list[str]:
    """The table, which the scripts' shared module makes; so that it fits on the page, links say their hosts, and the
    script stands below the name."""
    sys.path.insert(0, str(SCRIPTS))  # the scripts import it as their neighbour
    try:
        rows = runpy.run_path(str(SCRIPTS / "_dataset.py"))["table"]()
        host = re.compile(r"<(https?://(?:www\.)?([^/>]+)[^>]*)>")  # it may break after each of its dots
        rows = [host.sub(lambda m: f"[{m[2].replace('.', '.&#8203;')}]({m[1]})", row) for row in rows]
        rows = [re.sub(r"^\| (.*?) \|(.*)\| (`.*`) \|$", r"| \1<br>\3 |\2|", row) for row in rows]
        head, rule = (row.rpartition("|")[0].rpartition("|")[0] + "|" for row in rows[:2])
        return [head.replace("data set", "data set, script"), rule, *rows[2:]]
    finally:
        sys.path.remove(str(SCRIPTS))
