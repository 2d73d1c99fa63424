"""Step 1 of 7: reads a policy file strictly: an unknown or misspelt entry stops the start, and the message names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """The base of everything in a policy file: frozen, nothing unknown, nothing converted but lists to tuples."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a key occur twice and keeps the last: in a policy that hides a line which somebody signed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if key in keys[:position]:
                raise yaml.YAMLError(f"line {node.value[position][0].start_mark.line + 1}: {key!r} occurs twice")
        return super().construct_mapping(node, deep=deep)


def load_policy(path: Path, model: type[Model]) -> Model:
    """Read one YAML file into its model.

    Raises:
        ValueError: The file cannot be read, is not YAML, or does not fit; the message names the file and each fault.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
        return model.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"{path}: " + "; ".join(faults)) from None
