"""Step 2 of 7: grey stored values become what a person would see (the grey-scale pipeline, PS3.3 C.11, PS3.4 N.2).

    stored ─▶ Modality LUT or rescale ─▶ VOI LUT or window ─▶ inverted for MONOCHROME1 ─▶ uint8

Without a usable VOI: up to 8 bits, the whole stored range is shown; above, from the 0.1st to the 99.9th percentile of
the frame's values without its padding, so that one hot pixel does not turn the rest black.

All arithmetic is done once for each possible stored value, not for each pixel, where these are 8 or 16 bits wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gateway.ingest.lut import Lut, Real
from gateway.ingest.patch import Patch, Toned, counted

if TYPE_CHECKING:
    from gateway.ingest.codecs import Stored

_TAIL = 0.001
_SAMPLE = 2_000_000
_BLOCK = 1_000_000


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1); finite."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, values: Real) -> Real:
        """Stored value times slope plus intercept."""
        return values * self.slope + self.intercept


@dataclass(frozen=True, slots=True)
class Window:
    """Window Center, Width, VOI LUT Function (PS3.3 C.11.2.1.2, C.11.2.1.3). Finite; wide enough for the function."""

    center: float
    width: float
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"

    def apply(self, values: Real) -> Real:
        """To 0..1."""
        if self.function == "SIGMOID":
            return 1 / (1 + np.exp(-4 * (values - self.center) / self.width))
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1
        if width == 0:  # LINEAR of width 1: a threshold
            return np.where(values > center, 1.0, 0.0)
        return np.clip((values - center) / width + 0.5, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Grey:
    """How a frame's stored values are shown.

    Attributes:
        modality: First transformation.
        voi: Second one; None shows what ``range`` finds.
        inverted: Whether the lowest value is white.
        bits_stored: Of the header.
        padding: Lowest and highest stored value that mean "no pixel" (PS3.3 C.7.5.1.1.2).
    """

    modality: Lut | Rescale
    voi: Lut | Window | None
    inverted: bool
    bits_stored: int
    padding: tuple[float, float] | None = None

    def apply(self, stored: Stored, patch: Patch | None = None) -> npt.NDArray[np.uint8]:
        """uint8 [rows, columns]; with a patch, which is for whole numbers of up to 16 bits, as if it were painted."""
        shown = self.toned(stored, patch)
        return shown.whole() if isinstance(shown, Toned) else shown

    def toned(self, stored: Stored, patch: Patch | None = None) -> Toned | npt.NDArray[np.uint8]:
        """The same, to be shown piece by piece where that is by a table."""
        with np.errstate(all="ignore"):  # what overflows is clipped, what is not a number becomes 0
            if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
                return self._by_table(stored, patch)
            return self._by_blocks(stored)

    def shows_all(self, stored: Stored) -> bool:
        """Whether every stored value has a grey of its own: whole numbers of up to 8 bits without a window."""
        return self.voi is None and self.bits_stored <= 8 and stored.dtype.kind in "iu"

    def rises(self) -> bool:
        """Whether higher stored values are brighter."""
        ends = np.array([-1.0, 0.0, 2.0**self.bits_stored], dtype=np.float64)
        low, _, high = self.modality.apply(ends).tolist()
        return bool(high >= low) != self.inverted

    def _by_table(self, stored: Stored, patch: Patch | None) -> Toned:
        size = stored.dtype.itemsize
        every = np.arange(2 ** (8 * size), dtype=f"u{size}")
        domain = every.view(f"{stored.dtype.kind}{size}").astype(np.float64)
        values = self.modality.apply(domain)
        low, high = 0.0, 1.0
        if self.voi is None:
            low, high = self._full_range(stored.dtype.kind) or _percentiles(
                values, np.where(self._is_padding(domain), 0, counted(stored, len(every), patch))
            )
        return Toned(self._tones(values, low, high), stored, patch)

    def _by_blocks(self, stored: Stored) -> npt.NDArray[np.uint8]:
        flat = stored.reshape(-1)
        low, high = 0.0, 1.0
        if self.voi is None:
            sample = flat[:: max(1, len(flat) // _SAMPLE)].astype(np.float64)
            values = self.modality.apply(sample)
            keep = np.isfinite(values) & ~self._is_padding(sample)
            integer = stored.dtype.kind in "iu"
            low, high = (integer and self._full_range(stored.dtype.kind)) or _percentiles(
                values[keep], np.ones(int(keep.sum()))
            )
        out = np.empty(len(flat), dtype=np.uint8)
        for start in range(0, len(flat), _BLOCK):
            block = self.modality.apply(flat[start : start + _BLOCK].astype(np.float64))
            out[start : start + _BLOCK] = self._tones(block, low, high)
        return out.reshape(stored.shape)

    def _tones(self, values: Real, low: float, high: float) -> npt.NDArray[np.uint8]:
        if isinstance(self.voi, Lut):
            share = self.voi.apply(values) / (2**self.voi.bits - 1)
        elif self.voi is not None:
            share = self.voi.apply(values)
        else:
            share = (values - low) / (high - low) if high > low else np.where(values > low, 1.0, 0.0)
        share = np.clip(np.nan_to_num(share), 0, 1)
        if self.inverted:
            share = 1 - share
        tones: npt.NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
        return tones

    def _full_range(self, kind: str) -> tuple[float, float] | None:
        """What the stored bits can say at most, if these are few."""
        if self.bits_stored > 8:
            return None
        if isinstance(self.modality, Lut):
            return 0.0, float(2**self.modality.bits - 1)
        half = 2 ** (self.bits_stored - 1)
        ends = np.array([-half, half - 1] if kind == "i" else [0, 2 * half - 1], dtype=np.float64)
        low, high = sorted(self.modality.apply(ends).tolist())
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None

    def _is_padding(self, stored: Real) -> npt.NDArray[np.bool_]:
        if self.padding is None:
            return np.zeros(stored.shape, dtype=np.bool_)
        return (stored >= self.padding[0]) & (stored <= self.padding[1])


def _percentiles(values: Real, counts: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> tuple[float, float]:
    """The values below and above which ``_TAIL`` of all lie; the extremes where that leaves nothing between."""
    used = (counts > 0) & np.isfinite(values)
    values, counts = values[used], counts[used]
    if not len(values):
        return 0.0, 1.0
    order = np.argsort(values, kind="stable")
    values, share = values[order], np.cumsum(counts[order])
    total = share[-1]
    low = values[np.searchsorted(share, total * _TAIL, side="right")]
    high = values[np.searchsorted(share, total * (1 - _TAIL), side="left")]
    return (float(low), float(high)) if high > low else (float(values[0]), float(values[-1]))
