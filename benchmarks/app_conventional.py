"""The conventional way to serve a Keras classifier: Flask, the model loaded once, ``model.predict`` on each request."""

from __future__ import annotations

import io
import threading

import numpy as np
from flask import Flask, Response, jsonify, request
from PIL import Image


def create_app() -> Flask:
    """Load a VGG16 with a small head (untrained: only its cost matters) and serve it."""
    import keras

    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3), pooling="avg")
    model = keras.Sequential([base, keras.layers.Dense(2, activation="softmax")])
    model.predict(np.zeros((1, 224, 224, 3), np.float32), verbose=0)
    lock = threading.Lock()
    app = Flask(__name__)

    @app.post("/api/v1/predictions")
    def predict() -> Response:
        picture = Image.open(io.BytesIO(request.files["file"].read())).convert("RGB").resize((224, 224))
        pixels = np.asarray(picture, dtype=np.float32)[np.newaxis] / 255.0
        # Keras does not promise that one model may predict in several threads.
        with lock:
            (row,) = model.predict(pixels, verbose=0)
        return jsonify(probabilities=[float(value) for value in row])

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    return app
