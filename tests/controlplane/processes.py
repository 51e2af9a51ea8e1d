"""Child processes, ports and state folders that go away with the run, however it ends.

Why: a test run is interrupted, killed and crashed every day, and an API server left behind holds half a gigabyte.
Three means, none of which needs us to be alive: the kernel kills each child when its parent dies
(PR_SET_PDEATHSIG), a reserved port is an open socket, and a state folder whose lock nobody holds is removed by the
next run.

Must not: know what it starts (tests/controlplane/controlplane.py and tests/node do).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Run by the child itself before it becomes the program. The parent may have died before prctl: then getppid differs.
_BECOME = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        os._exit(0)
os.execv(sys.argv[2], sys.argv[3:])
"""


@dataclass(frozen=True)
class Process:
    """A running program whose standard output and error go to `log`."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.popen.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.popen.poll()

    def stop(self, *, grace: float = 0) -> None:
        """End it: SIGTERM and up to `grace` seconds to obey, then SIGKILL."""
        if grace > 0:
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(grace)
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def log_tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def spawn(
    name: str, program: Path, arguments: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Process:
    """Start `program`; it is killed when this process ends. Its output is added to `log`.

    It gets a session of its own: Ctrl-C in the terminal reaches us alone, and we stop things in order.
    """
    command = [sys.executable, "-ISc", _BECOME, str(os.getpid()), str(program), name, *arguments]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=None if env is None else dict(env),
            )

    return Process(name, log, _starter(os.getpid(), _network()).submit(start).result())


@functools.cache
def _starter(_pid: int, _network: str) -> ThreadPoolExecutor:
    """The one thread that starts children: the kernel's signal comes when the *thread* that forked ends.

    Per process, because a fork does not take threads along; per network namespace, because a child has its thread's.
    """
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="pullproof-starter")


def _network() -> str:
    """The network namespace of the calling thread, where the system has such (tests/node/network.py)."""
    with contextlib.suppress(OSError):
        return str(Path("/proc/thread-self/ns/net").readlink())
    return ""


def reserve_port(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A free port, ours until the returned socket is closed: nobody else can bind it, and nothing listens on it.

    The program that is to listen there has to set SO_REUSEPORT (`--permit-port-sharing`, `--socket-reuse-port`).
    """
    reserved = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((address, port))
    except OSError:
        reserved.close()
        raise
    return reserved


def port_of(reserved: socket.socket) -> int:
    port: int = reserved.getsockname()[1]
    return port


@dataclass(frozen=True)
class StateFolder:
    """A temporary folder that lives as long as this process holds its lock."""

    path: Path
    lock: IO[str]

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self.lock.close()


def new_state_folder(kind: str) -> StateFolder:
    """A new `pullproof-<kind>-…` folder, after removing those of runs that died."""
    _remove_abandoned(kind)
    # made under another name: between being made and being locked it would look abandoned to others
    made = Path(tempfile.mkdtemp(prefix=f".pullproof-{kind}-"))
    lock = (made / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return StateFolder(made.rename(made.with_name(made.name.removeprefix("."))), lock)


def _remove_abandoned(kind: str) -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"pullproof-{kind}-*"):
        # another user's folder, or one that is being removed right now, is not ours to remove
        with contextlib.suppress(OSError), (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
