"""``cordon deid``: policy, key and bounds, from the options, the settings and this machine's own secrets."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr, ValidationError

from gateway.batch.errors import CannotStart
from gateway.batch.job import Plan
from gateway.batch.journal import Terms
from gateway.batch.marks import Marks
from gateway.cli.errors import explain_settings
from gateway.deid.engine import DeidEngine
from gateway.deid.policy import load_policy
from gateway.embedded.errors import StackError
from gateway.embedded.secrets import ensure_secret
from gateway.embedded.state import StateFolder
from gateway.settings import MIN_SECRET_BYTES, DeidSettings, IngestSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOCAL_TENANT = "local"
"""The tenant of the keys that `cordon up` and `cordon demo` issue first."""

PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME|FILE", help="De-identification policy; default: DEID_POLICY")
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        dir_okay=False,
        help="File with the key of the stand-ins; default: DEID_KEY, DEID_KEY_FILE, or this machine's own",
    ),
]
TimeoutOption = Annotated[float, typer.Option(min=1, help="Seconds that one file may take; then it has failed")]

_SHIPPED = Path(__file__).resolve().parents[2] / "policies" / "deid"
_EVERYTHING = 2**40
# On the predict path a caller waits, and a few frames are enough; here whole objects are taken as they are. Memory and
# time of a worker bound what one file can cost.
_WHOLE_OBJECTS = {
    "max_frames": 2**20,
    "max_total_pixels": _EVERYTHING,
    "max_elements": 5_000_000,
    "max_inflated_bytes": 2**30,
}


def make_plan(
    paths: Iterable[Path],
    *,
    policy: str | None,
    key_file: Path | None,
    tenant: str,
    jobs: int | None,
    seconds: float,
    state: Path,
    say: Callable[[str], None] | None,
) -> Plan:
    """What to do, checked as far as can be before a file is read.

    Args:
        paths: The inputs.
        policy: Name or path of a policy; None: that of the settings.
        key_file: File that holds the key; None: that of the settings, else this machine's own.
        tenant: Whose stand-ins are made.
        jobs: Worker processes; None: one a core.
        seconds: Longest that one file may take.
        state: Folder of this machine's secrets.
        say: Told when a key was made; None: nothing leaves, so a key is not made, and without one a passing one does.

    Raises:
        CannotStart: Settings, policy or key do not fit.
    """
    try:
        settings, ingest = DeidSettings(), IngestSettings()
        file = find_policy(policy, settings.policy)
        load_policy(file)  # a bad one is complained of before a key is made
        deid = DeidSettings(key=SecretStr(_key(key_file, settings, state, say)), policy=file)
        engine = DeidEngine.load(deid.policy, deid.key.get_secret_value().encode())
    except (ValidationError, OSError) as error:
        raise CannotStart(explain_settings(error)) from None
    except (ValueError, StackError) as error:
        raise CannotStart(str(error)) from None
    marks = Marks.of(deid.key.get_secret_value().encode(), tenant)
    return Plan(
        paths=tuple(paths),
        deid=deid,
        limits=ingest.model_copy(update=_WHOLE_OBJECTS | {"worker_processes": jobs or 0, "worker_seconds": seconds}),
        tenant=tenant,
        terms=Terms(engine.policy.name, engine.policy_digest, marks.key, marks.tenant),
        marks=marks,
    )


def find_policy(named: str | None, default: Path) -> Path:
    """The file of a policy.

    Args:
        named: A path, or the name of a file beside the default policy or of one that Cordon ships; None: the default.
        default: The settings' policy.

    Raises:
        CannotStart: There is none.
    """
    shipped = _SHIPPED / default.name
    if named is None:
        return default if default.exists() or not shipped.exists() else shipped
    if os.sep in named or named.endswith((".yaml", ".yml")):
        if not Path(named).is_file():
            raise CannotStart(f"There is no policy file {named}")
        return Path(named)
    folders = dict.fromkeys((default.parent, _SHIPPED))
    for folder in folders:
        if (path := folder / f"{named}.yaml").is_file():
            return path
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml") if _is_policy(path)})
    raise CannotStart(f"There is no policy “{named}”. There are: {', '.join(names)}; or name a file: ./mine.yaml")


def _is_policy(path: Path) -> bool:
    try:
        return "profile:" in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _key(file: Path | None, settings: DeidSettings, state: Path, say: Callable[[str], None] | None) -> str:
    """The key from the file, else from the settings, else this machine's own, which is made if there is none."""
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeError) as error:
            raise CannotStart(f"The key file {file} cannot be read: {getattr(error, 'strerror', 'not text')}") from None
        where = str(file)
    else:
        key, where = settings.key.get_secret_value(), "DEID_KEY"
    if file is None and not key:
        folder = StateFolder(state)
        path = folder.secret("DEID_KEY")
        if not path.exists():
            if say is None:
                return secrets.token_urlsafe(MIN_SECRET_BYTES)
            with folder:
                ensure_secret(path)
            say(
                f"A key was made: {path}. Keep it: with another one the same patient gets another pseudonym. "
                "The gateway's own key: --key-file, or DEID_KEY."
            )
        return ensure_secret(path).read_text(encoding="utf-8").strip()
    if len(key.encode()) < MIN_SECRET_BYTES:
        raise CannotStart(
            f"The key in {where} needs {MIN_SECRET_BYTES} bytes or more. To make one: "
            "head -c 48 /dev/urandom | base64 > deid.key; chmod 600 deid.key"
        )
    return key
