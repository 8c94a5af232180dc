"""How a command begins and ends: what it makes of its surroundings, and errors as one line and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jaxreg.config.flagfile import with_flagfiles
from jaxreg.errors import JaxregError, Stopped, one_line
from jaxreg.runs.signals import leaving_in_order

if TYPE_CHECKING:
    from absl import flags as absl_flags

_log = logging.getLogger("jaxreg")


def run(body: Callable[[], int]) -> int:
    """Runs the body of a command and returns its exit code; what went wrong is one line on standard error.

    While the body runs, messages of the library go to standard error, characters that the encoding of an output lacks
    are written as escapes, signals end it in order (`jaxreg.runs.signals`), and figures are drawn without a screen,
    whatever MPLBACKEND says: notebooks hand theirs to the processes that they start.

    Returns:
      What the body returns; 1 for an error that the user can put right, for a file that cannot be used and for a
      standard output that cannot be written; the `exit_code` of `Stopped`; 128 + the number of a signal. A reader that
      closes the pipe of standard output has seen enough: 0, without a word.
    """
    with _surroundings():
        try:
            exit_code = body()
            if sys.stdout is not None:
                sys.stdout.flush()
        except _OutputError as failure:
            _discard_output()
            if isinstance(failure.reason, BrokenPipeError):
                return 0
            return _refuse(f"standard output: could not be written ({failure.reason.strerror})")
        except Stopped as stop:
            _log.warning("%s; go on with: %s", stop, stop.go_on)
            return stop.exit_code
        except KeyboardInterrupt as stop:
            return getattr(stop, "exit_code", 130)
        except JaxregError as error:
            return _refuse(str(error))
        except OSError as error:
            return _refuse(f"{error.filename or 'a file'}: cannot be used ({error.strerror or error})")
        return exit_code


def be_quiet(level: int = logging.WARNING) -> None:
    """From here on the terminal gets messages of this level only; log.txt of a run gets all messages as before."""
    for handler in _log.handlers:
        if isinstance(handler, _ToStandardError):
            handler.setLevel(level)


def words(values: absl_flags.FlagValues, argv: Sequence[str]) -> list[str]:
    """Parses flags, those of flagfiles too, and returns the arguments that are none; `argv` begins with the program.

    Raises:
      JaxregError: an unknown flag, a value that is missing, or one where none may stand; a flagfile that is none.
    """
    from absl import flags as absl_flags

    try:
        return list(values([*argv[:1], *with_flagfiles(argv[1:])])[1:])
    except absl_flags.UnrecognizedFlagError as error:
        nearest = difflib.get_close_matches(error.flagname, list(values), n=1)
        hint = f"did you mean --{nearest[0]}?" if nearest else "see --help"
        raise JaxregError(f"--{error.flagname}: no such flag; {hint}") from None
    except absl_flags.Error as error:
        missing = str(error).removeprefix("Missing value for flag ")
        words = f"{missing}: needs a value" if missing != str(error) else str(error).removeprefix("flag ")
        raise JaxregError(words) from None
    except ValueError as error:  # absl, of --noreport=true: "--noreport=true does not take an argument"
        raise JaxregError(f"{str(error).split()[0]}: takes no value; leave it out") from None


def switch(name: str, default: bool, help: str, **options: Any) -> absl_flags.BooleanFlag:
    """A flag that is on or off: `--name`, `--noname`, `--name=true`."""
    from absl import flags as absl_flags

    class Parser(absl_flags.BooleanParser):
        def parse(self, argument: Any) -> bool:
            try:
                return bool(super().parse(argument))
            except (TypeError, ValueError):
                raise ValueError("must be true or false") from None

    flag = absl_flags.BooleanFlag(name, default, help, **options)
    flag.parser = Parser()
    return flag


def define_help(values: absl_flags.FlagValues, subject: str | None = None) -> None:
    """The flags that ask for help in one way or another, and for the version."""
    from absl import flags as absl_flags

    for name, short_name, help in [
        ("help", "?", "Show this help, all flags."),
        ("helpshort", "h", "Show a short help."),
        ("version", None, "Show the version of jaxreg."),
    ]:
        absl_flags.DEFINE_flag(switch(name, False, help, short_name=short_name), values, subject)


def answered(values: absl_flags.FlagValues, text: Callable[[], str], short: Callable[[], str] | None = None) -> bool:
    """Whether the flags of `define_help` ask for something, which is then printed: a text, a short one, the version."""
    if values["version"].value:
        from importlib.metadata import version

        print(f"jaxreg {version('jaxreg')}")
    elif values["help"].value or values["helpshort"].value:
        print((short if short and not values["help"].value else text)())
    else:
        return False
    return True


class _OutputError(Exception):
    """Standard output could not be written."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason
        super().__init__(reason)


class _Output:
    """Standard output whose failures can be told from those of other files."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            raise _OutputError(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise _OutputError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _ToStandardError(logging.StreamHandler[Any]):
    """Messages go to what is standard error when they are said: a progress bar takes its place, to print above it."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None: ...


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """Streams, messages, signals and figures as `run` promises them; on leaving, all is as it was."""
    with contextlib.ExitStack() as stack:
        _open_standard_descriptors()
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stack.enter_context(_escaping(stream))
        handler = _ToStandardError()
        stack.enter_context(_messages_to(handler))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
        stack.enter_context(_environment("MPLBACKEND", "agg"))
        stack.enter_context(leaving_in_order())
        if sys.stdout is not None:
            output: Any = _Output(sys.stdout)
            stack.enter_context(contextlib.redirect_stdout(output))
        yield


def _open_standard_descriptors() -> None:
    """Opens those of the descriptors 0 to 2 that are closed: the next file would get one, and what is printed."""
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)


@contextlib.contextmanager
def _escaping(stream: Any) -> Iterator[None]:
    """Characters that the encoding of a stream lacks are written as escapes, such as \\xb1."""
    before = getattr(stream, "errors", None)
    if not hasattr(stream, "reconfigure"):
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            stream.reconfigure(errors=before)


@contextlib.contextmanager
def _messages_to(handler: logging.Handler) -> Iterator[None]:
    """Messages of the library go to this handler alone: other libraries hang handlers of their own on the root logger.

    Matplotlib's, of a configuration folder that cannot be written, are left out.
    """
    matplotlib = logging.getLogger("matplotlib")
    before = _log.level, _log.propagate, matplotlib.level
    _log.setLevel(logging.INFO)
    _log.propagate = False
    _log.addHandler(handler)
    matplotlib.setLevel(logging.ERROR)
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.level, _log.propagate, matplotlib.level = before


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def _discard_output() -> None:
    """What is left in the buffer of standard output goes nowhere, lest Python fails once more on it as it ends."""
    if sys.__stdout__ is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())


def _refuse(line: str) -> int:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(one_line(line), file=sys.stderr)
    return 1
