"""How gunicorn serves the app: ``gunicorn --config app/gunicorn_conf.py 'app:create_app()'``, from the project's root.

Environment: ``GUNICORN_BIND`` (default ``127.0.0.1:8080``; a container sets ``0.0.0.0:8080``) and ``GUNICORN_THREADS``.
See https://docs.gunicorn.org/en/stable/settings.html.
"""

import os
import resource
from pathlib import Path

from app.log_lines import JsonLines
from app.worker import PatientWorker

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8080"

# One process holds one model; ONNX Runtime spreads each prediction over the cores. The model is loaded in the worker,
# since its threads would not survive the fork that follows a preload.
workers = 1
worker_class = PatientWorker
# More than the app lets in at a time (MAX_REQUESTS): those beyond are told so at once and wait in no queue.
threads = int(os.environ.get("GUNICORN_THREADS") or 48)
preload_app = False

# Each takes one of the files that this process may have open; where none is left, accepting another ends the worker.
_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
worker_connections = 1000 if _files == resource.RLIM_INFINITY else max(threads, min(1000, _files - 2 * threads))

# Longer than what follows: while a worker ends it shows no sign of life.
timeout = 90
# A whole request: a body of usual size, the time for judging it (REQUEST_SECONDS), and the answer.
graceful_timeout = 75
keepalive = 5

# The worker's heartbeat is a file; on a disk that stalls, a healthy worker would be killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# No second way in: the control socket would also want a writable home.
control_socket_disable = True

# The app logs each request itself: neither address, path, query nor referrer, which may hold a patient's name.
accesslog = None
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {
        "app": {"level": "INFO"},
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
    },
}
