"""Bodies never reach a disk: every file that any of the gateway's processes opens is traced."""

from __future__ import annotations

import os
import re
import shutil
import signal

import pytest

from tests.support import canaries
from tests.support.gateway import running_gateway
from tests.support.processes import descendants, within

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

OPENED_FOR_WRITING = re.compile(r'(?:open|openat|creat|openat2)\((?:AT_FDCWD, |\d+[^,]*, )?"([^"]*)", ([^)]*)\) = \d+')
ALLOWED = re.compile(
    r"^(?:/dev/(?:null|tty)|/proc/self/.*|.*/cordon\.db(?:-wal|-shm|-journal)?|.*/checkpoints\.log|.*\.pyc(?:\.\d+)?)$"
)


def test_no_process_opens_a_file_for_a_body(stack, tmp_path):
    folder = tmp_path / "gateway"
    trace = tmp_path / "trace"
    watched = "open,openat,openat2,creat,memfd_create,truncate,rename,renameat,renameat2,link,linkat,mknod,mknodat"
    prefix = ("strace", "-f", "-qq", "-s", "256", "-e", f"trace={watched}", "-e", "signal=none", "-o", str(trace))
    octets = {"Content-Type": "application/octet-stream"}
    bodies = [canaries.dicom(), canaries.dicom(frames=3, size=512), canaries.jpeg(2000), canaries.png(2000)]
    with running_gateway(stack, folder, prefix=prefix) as gateway, gateway.client() as client:
        marker = trace.stat().st_size
        for planted in bodies:
            raw = client.post("/v1/predict", content=planted.body, headers=octets)
            form = client.post("/v1/predict", files={"image": (canaries.MARK, planted.body, octets["Content-Type"])})
            assert (raw.status_code, form.status_code) == (200, 200), (raw.text, form.text)
        for planted in (canaries.dicom(document=False, size=512), canaries.jpeg(2000), canaries.png(2000)):
            given_back = client.post("/v1/deidentify", content=planted.body, headers=octets)
            assert given_back.status_code == 200, given_back.text
        # strace keeps a signal to itself; its first child is the gateway, whose end is watched too
        os.kill(min(descendants(gateway.child.pid)), signal.SIGTERM)
        assert within(20, lambda: gateway.child.exited)
    with trace.open("rb") as file:
        file.seek(marker)
        lines = file.read().decode(errors="replace").splitlines()

    written = [
        match[1]
        for line in lines
        if (match := OPENED_FOR_WRITING.search(line)) and re.search(r"O_(?:WRONLY|RDWR|CREAT|TMPFILE)", match[2])
    ]
    assert [path for path in written if not ALLOWED.match(path)] == []
    assert not [line for line in lines if "memfd_create" in line or "O_TMPFILE" in line]

    # And nothing that was written holds a marked value.
    for path in folder.rglob("*"):
        if path.is_file():
            for planted in bodies:
                assert canaries.found(planted.canaries, path.read_bytes()) == [], path.name
