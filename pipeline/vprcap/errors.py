"""Every error that vprcap raises on purpose.

    VprcapError
    ├── MissingError        a file, folder, table or column that must exist does not
    ├── InvalidError        a value, table or file that cannot be used as it is
    ├── StaleArtefactError  an artefact that was made by another configuration
    ├── BusyError           another process holds what this one needs
    ├── DependencyError     a package, extra or remote model that is needed and absent
    ├── WorkerError         worker processes died and starting them again leads nowhere
    ├── StorageError        the disk or the file system refused
    └── Interrupted         the run was asked to stop and has saved its work

Each message is one line that says what, which, and what to do; the command line prints it and
exits with 1. Anything else that escapes is a bug and keeps its traceback.
"""


class VprcapError(Exception):
    """Base of all errors of this package."""


class MissingError(VprcapError):
    """A file, folder, table or column that must exist does not."""


class InvalidError(VprcapError):
    """A value, table or file that cannot be used as it is."""


class StaleArtefactError(VprcapError):
    """An artefact that was made by another configuration."""


class BusyError(VprcapError):
    """Another process holds what this one needs."""


class DependencyError(VprcapError):
    """A package, extra or remote model that is needed and absent."""


class StorageError(VprcapError):
    """The disk or the file system refused."""


class WorkerError(VprcapError):
    """Worker processes died, and starting them again leads nowhere."""


class Interrupted(VprcapError):  # noqa: N818 - it is not an error of the user
    """The run was asked to stop and has saved its work."""

    def __init__(self, message: str, exit_code: int = 130) -> None:
        """Take the exit code that shells expect: 128 plus the signal's number."""
        super().__init__(message)
        self.exit_code = exit_code


def first_line(problem: BaseException) -> str:
    """Say what a library's error says, in one line without a full stop."""
    return str(problem).strip().partition("\n")[0].rstrip(".") or type(problem).__name__
