"""The tree of errors and the exit code of each.

TheodoliteError
├── UsageError (2)        the command or a setting cannot be meant as written
├── DataError (3)         what was to be read is missing, damaged or of the wrong shape
├── DivergedError (4)     training produced a number that is not finite
├── ResourceError (5)     memory, disk or a lock stood in the way
└── InterruptedRun        a signal stopped the run after its state was saved
    (130 for SIGINT, 143 for SIGTERM)

An audit that contradicts its plan ends with exit code 1 (``AUDIT_FAILED``): the program worked, a prediction did not.
"""

AUDIT_FAILED = 1


class TheodoliteError(Exception):
    """Base of every error meant for a person: one line that says what, where and what to do."""

    exit_code = 1


class UsageError(TheodoliteError):
    """The command, or a setting, cannot be meant as it was written."""

    exit_code = 2


class DataError(TheodoliteError):
    """Input is missing, damaged, too large or of the wrong shape."""

    exit_code = 3


class DivergedError(TheodoliteError):
    """Training produced a number that is not finite; the last good state was kept."""

    exit_code = 4


class ResourceError(TheodoliteError):
    """Memory, disk, a device or the lock of a run folder stood in the way."""

    exit_code = 5


class InterruptedRun(TheodoliteError):
    """A signal stopped the run; its state was saved first.

    Parameters
    ----------
    message : str
        What a person reads.
    signal_number : int
        The signal; the exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
