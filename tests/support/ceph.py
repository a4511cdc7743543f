"""A throw-away Ceph with RadosGW on loopback: one monitor, one manager, one object daemon, one gateway, cephx on."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mgr", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")

UP_WITHIN_S = 120.0

LONGEST_FOLDER = 60
"""Characters: a Unix socket's whole path has to stay below 108."""

_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file = {folder}/$name.pid
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
mon max pg per osd = 1000
mon warn on pool no redundancy = false
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
[mon.a]
mon data = {folder}/mon
[mgr.x]
mgr data = {folder}/mgr
[osd.0]
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore fsck on mount = false
osd memory target = 1073741824
[client.rgw.a]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{http}
rgw thread pool size = 32
rgw dynamic resharding = false
"""

_CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *", "mds": "allow *"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
    "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
    "client.rgw.a": {"mon": "allow rw", "osd": "allow rwx", "mgr": "allow rw"},
}


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A serving RadosGW with one user."""

    endpoint: str
    access_key: str
    secret_key: str


def missing_programs() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]


@contextmanager
def ceph_with_radosgw(access_key: str, secret_key: str) -> Iterator[Gateway]:
    """Start it in a short-named temporary folder, and leave neither process nor file behind.

    Raises:
        AssertionError: a part of it did not come up; the message holds the end of the logs.
    """
    folder = Path(tempfile.mkdtemp(prefix="cs-"))
    assert len(str(folder)) <= LONGEST_FOLDER, f"the temporary folder's name is too long for Ceph: {folder}"
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        cluster = _Cluster(folder, stack)
        try:
            cluster.start_monitor()
            cluster.start_daemon("ceph-mgr", "-i", "x")
            cluster.start_osd()
            endpoint = cluster.start_gateway()
            cluster.run(
                "radosgw-admin", "user", "create", "--uid=callsheet", "--display-name=callsheet",
                f"--access-key={access_key}", f"--secret-key={secret_key}",
            )  # fmt: skip
        except (AssertionError, subprocess.SubprocessError) as error:
            raise AssertionError(f"Ceph did not come up: {error}\n{cluster.logs()}") from error
        yield Gateway(endpoint=endpoint, access_key=access_key, secret_key=secret_key)


class _Cluster:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        v2, v1, self._http = _free_ports(3)
        self._fsid = str(uuid.uuid4())
        self._addresses = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
        for name in ("mon", "mgr", "osd", "rgw"):
            (folder / name).mkdir()
        text = _CONF.format(fsid=self._fsid, v2=v2, v1=v1, http=self._http, folder=folder)
        (folder / "ceph.conf").write_text(text, encoding="ascii")

    def run(self, program: str, *arguments: str) -> str:
        command = (
            (program, *arguments) if program.endswith("tool") else (program, "-c", self._path("ceph.conf"), *arguments)
        )
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{program} {arguments[:3]}: {done.stderr[-2000:]}"
        return done.stdout

    def start_daemon(self, program: str, *arguments: str) -> None:
        log = self._stack.enter_context((self._folder / f"{program}.out").open("wb"))
        process = subprocess.Popen(
            (program, "-c", self._path("ceph.conf"), "-f", *arguments),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self._stack.callback(_stop, process)

    def start_monitor(self) -> None:
        keyring, monmap = self._path("keyring"), self._path("monmap")
        for number, (name, capabilities) in enumerate(_CAPABILITIES.items()):
            capability_arguments = [word for item in capabilities.items() for word in ("--cap", *item)]
            create = ["--create-keyring"] if number == 0 else []
            self.run("ceph-authtool", *create, keyring, "--gen-key", "-n", name, *capability_arguments)
        self.run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", self._addresses, monmap)
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)
        self.start_daemon("ceph-mon", "-i", "a")

    def start_osd(self) -> None:
        identity = str(uuid.uuid4())
        assert self.run("ceph", "osd", "new", identity, "0").strip() == "0"
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self.start_daemon("ceph-osd", "-i", "0")
        _wait_for(lambda: json.loads(self.run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1, "the OSD")

    def start_gateway(self) -> str:
        self.start_daemon("radosgw", "-n", "client.rgw.a")
        endpoint = f"http://127.0.0.1:{self._http}"
        _wait_for(lambda: _answers(endpoint), "the gateway")
        return endpoint

    def logs(self) -> str:
        ends = [f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in self._logs()]
        return "\n".join(ends)

    def _logs(self) -> Sequence[Path]:
        return sorted((*self._folder.glob("*.log"), *self._folder.glob("*.out")))

    def _path(self, name: str) -> str:
        return str(self._folder / name)


def _free_ports(count: int) -> list[int]:
    """Held together, so that they differ."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what} was not up within {UP_WITHIN_S:.0f} s"
        time.sleep(0.2)


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
