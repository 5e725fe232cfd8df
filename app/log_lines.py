"""The server's log: one JSON object a line, and nothing in it that could be a patient's."""

from __future__ import annotations

import json
import logging
import threading
import time
import traceback
import warnings
from pathlib import Path


class JsonLines(logging.Formatter):
    """One JSON object a line; what a record brings in ``fields`` stands beside its message.

    Of exceptions only kinds and places are written: what they say may be a patient's.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            entry["exception"] = _traceback(record.exc_info[1])
        return json.dumps(entry)


def _traceback(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    own = f"Traceback: {'; '.join(places)}; {type(error).__name__}"
    return f"{own}. Caused by {_traceback(cause)}" if cause else own


def log_warnings_and_threads() -> None:
    """Let warnings, and what ends a thread, go the same way into the log."""

    def warn(_message: object, category: type[Warning], filename: str, line: int, *_: object) -> None:
        logging.getLogger("py.warnings").warning("%s at %s:%d", category.__name__, Path(filename).name, line)

    def end(args: threading.ExceptHookArgs) -> None:
        if args.exc_value:
            logging.getLogger("threading").error("a thread ended", exc_info=args.exc_value)

    warnings.showwarning = warn  # type: ignore[assignment]
    threading.excepthook = end
