"""YAML that people like to read: keys in their order, expressions and texts of several lines as blocks."""

from __future__ import annotations

from typing import Any

from bedplate.problems import BedplateError

__all__ = ["RENDERED", "Block", "yaml_text"]

#: The first line of every rendered file that can have comments.
RENDERED = "Rendered by `bedplate render`. Change what components declare, not this file."


class Block(str):
    """A text that is written as a block of its own even when it is one line, such as an expression."""

    __slots__ = ()


def yaml_text(document: Any) -> str:
    """Return a document as YAML under a line that says where it comes from.

    :raises BedplateError: when PyYAML is not installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise BedplateError("Rendering needs PyYAML.", "Run: pip install 'bedplate[render]'") from None

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            # Items of a list stand below their key and not beside it.
            super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        block = isinstance(data, Block) or "\n" in data
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(data), style="|" if block else None)

    def mapping(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.MappingNode:
        # One label needs no lines of its own.
        return dumper.represent_mapping("tag:yaml.org,2002:map", data.items())

    Dumper.add_representer(str, text)
    Dumper.add_representer(Block, text)
    Dumper.add_representer(dict, mapping)
    body = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return f"# {RENDERED}\n{body}"
