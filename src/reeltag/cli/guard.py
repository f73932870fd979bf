"""A command in, the same command out whose every error is one message and an exit code."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer

from reeltag.errors import ReelTagError
from reeltag.progress import console
from reeltag.together import claims

Arguments = ParamSpec("Arguments")


def guarded(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """`command`, with errors told to people; set REELTAG_DEBUG for the traceback."""

    @functools.wraps(command)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ReelTagError as error:
            _stop(error, str(error), error.exit_code)
        except KeyboardInterrupt as error:
            _stop(
                error,
                "stopped. Nothing half-written is left; the same command (train: with --resume) "
                "goes on.",
                1,
            )
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _stop(error, f"{where}{error.strerror or error}. Nothing half-written is left.", 1)

    return run


def _stop(error: BaseException, message: str, code: int) -> None:
    if os.environ.get("REELTAG_DEBUG"):
        raise error
    if claims("error"):  # not once for each of processes that work together
        console.print(f"reeltag: {message}", markup=False, soft_wrap=True)
    raise typer.Exit(code)
