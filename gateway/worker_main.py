"""Around steps 2 to 4: what a worker process runs. One call at a time comes in over a socket, what it gave goes back.

Run as a script, by path, with a socket as its standard input. So it imports nothing but the standard library before it
has been told where to import from.

A message is the length of what follows, the sizes of its parts, and the parts: a pickle (protocol 5) and the buffers
that are kept out of it, such as an array's, so that they are copied nowhere on the way.
"""

from __future__ import annotations

import gc
import os
import pickle
import socket
import struct
import sys
from contextlib import suppress
from itertools import accumulate, pairwise
from typing import Any

LENGTH = struct.Struct("<Q")
SOCKET_BYTES = 2**20
"""Asked for; Linux gives 416 KiB as it comes (socket(7)). An answer that fits needs no second turn of its sender."""


def pack(thing: object) -> list[Any]:
    """The parts of a message, to be written one after the other."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(thing, 5, buffer_callback=buffers.append)
    parts: list[Any] = [body, *(buffer.raw() for buffer in buffers)]
    sizes = struct.pack(f"<{len(parts) + 1}Q", len(parts), *map(len, parts))
    return [LENGTH.pack(len(sizes) + sum(map(len, parts))) + sizes, *parts]


def unpack(message: bytearray) -> Any:
    """What was packed, from all that follows the length. Arrays in it lie in the message's own memory."""
    view = memoryview(message)
    count = LENGTH.unpack_from(view)[0]
    begin = LENGTH.size * (count + 1)
    ends = list(accumulate(struct.unpack_from(f"<{count}Q", view, LENGTH.size), initial=begin))
    body, *buffers = [view[start:end] for start, end in pairwise(ends)]
    return pickle.loads(body, buffers=buffers)  # noqa: S301 - both ends are this program


def _read(connection: socket.socket, size: int) -> bytearray:
    message = bytearray(size)
    if connection.recv_into(message, size, socket.MSG_WAITALL) < size:
        raise EOFError
    return message


def _write(connection: socket.socket, parts: list[Any]) -> None:
    sent, size = connection.sendmsg(parts), sum(map(len, parts))
    if sent < size:  # a signal came in between
        connection.sendall(b"".join(parts)[sent:])


def _answer(message: bytearray) -> list[Any]:
    """(True, what the call gave) or (False, what it raised)."""
    try:
        function, *arguments = unpack(message)
        return pack((True, function(*arguments)))
    except BaseException as error:  # noqa: BLE001 - all of them are the caller's
        return pack((False, error))


def serve(connection: socket.socket) -> None:
    """Until the other end is closed: the process ends with the one that started it."""
    fresh = True
    with suppress(EOFError, ConnectionError):
        while True:
            message = _read(connection, *LENGTH.unpack(_read(connection, LENGTH.size)))
            answer = _answer(message)
            del message  # a body is not kept until the next one comes
            _write(connection, answer)
            if fresh:
                gc.freeze()  # what the first call imported stays: no collection looks through it again
                fresh = False


def main() -> None:
    """First comes where to import from, then calls."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
    try:
        sys.path[:] = unpack(_read(connection, *LENGTH.unpack(_read(connection, LENGTH.size))))
    except EOFError:
        return
    serve(connection)


if __name__ == "__main__":
    main()
