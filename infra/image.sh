#!/usr/bin/env bash
# Builds the image of this commit around data/06_models/classifier.onnx.
#
#   BASE          base image (python:3.11-slim-bookworm)
#   BUILD_ARGS    further arguments of `docker build`, such as `--network host`
#   PYTHON        an interpreter that has this package (python)
set -euo pipefail
cd "$(dirname "$0")/.."

model=data/06_models/classifier.onnx
[ -f "$model" ] || { echo "no served model at $model; make one with \`make run\`" >&2; exit 1; }
[ -f "$model.sha256" ] || { echo "no $model.sha256; \`make run\` writes it with the model" >&2; exit 1; }

revision=$(git rev-parse HEAD)
# The model is not git's; what else enters the image is.
if [ -n "$(git status --porcelain -- Dockerfile .dockerignore requirements-serve.lock pyproject.toml conf/base src app)" ]; then
    revision=$revision-dirty
fi
facts=$(PYTHONPATH=src "${PYTHON:-python}" - "$model" <<'PY'
import sys
from pathlib import Path

import lung_tumor
from lung_tumor.files import require_recorded
from lung_tumor.predictor import Predictor

model = Path(sys.argv[1])
predictor = Predictor(model)
require_recorded(model, predictor.digest)
sys.stdout.write(f"{lung_tumor.__version__} {predictor.digest} {str(predictor.metadata.synthetic).lower()}")
PY
)
read -r version sha256 synthetic <<<"$facts"

# shellcheck disable=SC2086  # BUILD_ARGS is a list of words.
docker build ${BUILD_ARGS:-} \
    --build-arg BASE="${BASE:-python:3.11-slim-bookworm}" \
    --build-arg VERSION="$version" \
    --build-arg REVISION="$revision" \
    --build-arg MODEL_SHA256="$sha256" \
    --build-arg MODEL_SYNTHETIC="$synthetic" \
    --tag lung-tumor-detection:"$revision" \
    --tag lung-tumor-detection:latest .
echo "built lung-tumor-detection:$revision (version $version, model ${sha256:0:12}, synthetic: $synthetic)"
