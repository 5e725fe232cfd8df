# The served app: Flask, ONNX Runtime and one model. No TensorFlow, no data, no compiler; only the first stage asks a
# package index. Builds with the classic builder and with BuildKit.
ARG BASE=python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements-serve.lock /tmp/
# pip and setuptools build and install; nothing needs them at run time.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --require-hashes --requirement /tmp/requirements-serve.lock \
    && /opt/venv/bin/python -m pip uninstall --yes setuptools pip

# hadolint ignore=DL3006
FROM ${BASE}
COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/lung-tumor
# The package is not installed: Kedro's project root is found from where src/lung_tumor lies.
COPY pyproject.toml ./
COPY conf/base/catalog.yml conf/base/globals.yml conf/base/
COPY src src
COPY app app
# With its SHA-256: another file in its place is not served.
COPY data/06_models/classifier.onnx data/06_models/classifier.onnx.sha256 data/06_models/

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/lung-tumor/src:/srv/lung-tumor \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    DO_NOT_TRACK=1 \
    ORT_DISABLE_TELEMETRY=1 \
    KEDRO_DISABLE_TELEMETRY=1 \
    GUNICORN_BIND=0.0.0.0:8080

RUN python -m compileall -q src app
# A number, so that a host can see that it is not root without this image's user list.
USER 10001:10001
# Asking the app here, as the user that it will run as, means that no image without a usable model is ever tagged, nor one
# with files that only their owner may read.
RUN python -c "from app import create_app; \
answer = create_app().test_client().get('/readyz'); \
print(answer.text); \
raise SystemExit(answer.status_code != 200)"

EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection; \
app = HTTPConnection('127.0.0.1', 8080, timeout=4); \
app.request('GET', '/readyz'); \
raise SystemExit(app.getresponse().status != 200)"]
CMD ["gunicorn", "--config", "app/gunicorn_conf.py", "app:create_app()"]

ARG VERSION=unknown
ARG REVISION=unknown
ARG MODEL_SHA256=unknown
ARG MODEL_SYNTHETIC=unknown
LABEL org.opencontainers.image.title="lung-tumor-detection" \
      org.opencontainers.image.description="Chest-CT slice classifier; a demonstration, not a medical device" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      lung-tumor.model.sha256="${MODEL_SHA256}" \
      lung-tumor.model.synthetic="${MODEL_SYNTHETIC}"
