"""How gunicorn serves the app: ``gunicorn --config app/gunicorn_conf.py 'app:create_app()'``, from the project's root.

Environment: ``GUNICORN_BIND`` (default ``127.0.0.1:8080``; a container sets ``0.0.0.0:8080``) and ``GUNICORN_THREADS``.
See https://docs.gunicorn.org/en/stable/settings.html.
"""

import os
from pathlib import Path

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8080"

# One process holds one model; ONNX Runtime spreads each prediction over the cores. The model is loaded in the worker,
# since its threads would not survive the fork that follows a preload.
workers = 1
worker_class = "gthread"
threads = int(os.environ.get("GUNICORN_THREADS") or 4)
preload_app = False

timeout = 60
graceful_timeout = 30
keepalive = 5

# The worker's heartbeat is a file; on a disk that stalls, a healthy worker would be killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
# No second way in: the control socket would also want a writable home.
control_socket_disable = True

accesslog = "-"
# Neither address, path, query nor referrer: a route's name, set by the app, cannot hold a patient's.
access_log_format = '%(t)s "%(m)s" %({lung_tumor.route}e)s %(s)s %(B)s bytes %(M)s ms'
