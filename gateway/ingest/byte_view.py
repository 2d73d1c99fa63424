"""Step 2 of 7: bytes that are read like a file, where they stand: a piece of an upload is not copied to be parsed."""

from __future__ import annotations

from io import SEEK_CUR, SEEK_END, SEEK_SET


class ByteView:
    """What pydicom's parser of fragments needs of a file, over a buffer that somebody else holds."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, copied: one fragment or a header at a time. Fewer at the end."""
        start = self._at
        end = len(self._data) if size is None or size < 0 else min(start + size, len(self._data))
        self._at = max(start, end)
        return bytes(self._data[start:end])

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Go to a place. Raises ValueError for one before the first byte, as files do."""
        base = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("a place before the first byte")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """The place where reading goes on."""
        return self._at
