"""The one-machine stack: the Python environment that holds Triton, and what its programs need around them to run."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.errors import StackError

DEFAULT_ENVIRONMENT = Path(".triton")

_OLDEST_GLIBC = (2, 35)
_STUB = "triton_python_backend_stub"

# Asked of the environment's own interpreter: it need not be the one that runs this program.
_PROBE = """
import json, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_path("platlib"),
    "base": sys.base_prefix,
    "folders": [sysconfig.get_config_var(name) for name in ("LIBDIR", "LIBPL")],
    "multiarch": sysconfig.get_config_var("MULTIARCH"),
}))
"""


@dataclass(frozen=True, slots=True)
class TritonEnvironment:
    """Where everything is.

    Attributes:
        version: Python's, such as ``3.11``.
        packages: The environment's site-packages.
        base: Prefix of the Python that the environment was made from.
        libraries: Folders for the dynamic linker.
    """

    version: str
    packages: Path
    base: Path
    libraries: tuple[Path, ...]

    @classmethod
    def find(cls, environment: Path = DEFAULT_ENVIRONMENT) -> TritonEnvironment:
        """Look into a virtual environment.

        Raises:
            StackError: This machine cannot run it, it is not installed, or libpython is missing.
        """
        _check_machine()
        python = environment / "bin" / "python"
        if not python.exists():
            raise StackError(f"The model server is not installed: {environment} is missing. Run: make install")
        command = [str(python), "-I", "-c", _PROBE]
        probe = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own, no shell
        if probe.returncode != 0:
            raise StackError(
                f"The Python of {environment} does not run any more. Run: rm -rf {environment}; make install"
            )
        found = json.loads(probe.stdout)
        packages = Path(found["packages"])
        server = packages / "pytriton" / "tritonserver"
        stub = server / "python_backend_stubs" / found["version"] / _STUB
        for path in (server / "bin" / "tritonserver", stub):
            if not path.exists():
                raise StackError(
                    f"The model server is not complete: {path} is missing. Run: rm -rf {environment}; make install"
                )
        bundled = packages / "nvidia_pytriton.libs"
        base = Path(found["base"])
        folders = [Path(each) for each in found["folders"] if each]
        folders += [base / "lib", Path("/usr/lib") / (found["multiarch"] or ""), Path("/usr/lib64"), Path("/usr/lib")]
        libpython = _libpython_folder(stub, found["version"], [bundled, *folders])
        return cls(found["version"], packages, base, (libpython, bundled))

    @property
    def server(self) -> Path:
        """The tritonserver binary."""
        return self.packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    def assemble_backends(self, folder: Path) -> Path:
        """Copy the Python backend and the stub of this Python version to where Triton finds both."""
        root = self.packages / "pytriton" / "tritonserver"
        target = folder / "python"
        target.mkdir(parents=True)
        for source in (root / "backends" / "python").iterdir():
            if source.is_file():
                shutil.copy(source, target)
        stub = target / _STUB
        shutil.copyfile(root / "python_backend_stubs" / self.version / _STUB, stub)
        stub.chmod(0o700)
        return folder

    def variables(self) -> dict[str, str]:
        """All of Triton's environment. The gateway's own, which may hold secrets, does not reach it."""
        return {
            # The stub's interpreter finds its standard library beside the python3 that PATH names first.
            "PATH": f"{self.base / 'bin'}{os.pathsep}{os.defpath}",
            "PYTHONPATH": str(self.packages),
            "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in self.libraries),
            "LC_ALL": "C.UTF-8",
        }


def _check_machine() -> None:
    machine, (libc, version) = platform.machine(), platform.libc_ver()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if machine != "x86_64" or libc != "glibc" or numbers < _OLDEST_GLIBC:
        oldest = ".".join(str(part) for part in _OLDEST_GLIBC)
        raise StackError(
            f"The model server from wheels needs Linux on x86-64 with glibc {oldest} or newer; here is {machine} with "
            f"{libc or 'another libc'} {version}. Use docker compose, or cordon serve with a Triton elsewhere."
        )


def _libpython_folder(stub: Path, version: str, folders: list[Path]) -> Path:
    """The first folder that holds the libpython that the stub is linked against."""
    wanted = re.search(rb"libpython3[\w.-]*\.so\.1\.0", stub.read_bytes())
    if wanted is None:
        raise StackError(f"{stub} is not linked against libpython as expected. Run: rm -rf .triton; make install")
    name = wanted.group().decode("ascii")
    for folder in folders:
        if (folder / name).exists():
            return folder
    raise StackError(
        f"{name} is missing, the shared library of Python {version}. "
        f"On Debian and Ubuntu: apt install libpython{version}. On Fedora: dnf install python3-libs."
    )
