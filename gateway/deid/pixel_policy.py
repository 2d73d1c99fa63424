"""Step 3 of 7: the part of a policy that is about burned-in text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.deid.strict import Strict


class Looks(Strict):
    """The scales at which a frame is looked at of which 224 pixels leave for a model; for more they grow with it.

    Attributes:
        upright: Pixels of the longer side.
        turned: The same for a further look at the frame turned by a quarter; null for none. The upright look finds
            print that stands upright too.
    """

    upright: int = Field(ge=224, le=2048)
    turned: int | None = Field(ge=224, le=2048)


class ClassLooks(Strict):
    """How closely the frames of an object of one risk class are looked at.

    Attributes:
        longest: Pixels of the longer side up to which a frame is looked at in its own size.
        full_range: All stored values are looked at too, in the same look, whatever the object's window shows of them.
        again: Masked frames are looked at once more, as they were written.
    """

    longest: int = Field(ge=512, le=16384)
    full_range: bool
    again: bool


class WholeObjects(Strict):
    """What is done with the pixels of objects that are given back.

    Attributes:
        templates: File of regions that are always masked, beside the policy; see templates.py.
        outside_ultrasound: What lies outside of the regions of (0018,6011): looked at like the rest, or masked.
        keep_markers: Leave side markers and technical values as they are, if they are read with certainty and stand
            alone; see markers.py. Frames that go to a model keep none.
        high, medium, low: The looks, by risk class; see risk.py.
    """

    templates: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\.yaml$")
    outside_ultrasound: Literal["look", "mask"]
    keep_markers: bool
    high: ClassLooks
    medium: ClassLooks
    low: ClassLooks


class PixelPolicy(Strict):
    """How burned-in text is looked for and masked.

    Attributes:
        look: Look for text at all. False: pixels go on as they are, and 113101 is not claimed.
        single_frame: The looks at a frame that comes alone, for a model.
        multi_frame: The looks at each frame when several of an object are selected, for a model.
        pad: Pixels, in the look, by which a mask is larger than the text's box on every side.
        share_cap: Largest share of a frame in which text may be found and masked; above it the image is refused.
        on_failure: What to do when the detector fails.
        whole: Objects that are given back.
    """

    look: bool
    single_frame: Looks
    multi_frame: Looks
    pad: int = Field(ge=0, le=32)
    share_cap: float = Field(gt=0, le=1)
    on_failure: Literal["refuse"]
    whole: WholeObjects
