import socket
from pathlib import Path

import pytest

from gateway.embedded.errors import StartFailed
from gateway.embedded.state import StateFolder
from gateway.embedded.valkey import Valkey


def ask(path: Path, *words: str) -> bytes:
    parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(f"*{len(words)}\r\n{parts}".encode())
        return connection.recv(4096)


def test_a_private_server_starts_answers_and_stops(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as state:
        valkey = Valkey(state.socket("v.sock"), state.logs / "valkey.log")
        try:
            valkey.wait_ready()
            assert ask(valkey.path, "SET", "k", "v") == b"+OK\r\n"
            assert valkey.url == f"unix://{valkey.path}"
            assert valkey.path.stat().st_mode & 0o777 == 0o700
            # Nothing listens on TCP, nothing is kept on disk.
            assert b"$1\r\n0\r\n" in ask(valkey.path, "CONFIG", "GET", "port")
            assert b"$0\r\n\r\n" in ask(valkey.path, "CONFIG", "GET", "save")
            assert b"noeviction" in ask(valkey.path, "CONFIG", "GET", "maxmemory-policy")
        finally:
            valkey.stop()
        assert not valkey.path.exists()
        assert sorted(path.name for path in (state.path / "run").iterdir()) == []


def test_the_socket_of_a_killed_server_does_not_hinder_the_next(tmp_path: Path) -> None:
    with StateFolder(tmp_path) as state:
        path = state.socket("v.sock")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))
        valkey = Valkey(path, state.logs / "valkey.log")
        try:
            valkey.wait_ready()
        finally:
            valkey.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path / "missing" / "v.sock", tmp_path / "log")
    try:
        with pytest.raises(StartFailed, match="Valkey ended"):
            valkey.wait_ready()
    finally:
        valkey.stop()
