"""The directive {api}: a module's public names with their signatures and docstrings, read as Markdown."""

import importlib
import inspect
import re
import types

import mentions
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

EXAMPLE = re.compile(r"(?:^>>> .*\n(?:.+\n?)*)", re.M)  # from a prompt to the next blank line
HEADS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
BLOCK = re.compile(r"^(Args|Attributes|Returns|Raises):\n((?:    .*\n|\n(?=    ))+)", re.M)
ITEM = re.compile(r"^    \S.*\n(?:     +\S.*\n)*", re.M)


class Api(SphinxDirective):
    """``{api} lddmmlib.metrics``: what is written in the module itself, in its order, under a heading of its own."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        module = importlib.import_module(name)
        lines = [f"::::{{py:module}} {name}", "::::", "", *with_links(module, module)]
        for attribute, member in public(module):
            kind = "class" if inspect.isclass(member) else "function"
            lines += [f"::::{{py:{kind}}} {attribute}{signature(member)}", "", *with_links(member, module), "::::", ""]
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title(name, "", nodes.literal(name, name))
        self.state.nested_parse(StringList(lines, source=name), self.content_offset, section, match_titles=True)
        return [section]


def public(module: types.ModuleType) -> list[tuple[str, object]]:
    """The functions and classes that the module defines, or those that a package gathers in ``__all__``."""
    gathered = getattr(module, "__all__", None)
    members = [
        (n, inspect.unwrap(m)) for n, m in vars(module).items() if n in (gathered or vars(module)) and callable(m)
    ]
    own = [(n, m) for n, m in members if inspect.isfunction(m) or inspect.isclass(m)]
    if gathered is None:
        own = [(n, m) for n, m in own if m.__module__ == module.__name__ and not n.startswith("_")]
    return sorted(own, key=lambda item: (item[1].__module__, inspect.getsourcelines(item[1])[1]))


def signature(member: object) -> str:
    """The names and defaults of its parameters; their shapes are in the docstring's words."""
    try:
        parameters = inspect.signature(member).parameters.values()
    except (TypeError, ValueError):
        return ""
    bare = [p.replace(annotation=p.empty, default=named(p.default)) for p in parameters]
    return str(inspect.Signature(bare))


class Name(str):
    """Text that a signature shows without quotes."""

    __repr__ = str.__str__


def named(default: object) -> object:
    """A function or class by its name, not by its address."""
    return Name(default.__name__) if callable(default) and default is not inspect.Parameter.empty else default


def with_links(member: object, module: types.ModuleType) -> list[str]:
    """The docstring as Markdown, in which the papers' equations lead to their rows."""
    paper = mentions.default_paper(inspect.getdoc(member) or "", module)
    return mentions.linked("\n".join(markdown(member)), paper).splitlines()


def markdown(member: object) -> list[str]:
    """The docstring: its examples fenced, its lists of arguments and errors as lists."""
    text = (inspect.getdoc(member) or "") + "\n"
    text = EXAMPLE.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)
    return BLOCK.sub(lambda m: f"**{HEADS[m[1]]}**\n\n" + ITEM.sub(as_item, m[2]) + "\n", text).splitlines()


def as_item(item: re.Match) -> str:
    """One entry of an Args, Returns or Raises block, with its continuation lines, as an item of a list."""
    name, _, rest = item[0].strip().partition(": ")
    words = " ".join(rest.split())
    return f"- `{name}`: {words}\n" if words and re.fullmatch(r"[\w, *]+", name) else f"- {' '.join(item[0].split())}\n"
