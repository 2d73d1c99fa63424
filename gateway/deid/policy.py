"""Step 3 of 7: the policy that a compliance officer signs, read strictly from YAML.

An unknown or missing line is an error, not a default: what is not in the file is not what was signed.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pathlib import Path


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Looks(_Strict):
    """The scales at which a frame is looked at.

    Attributes:
        upright: Pixels of the longer side.
        turned: The same for the look at the frame turned by a quarter, which finds vertical print.
    """

    upright: int = Field(ge=224, le=2048)
    turned: int = Field(ge=224, le=2048)


class PixelPolicy(_Strict):
    """How burned-in text is looked for and masked.

    Attributes:
        look: Look for text at all. False: pixels go on as they are, and 113101 is not claimed.
        single_frame: The looks at a frame that comes alone.
        multi_frame: The looks at each frame when several of an object are selected.
        pad: Pixels, in the upright look, by which a mask is larger than the text's box on every side.
        share_cap: Largest share of a frame that may be masked; above it the image is refused.
        on_failure: What to do when the detector fails.
    """

    look: bool
    single_frame: Looks
    multi_frame: Looks
    pad: int = Field(ge=0, le=32)
    share_cap: float = Field(gt=0, le=1)
    on_failure: Literal["refuse"]


class DeidPolicy(_Strict):
    """One policy file.

    Attributes:
        name: Its name in reports and audit records.
        profile: CID 7050 code of the profile.
        patient: What stands in Patient ID and Patient's Name afterwards.
        pixels: Burned-in text.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    profile: Literal["113100"]
    patient: Literal["pseudonym", "empty"]
    pixels: PixelPolicy


def load_policy(path: Path) -> tuple[DeidPolicy, bytes]:
    """The policy and the bytes it was read from.

    Raises:
        ValueError: Names the file, and the field or line that is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        document = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path}: must be a mapping with the fields {', '.join(DeidPolicy.model_fields)}")  # noqa: TRY004 - one type for a bad policy
    try:
        return DeidPolicy.model_validate(document), content
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors())
        raise ValueError(f"{path}: {problems}") from error


def digest(policy: bytes, tables_digest: str) -> str:
    """SHA-256 over the policy file and the tables that it rests on, hex."""
    return hashlib.sha256(hashlib.sha256(policy).digest() + bytes.fromhex(tables_digest)).hexdigest()
