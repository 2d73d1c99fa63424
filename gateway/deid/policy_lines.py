"""Step 3 of 7: which line of a policy file a complaint is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import ValidationError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # safe either way; the one in C is ten times as fast
_FIELD_FIRST = "Value error, "


@dataclass(frozen=True, slots=True)
class Lines:
    """A YAML document and the line on which each of its fields stands.

    Attributes:
        path: The file, for complaints.
        document: What it says.
        at: Line, counted from 1, by the path of keys and indexes to the field; the empty path is the document.
    """

    path: Path
    document: Any = field(repr=False)
    at: dict[tuple[str | int, ...], int] = field(repr=False)

    @classmethod
    def of(cls, path: Path, content: bytes) -> Lines:
        """Read a file's content.

        Raises:
            ValueError: Not YAML, not UTF-8, a field that stands twice, or a reference to another place of the file.
        """
        try:
            loader = _LOADER(content)
            root = loader.get_single_node()
            lines = cls(path, loader.construct_document(root) if root is not None else None, {})
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ValueError(f"{path} line {line}: not YAML: {error.problem}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} line 1: not YAML: {type(error).__name__}") from error
        if root is not None:
            lines._walk(root, (), set())
        return lines

    def _walk(self, node: yaml.Node, at: tuple[str | int, ...], seen: set[int]) -> None:
        line = node.start_mark.line + 1
        if id(node) in seen:
            raise ValueError(f"{self.path} line {line}: a part of the file is used twice by reference; write it out")
        seen.add(id(node))
        self.at.setdefault(at, line)
        if isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                where = key.start_mark.line + 1
                if key.value in keys:
                    raise ValueError(f"{self.path} line {where}: {key.value}: stands twice")
                keys.add(key.value)
                self.at[*at, key.value] = where
                self._walk(value, (*at, key.value), seen)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*at, index), seen)

    def problems(self, error: ValidationError) -> str:
        """Every problem with its file, line and field, one after the other."""
        return "; ".join(self._problem(tuple(problem["loc"]), problem["msg"]) for problem in error.errors())

    def _problem(self, loc: tuple[str | int, ...], message: str) -> str:
        field_name = ".".join(map(str, loc))
        message = message.removeprefix(_FIELD_FIRST)
        if not loc and (first := message.partition(":")[0]) in (self.document or {}):
            loc = (first,)
        while loc and loc not in self.at:
            loc = loc[:-1]
        where = f"{self.path} line {self.at.get(loc, 1)}"
        return f"{where}: {field_name}: {message}" if field_name else f"{where}: {message}"
