"""Every error ReelTag raises on purpose; a caller catches `ReelTagError` and shows `str(error)`.

    ReelTagError                 exit code 1: it failed, and the message says what to do
    ├── InputError               exit code 2: something given to us cannot be used
    │   ├── DatasetError         a dataset folder, split or feature that is absent or damaged
    │   ├── RowError             one row of a source file (names file, row and column)
    │   ├── ConfigError          a setting that does not exist or has an impossible value
    │   ├── MissingFeatureError  a model needs a feature the dataset lacks
    │   └── UnsafeFileError      a file that tries to make us run code
    ├── OverloadedError          the service has enough to do; says when to ask again
    ├── DeadlineError            a request was not answered in its time
    ├── ClipError                a clip that cannot be decoded, with the reason
    ├── MissingExtraError        an optional library is absent; names the pip command
    ├── RunError                 a run folder that is absent, damaged or of another kind
    ├── ConflictError            something of that name is stored already, and is different
    ├── WriteError               the disk did not take a file; also an `OSError`
    └── StoreError               the service's database does not answer, or refuses

Messages follow one rule: what we got, what we expected, what to do.
"""

from __future__ import annotations

from pathlib import Path


class ReelTagError(Exception):
    """Base of every error ReelTag raises on purpose."""

    exit_code = 1


class InputError(ReelTagError):
    """Something given to us (an argument, a file, a row) cannot be used."""

    exit_code = 2


class DatasetError(InputError):
    """A dataset folder, split or feature that is absent, damaged or of a newer format."""


class RowError(InputError):
    """One row of a source file cannot be read.

    `row` counts from 1 as an editor's line numbers do where the source has lines.
    """

    def __init__(self, file: Path | str, row: int | None, column: str | None, message: str) -> None:
        self.file, self.row, self.column = Path(file), row, column
        place = str(file)
        if row is not None:
            place += f", row {row}"
        if column is not None:
            place += f", column {column!r}"
        super().__init__(f"{place}: {message}")


class ConfigError(InputError):
    """A setting that does not exist or whose value is impossible."""


class MissingFeatureError(InputError):
    """A model needs a feature the dataset lacks."""


class UnsafeFileError(InputError):
    """A file that would run code or reach outside its folder if it were trusted."""


class OverloadedError(ReelTagError):
    """The service has as much to do as it may have; ask again in `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"{message} Ask again in {retry_after} s.")


class DeadlineError(ReelTagError):
    """A request was not answered in the time it has, and is dropped."""


class ClipError(ReelTagError):
    """A clip that cannot be decoded. `reason` is one short sentence for people."""

    def __init__(self, clip: Path | str, reason: str) -> None:
        self.clip, self.reason = Path(clip), reason
        super().__init__(f"{clip}: {reason}")


class MissingExtraError(ReelTagError):
    """An optional library is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed. Run: pip install 'reeltag[{extra}]'")


class RunError(ReelTagError):
    """A run folder that is absent, damaged or was made for something else."""

    exit_code = 2


class ConflictError(ReelTagError):
    """Something of that name is stored already, and is different."""


class WriteError(ReelTagError, OSError):
    """The disk did not take `file`: it is full, broken, or may not be written."""

    def __init__(self, file: Path | str, reason: str, code: int | None = None) -> None:
        self.file, self.reason = Path(file), reason
        super().__init__(
            f"{file} could not be written: {reason}. Nothing half-written is left. "
            "Make room on its disk, or see that it may be written and works; then give the same "
            "command again (train: with --resume)."
        )
        self.errno = code


class StoreError(ReelTagError):
    """The service's database does not answer, is damaged or full, or may not be written."""
