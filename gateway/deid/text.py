"""Step 3 of 7: where text stands in a picture, by the PP-OCRv6 text detector whose weights ship in the rapidocr wheel.

The weights are run on ONNX Runtime directly, on one thread: nothing here can download a model, fetch a font, write a
log line or touch a disk, as the wheel's own classes do in some configurations. What the network gives is a map of how
likely each pixel lies in the shrunken middle of a text line (differentiable binarization, arXiv 1911.08947).

Measured: on a picture without text the network takes the whole head of a brain MRI for one giant letter (59 of 60
pictures at a look of 320 pixels). With three lines of ordinary print beside it, it has the scale of text to go by, and
does so in 1 of 60 (0 of 60 at 384 and 448). So every look has a strip of reference print below the picture. Boxes that
are still doubtful are read, and count as text if something can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

if TYPE_CHECKING:
    from gateway.ingest.image import DisplayFrame

_STRIDE = 32  # the network's largest; both sides of its input are multiples of it
_STRIP = 64
_STRIP_LINES = 3
_STRIP_PRINT = "REFERENCE 0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STRIP_SCALE = 0.4

_EDGE = 0.05  # where a region ends on the map
_PEAK = 0.3  # what its middle must reach; rapidocr's own threshold
_MIN_AREA = 4
_UNCLIP = 1.6  # how far the detector's training shrank its regions (ratio of area to perimeter)
_LARGE_SIDE = 0.12  # of the look's shorter side: print this tall is doubtful, and anatomy is what it mostly is
_READ_HEIGHT = 48
_READ_WIDTH = 320
_READ_SCORE = 0.8  # measured: print 0.87 or more, a dental arch 0.68, a knot of vessels 0.69
_READ_CHARACTERS = 2
_MOST_READ = 8  # doubtful regions read in one picture; any more count as text, unread


@dataclass(frozen=True, slots=True)
class TextRegion:
    """One region of text, as a rectangle that may be turned.

    Attributes:
        centre: x, y in pixels of the picture.
        size: Its two sides in pixels.
        angle: Degrees, as cv2.minAreaRect gives it.
        score: Highest value of the network's map in it, 0 to 1.
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    angle: float
    score: float

    def corners(self, pad: float = 0.0) -> npt.NDArray[np.float32]:
        """Its four corners, [4, 2], each side ``pad`` pixels further out."""
        width, height = self.size
        box = (self.centre, (width + 2 * pad, height + 2 * pad), self.angle)
        return np.asarray(cv2.boxPoints(box), dtype=np.float32)


