"""The errors that may reach a user: what happened, where, and one thing to do.

Every error that crosses a layer derives from `PullproofError`; whatever else escapes is a defect of ours and is told as
one line, never as a traceback. A message never holds a value from a Secret.
"""


class PullproofError(Exception):
    """Something the user can act on. `str(error)` is one line; `fix` is the one thing to do, or empty."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Malformed(PullproofError):
    """A document whose shape is not Kubernetes': `path` says where (`spec.containers[0].image`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
