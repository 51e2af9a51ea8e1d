"""The command `pullproof` (and `kubectl pullproof`): one module per command, imported when that command runs.

Start-up time is a promise (docs/performance.md), and so is that no input ends in a stack trace: nothing may be imported
here but what `main` needs to say so, not even click, so that Ctrl-C is clean from the first moment on.
"""

from __future__ import annotations

import os
import sys
from typing import Final

COMMANDS: Final = {
    "check": "judge manifests as the webhook would",
    "inspect": "show how image references are read",
    "explain": "show what a check does",
    "diagnose": "say why pods wait for their images",
    "scan": "judge a whole cluster",
    "policy": "explain policies, and test them",
    "serve": "run the admission webhook",
    "controller": "run the elected process that keeps certificates",
    "certs": "show the webhook's certificates, or ask for new ones",
    "completion": "print a shell's completion script",
}
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells have it."""
BROKEN_PIPE: Final = 141
"""128 + SIGPIPE: whoever read the output has gone."""
_FAILED: Final = 2


def main() -> None:
    """The entry point: every error is one line and exit 2, and Ctrl-C is no error's business."""
    try:
        code = _run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        code = BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 the last resort: whatever it is, a user gets one line
        code = _told(error)
    try:
        sys.stdout.flush()
    except OSError:
        # what is still buffered has nowhere to go, and the interpreter would complain about it on its way out
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    from webhook.cli.group import cli

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a locale without `…` must not turn a finding into an error
            stream.reconfigure(errors="backslashreplace")
    called = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119 pathlib costs start-up time
    name = "kubectl pullproof" if called.startswith("kubectl-") else "pullproof"
    done = cli.main(prog_name=name, complete_var="_PULLPROOF_COMPLETE", standalone_mode=False)
    return done if isinstance(done, int) else 0


def _told(error: Exception) -> int:
    """Say what happened in one line on stderr; return the exit status."""
    import click

    from webhook.errors import PullproofError
    from webhook.model.text import printable

    if isinstance(error, click.Abort):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return _FAILED
    if isinstance(error, PullproofError):
        line = f"{error}; {error.fix}" if error.fix else str(error)
    elif isinstance(error, OSError):
        line = (error.strerror or type(error).__name__).lower() + (f": {error.filename}" if error.filename else "")
    elif isinstance(error, MemoryError):
        line = "out of memory"
    else:
        if os.environ.get("PULLPROOF_TRACEBACK"):
            raise error
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f"{os.path.basename(at.tb_frame.f_code.co_filename)}:{at.tb_lineno}" if at is not None else "?"  # noqa: PTH119
        line = f"internal error ({type(error).__name__} at {place}); PULLPROOF_TRACEBACK=1 shows where"
    click.echo(f"pullproof: {printable(line)}", err=True)
    return _FAILED
