#!/usr/bin/env bash
# Asks a running app whether it is ready and for one prediction, and looks at what it says.
#
#   URL     where the app answers (http://127.0.0.1:8080)
#   SLICE   a picture of a chest-CT slice (a drawing made here)
set -euo pipefail

url=${URL:-http://127.0.0.1:8080}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

slice=${SLICE:-}
if [ -z "$slice" ]; then
    slice=$folder/drawing.png
    # A body, two lungs and a spine as ellipses: enough to be read as a picture, with nothing but Python's library.
    python3 - "$slice" <<'PY'
import struct
import sys
import zlib

SIDE = 256
ELLIPSES = [  # centre x, centre y, half width, half height, grey
    (128, 128, 112, 84, 150),
    (78, 122, 38, 56, 22),
    (178, 122, 38, 56, 22),
    (128, 184, 15, 15, 230),
]


def grey(x: int, y: int) -> int:
    value = 2
    for centre_x, centre_y, width, height, inside in ELLIPSES:
        if ((x - centre_x) / width) ** 2 + ((y - centre_y) / height) ** 2 <= 1:
            value = inside + (x * 7 + y * 13) % 11
    return value


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


rows = b"".join(b"\0" + bytes(grey(x, y) for x in range(SIDE)) for y in range(SIDE))
with open(sys.argv[1], "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)))
    file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
PY
fi

# A proxy has no part in this: the address is this machine's or the host's own.
ask() { curl --noproxy '*' --silent --show-error "$@"; }

# An app without a model says when to ask again; nobody who looks at a deployment waits that long.
ask --fail --max-time 10 --retry 3 --retry-delay 1 --retry-max-time 15 --retry-connrefused "$url/readyz"
ask --fail-with-body --max-time 30 --form "file=@$slice" --output "$folder/answer.json" "$url/api/v1/predictions" || {
    [ ! -f "$folder/answer.json" ] || cat "$folder/answer.json" >&2
    exit 1
}
python3 - "$folder/answer.json" <<'PY'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    answer = json.load(file)
(prediction,) = answer["predictions"]
shares, said = prediction["probabilities"], prediction["answer"]
# The drawing is no slice that a model should know: to refuse it is as good an answer as any.
if said not in ("suspected", "clear", "uncertain", "refused") or (shares is None) != (said == "refused"):
    sys.exit(f"the answer contradicts itself: {answer}")
if shares is not None:
    if prediction["label"] != max(shares, key=shares.get) or abs(sum(shares.values()) - 1) > 1e-3:
        sys.exit(f"the answer contradicts itself: {answer}")
    if sorted(shares) != sorted(answer["model"]["classes"]):
        sys.exit(f"the answer names other classes than the model: {answer}")
sys.stdout.write(f"{said}: {prediction['headline']} {shares} synthetic={answer['model']['synthetic']}\n")
PY