class TextDetector:
    """Two network sessions. Loading takes about 0.3 s; make one and keep it."""

    def __init__(self) -> None:
        spec = find_spec("rapidocr")
        if spec is None or spec.origin is None:
            raise RuntimeError("the package rapidocr, which holds the weights, is not installed")
        folder = Path(spec.origin).parent / "models"
        self._detector = _session(folder / "PP-OCRv6_det_small.onnx")
        self._reader = _session(folder / "PP-OCRv6_rec_small.onnx")
        characters: str = self._reader.get_modelmeta().custom_metadata_map["character"]
        self._counts = np.array([False, *(character.isalnum() for character in characters.splitlines()), False])

    def regions(self, frame: DisplayFrame, upright: int, turned: int | None) -> list[TextRegion]:
        """Every region of text.

        Args:
            frame: uint8 [height, width] or [height, width, 3].
            upright: Pixels to which the frame's longer side is scaled for the look; it is doubled at most.
            turned: The same for a second look at the frame turned by a quarter, for vertical print; None for none.

        Returns:
            Regions in the frame's own pixels.
        """
        colour = frame if frame.ndim == 3 else np.repeat(frame[:, :, None], 3, axis=2)
        found = self._look(_scaled(colour, upright), turned=False, shape=frame.shape)
        if turned is not None:
            found += self._look(_scaled(colour, turned), turned=True, shape=frame.shape)
        return found

    def _look(self, look: npt.NDArray[np.uint8], *, turned: bool, shape: tuple[int, ...]) -> list[TextRegion]:
        seen = np.ascontiguousarray(np.rot90(look)) if turned else look
        likely = self._map(_with_strip(seen))[: seen.shape[0], : seen.shape[1]]
        if turned:
            likely = np.ascontiguousarray(np.rot90(likely, 3))
        candidates = _candidates(likely)
        doubtful = [region for region in candidates if min(region.size) > _LARGE_SIDE * min(look.shape[:2])]
        text = [region for region in candidates if region not in doubtful]
        text += [region for region in doubtful[:_MOST_READ] if self._readable(look, region)] + doubtful[_MOST_READ:]
        factors = (shape[1] / look.shape[1], shape[0] / look.shape[0])
        return [_resized(region, factors) for region in text]

    def _map(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        batch = (picture.astype(np.float32) * np.float32(2 / 255) - np.float32(1)).transpose(2, 0, 1)[None]
        (output,) = self._detector.run(None, {self._detector.get_inputs()[0].name: np.ascontiguousarray(batch)})
        likely: npt.NDArray[np.float32] = output[0, 0]
        return likely

    def _readable(self, look: npt.NDArray[np.uint8], region: TextRegion) -> bool:
        """Whether two letters or digits can be read in a region: either way up, and along either side if square."""
        crop = _upright(look, region)
        quarters = (0, 2) if crop.shape[1] > 1.5 * crop.shape[0] else (0, 2, 1, 3)
        return any(self._read(np.ascontiguousarray(np.rot90(crop, quarter))) for quarter in quarters)

    def _read(self, crop: npt.NDArray[np.uint8]) -> bool:
        width = max(_READ_WIDTH, round(_READ_HEIGHT * crop.shape[1] / crop.shape[0]))
        scaled = cv2.resize(crop, (min(width, round(_READ_HEIGHT * crop.shape[1] / crop.shape[0])) or 1, _READ_HEIGHT))
        batch = np.zeros((1, 3, _READ_HEIGHT, width), np.float32)
        batch[0, :, :, : scaled.shape[1]] = (scaled.astype(np.float32) * np.float32(2 / 255) - 1).transpose(2, 0, 1)
        (output,) = self._reader.run(None, {self._reader.get_inputs()[0].name: batch})
        best, score = output[0].argmax(1), output[0].max(1)
        # Connectionist temporal classification: 0 is the blank; the same class twice in a row is one character.
        starts = (best != 0) & np.concatenate(([True], best[1:] != best[:-1]))
        kept = score[starts & self._counts[best]]
        return len(kept) >= _READ_CHARACTERS and float(kept.mean()) >= _READ_SCORE


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # sizes vary from picture to picture; an arena would keep the largest of all
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _scaled(picture: npt.NDArray[np.uint8], longest_side: int) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    factor = min(longest_side / max(height, width), 2.0)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=way), dtype=np.uint8)


def _with_strip(look: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The look with reference print below it, sides padded to the network's stride."""
    height, width = look.shape[:2]
    rows, columns = -(-height // _STRIDE) * _STRIDE, max(-(-width // _STRIDE) * _STRIDE, 5 * _STRIDE)
    canvas = np.zeros((rows + _STRIP, columns, 3), np.uint8)
    canvas[:height, :width] = look
    for line in range(_STRIP_LINES):
        base = rows + round(_STRIP * (line + 0.5) / _STRIP_LINES) + 4
        cv2.putText(
            canvas, _STRIP_PRINT, (6, base), cv2.FONT_HERSHEY_SIMPLEX, _STRIP_SCALE, (255, 255, 255), 1, cv2.LINE_AA
        )
    return canvas


def _candidates(likely: npt.NDArray[np.float32]) -> list[TextRegion]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats((likely > _EDGE).astype(np.uint8))
    found = []
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < _MIN_AREA:
            continue
        window = labels[top : top + height, left : left + width] == label
        points = cv2.findNonZero(window.astype(np.uint8))
        (x, y), (first, second), angle = cv2.minAreaRect(points)
        first, second = first + 1, second + 1  # minAreaRect measures between pixel centres
        out = first * second * _UNCLIP / (2 * (first + second))
        score = float(likely[top : top + height, left : left + width][window].max())
        if score < _PEAK:
            continue
        found.append(TextRegion((x + left, y + top), (first + 2 * out, second + 2 * out), angle, score))
    return found


def _upright(look: npt.NDArray[np.uint8], region: TextRegion) -> npt.NDArray[np.uint8]:
    """What a region shows, its longer side lying."""
    width, height = max(1, round(region.size[0])), max(1, round(region.size[1]))
    corners = region.corners()
    target = np.array([[0, height - 1], [0, 0], [width - 1, 0]], np.float32)
    crop = cv2.warpAffine(look, cv2.getAffineTransform(corners[:3], target), (width, height))
    return np.asarray(np.rot90(crop) if height > width else crop, dtype=np.uint8)


def _resized(region: TextRegion, factors: tuple[float, float]) -> TextRegion:
    """In the frame's own pixels. The two factors differ by rounding only, so the angle stays."""
    x, y = factors
    scale = (x + y) / 2
    size = (region.size[0] * scale, region.size[1] * scale)
    return TextRegion((region.centre[0] * x, region.centre[1] * y), size, region.angle, region.score)
