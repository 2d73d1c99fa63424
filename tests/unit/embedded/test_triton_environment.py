import json
import shutil
from pathlib import Path

import pytest

from gateway.embedded import triton_environment
from gateway.embedded.errors import StackError
from gateway.embedded.triton import Ports
from gateway.embedded.triton_environment import TritonEnvironment

STUB = b"\x7fELF ... libpython3.11.so.1.0\x00libstdc++.so.6"


def lay_out(tmp_path: Path, *, stub: bytes = STUB, libpython: bool = True) -> Path:
    """The folders of an installed wheel, with an interpreter that answers the probe as a real one would."""
    packages = tmp_path / "site-packages"
    server = packages / "pytriton" / "tritonserver"
    for path, data in {
        server / "bin" / "tritonserver": b"",
        server / "backends" / "python" / "libtriton_python.so": b"backend",
        server / "python_backend_stubs" / "3.11" / "triton_python_backend_stub": stub,
        packages / "nvidia_pytriton.libs" / "libb64.so": b"",
        tmp_path / "base" / "lib" / ("libpython3.11.so.1.0" if libpython else "nothing"): b"",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    answer = {
        "version": "3.11",
        "packages": str(packages),
        "base": str(tmp_path / "base"),
        "folders": [str(tmp_path / "nowhere")],
        "multiarch": "no-such-machine",
    }
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    python.chmod(0o700)
    return tmp_path / "environment"


def test_everything_is_found(tmp_path: Path) -> None:
    found = TritonEnvironment.find(lay_out(tmp_path))
    packages = tmp_path / "site-packages"
    assert found.version == "3.11"
    assert found.server == packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    variables = found.variables()
    assert variables["LD_LIBRARY_PATH"] == f"{tmp_path}/base/lib:{packages}/nvidia_pytriton.libs"
    assert variables["PYTHONPATH"] == str(packages)
    assert variables["PATH"].startswith(f"{tmp_path}/base/bin:")


def test_a_missing_environment_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make install"):
        TritonEnvironment.find(tmp_path / "none")


def test_a_missing_libpython_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"libpython3\.11\.so\.1\.0 is missing.*apt install libpython3\.11\."):
        TritonEnvironment.find(lay_out(tmp_path, libpython=False))


def test_a_libpython_that_the_wheel_carries_is_enough(tmp_path: Path) -> None:
    environment = lay_out(tmp_path, stub=b"libpython3-419a3a08.13.so.1.0\x00", libpython=False)
    bundled = tmp_path / "site-packages" / "nvidia_pytriton.libs"
    (bundled / "libpython3-419a3a08.13.so.1.0").touch()
    assert TritonEnvironment.find(environment).libraries[0] == bundled


def test_a_python_version_without_a_stub_is_refused(tmp_path: Path) -> None:
    environment = lay_out(tmp_path)
    shutil.rmtree(tmp_path / "site-packages" / "pytriton" / "tritonserver" / "python_backend_stubs")
    with pytest.raises(StackError, match="not complete"):
        TritonEnvironment.find(environment)


def test_an_interpreter_that_is_gone_is_noticed(tmp_path: Path) -> None:
    environment = lay_out(tmp_path)
    (environment / "bin" / "python").write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(StackError, match="does not run"):
        TritonEnvironment.find(environment)


@pytest.mark.parametrize(
    ("machine", "libc"),
    [("aarch64", ("glibc", "2.36")), ("x86_64", ("glibc", "2.34")), ("x86_64", ("", ""))],
)
def test_a_machine_that_cannot_run_it_is_told_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, libc: tuple[str, str]
) -> None:
    monkeypatch.setattr(triton_environment.platform, "machine", lambda: machine)
    monkeypatch.setattr(triton_environment.platform, "libc_ver", lambda: libc)
    with pytest.raises(StackError, match=r"glibc 2\.35.*docker compose"):
        TritonEnvironment.find(lay_out(tmp_path))


def test_the_backend_is_put_together_from_both_places(tmp_path: Path) -> None:
    backends = TritonEnvironment.find(lay_out(tmp_path)).assemble_backends(tmp_path / "backends")
    stub = backends / "python" / "triton_python_backend_stub"
    assert stub.read_bytes() == STUB
    assert stub.stat().st_mode & 0o100
    assert (backends / "python" / "libtriton_python.so").read_bytes() == b"backend"


def test_ports_differ() -> None:
    ports = Ports.free()
    assert len({ports.grpc, ports.http, ports.metrics}) == 3
