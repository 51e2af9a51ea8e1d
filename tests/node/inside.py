"""The first process of a node's own PID, mount and network namespaces.

Why: kubelet, containerd, shims, containers, mounts and network namespaces all have to vanish with the test run, however
it ends. The kernel does that when the first process of a PID namespace dies; so this is that process, and nothing that
the node does outlives it. It also answers DNS in there: a node of the tests must never reach the real internet.

Run by node.py as `unshare --mount --pid --fork --kill-child --mount-proc python -IS inside.py plan.json`. The plan:

    {"mounts": [["tmpfs", target] | ["bind", source, target] | ["overlay", folder of a tmpfs, target]],
     "addresses": {domain name: IPv4 address},       what DNS answers; all else does not exist
     "network": null | {"link", "bridge", "address", "gateway", "pods"},    how it is joined to the network outside
     "stages": [{"wait_for": [path, …], "programs": [{"name", "argv", "env", "log", "outside"}]}]}

A stage starts when its files (sockets) are there; `outside` programs stay in the network namespace of the host.

Must not: import anything but the standard library (it starts before any path is set up), or know Kubernetes.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

_CLONE_NEWNET = 0x40000000
_NO_SUCH_NAME = 3
_TYPE_A = 1
_SECONDS = 60  # for a stage's files


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text())
    host_network = os.open("/proc/self/ns/net", os.O_RDONLY)
    for kind, *paths in plan["mounts"]:
        _mount(kind, *paths)
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    if plan["network"] is not None:
        _join(plan["network"], host_network)
    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.bind(("127.0.0.1", 53))
    threading.Thread(target=_serve_names, args=(answers, plan["addresses"]), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process ignores signals that it does not handle
    names: dict[int, str] = {}
    for stage in plan["stages"]:
        deadline = time.monotonic() + _SECONDS
        while missing := [path for path in stage["wait_for"] if not Path(path).exists()]:
            ended, status = os.waitpid(-1, os.WNOHANG) if names else (0, 0)
            if ended in names:
                print(f"{names[ended]} ended with {os.waitstatus_to_exitcode(status)}", flush=True)
                return 1
            if time.monotonic() > deadline:
                print(f"not there after {_SECONDS} s: {', '.join(missing)}", flush=True)
                return 1
            time.sleep(0.02)
        for program in stage["programs"]:
            names[_start(program, host_network)] = program["name"]
    while True:
        # orphans (shims detach themselves) are adopted here, so any process may be the one that ended
        ended, status = os.wait()
        if ended in names:
            print(f"{names[ended]} ended with {os.waitstatus_to_exitcode(status)}", flush=True)
            return 1


def _mount(kind: str, *paths: str) -> None:
    target = Path(paths[-1])
    if kind == "tmpfs":
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "node", str(target)], check=True)
        return
    if kind == "overlay":  # what is written to the target goes to the folder
        upper, work = Path(paths[0]) / "upper", Path(paths[0]) / "work"
        upper.mkdir()
        work.mkdir()
        options = f"lowerdir={target},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "node", str(target)], check=True)
        return
    source, target = Path(paths[0]), target.resolve()
    if not target.exists():  # what a link pointed to went under a mount before this one
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)


def _join(network: dict[str, str], host_network: int) -> None:
    """A cable to the bridge outside: a default route here, a route to the pods there, and packets go both ways."""
    outside = ["nsenter", f"--net=/proc/self/fd/{host_network}"]
    link, address = network["link"], network["address"]
    for command in (
        [*outside, *("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(os.getpid()))],
        [*outside, *("ip", "link", "set", link, "master", network["bridge"], "up")],
        ["ip", "address", "add", f"{address}/24", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "default", "via", network["gateway"]],
        [*outside, *("ip", "route", "add", network["pods"], "via", address)],
    ):
        subprocess.run(command, check=True, pass_fds=[host_network])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start(program: dict[str, Any], host_network: int) -> int:
    argv = program["argv"]
    if program["outside"]:
        argv = ["nsenter", f"--net=/proc/self/fd/{host_network}", *argv]
    with Path(program["log"]).open("ab") as log:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=program["env"],
            pass_fds=[host_network] if program["outside"] else [],
        ).pid


def _serve_names(answers: socket.socket, addresses: dict[str, str]) -> None:
    """DNS (RFC 1035) for one address per name; every other name does not exist."""
    while True:
        query, sender = answers.recvfrom(4096)
        name, end = _question(query)
        kind = struct.unpack_from("!H", query, end)[0]
        address = addresses.get(name)
        record = b""
        if address is not None and kind == _TYPE_A:
            record = struct.pack("!HHHIH4s", 0xC00C, _TYPE_A, 1, 60, 4, socket.inet_aton(address))
        code = 0 if address is not None else _NO_SUCH_NAME
        head = struct.pack("!2sHHHHH", query[:2], 0x8580 | code, 1, len(record) and 1, 0, 0)
        answers.sendto(head + query[12 : end + 4] + record, sender)


def _question(query: bytes) -> tuple[str, int]:
    """The name in the first question, lower case, and where its type stands."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
        at += 1 + length
    return ".".join(labels), at + 1


if __name__ == "__main__":
    sys.exit(main())
