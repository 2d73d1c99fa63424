"""Step 3 of 7: the part of a policy that is about burned-in text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.deid.strict import Strict


class Looks(Strict):
    """The scales at which a frame is looked at.

    Attributes:
        upright: Pixels of the longer side.
        turned: The same for the look at the frame turned by a quarter, which finds vertical print.
    """

    upright: int = Field(ge=224, le=2048)
    turned: int = Field(ge=224, le=2048)


class PixelPolicy(Strict):
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
