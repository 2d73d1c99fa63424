import stat
import tempfile
from pathlib import Path

import pytest

from gateway.embedded.errors import StackError
from gateway.embedded.secrets import NAMES, ensure_secrets
from gateway.embedded.state import StateFolder


def test_a_second_owner_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state"), pytest.raises(StackError, match="--state"), StateFolder(tmp_path / "state"):
        pass


def test_the_folder_is_free_again_after_its_owner(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state"):
        pass
    with StateFolder(tmp_path / "state"):
        pass


def test_nobody_else_can_look_into_it(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        for folder in (state.path, state.logs, state.secrets, state.samples, state.cache):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="file/state"), StateFolder(tmp_path / "file" / "state"):
        pass


def test_a_socket_lies_in_the_folder_when_its_path_is_short_enough() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, StateFolder(Path(folder)) as state:
        assert state.socket("valkey.sock").parent == state.path / "run"


def test_a_socket_of_a_deep_folder_lies_in_a_private_one_that_is_removed_again(tmp_path: Path) -> None:
    with StateFolder(tmp_path / ("deep" * 30)) as state:
        socket = state.socket("valkey.sock")
        assert len(str(socket)) <= 107
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert state.socket("other.sock").parent == socket.parent
    assert not socket.parent.exists()


def test_secrets_are_made_once(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        first = {name: Path(path).read_text() for name, path in ensure_secrets(state).items()}
        again = {name: Path(path).read_text() for name, path in ensure_secrets(state).items()}
    assert first == again
    assert set(first) == {f"{name}_FILE" for name in NAMES}
    assert len(set(first.values())) == len(NAMES)
    assert all(len(secret.strip()) >= 32 for secret in first.values())


def test_secrets_are_the_owners_alone(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        for path in ensure_secrets(state).values():
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with StateFolder(tmp_path / "state") as state:
        path = Path(ensure_secrets(state)["DEID_KEY_FILE"])
        path.chmod(0o640)
        with pytest.raises(StackError, match="chmod 600"):
            ensure_secrets(state)
