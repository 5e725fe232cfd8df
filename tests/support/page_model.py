"""A real, tiny ONNX classifier that gives every answer of the page, and an app that serves it in this process.

Suspicion grows with the brightness of the prepared slice; the distance to the training slices is how much its two halves
differ, so that a lopsided picture is refused; the evidence is where the picture is bright.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
from flask import Flask
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from werkzeug.serving import WSGIRequestHandler, make_server

from app import create_app
from lung_tumor.carried_figures import carried_figures
from lung_tumor.imaging import PreparationOptions
from lung_tumor.metadata import ModelMetadata
from lung_tumor.novelty import NoveltyRule
from lung_tumor.operating_point import OperatingPoint
from lung_tumor.predictor import METADATA_KEY, Predictor
from lung_tumor.scores import SINGLE
from tests.support.dicom_files import ct_file

CLASSES = ("adenocarcinoma", "normal")
POINT = OperatingPoint("normal", 0.4, 0.3, 0.5, 0.95, 0.96, 0.9, 24, "Chosen on few groups: read it with care.")
RULE = NoveltyRule(threshold=0.1, neighbours=5, acceptance=0.97, references=480, blocks=(4,))

GREYS = {"suspected": 250, "uncertain": 172, "clear": 90}
"""Grey of a body that gets this answer."""


_FIGURES = {
    **dict.fromkeys(SINGLE, 0.25),
    "accuracy": 0.867,
    "roc_auc": 0.929,
    "mcc": None,
    "macro": {"recall": 0.7},
    "per_class": {"normal": {"recall": 0.5, "specificity": 0.893, "precision": None, "f1": None, "slices": 2}},
    "confusion_matrix": [[25, 3], [1, 1]],
    "intervals": {
        "accuracy": {"low": 0.71, "high": 0.96, "draws": 1000, "undefined": 0, "reason": ""},
        "per_class.normal.recall": {"low": 0.0, "high": 1.0, "draws": 1000, "undefined": 0, "reason": ""},
        "roc_auc": {"low": None, "high": None, "draws": 0, "undefined": 1000, "reason": "one class alone"},
    },
    "undefined": ["Matthews correlation: one class was never predicted."],
}
_TEST = {
    "network": _FIGURES,
    "trivial": {**_FIGURES, "accuracy": 0.8, "roc_auc": 0.964, "mcc": 0.1},
    "majority": {**_FIGURES, "accuracy": 0.933, "roc_auc": 0.5, "mcc": None},
    "trivial_reason": "",
    "slices": 30,
    "groups": 28,
    "groups_by_class": {"normal": 2, "adenocarcinoma": 26},
}
_AT_THE_POINT = {
    "sensitivity": (0.93, 0.8, 1.0, 28, 26, 0.95, 1.0),
    "specificity": (0.5, 0.012, 0.988, 2, 2, 0.0, 0.0),
    "referred": (0.067, 0.0, 0.179, 30, 28, 0.1, 0.0),
    "error_when_answered": (0.071, 0.009, 0.226, 28, 26, 0.111, 0.067),
}
"""Value, interval, slices and groups of the network; value without anatomy, and of the most frequent class."""

DELETION = {"evidence": 0.31, "random": 0.04, "slices": 16}
METRICS = carried_figures(
    measured={"test": _TEST, "cross_validation": None},
    operating_point={
        "test": {
            name: {
                "value": value,
                "interval": {"low": low, "high": high, "reason": ""},
                "slices": slices,
                "groups": groups,
            }
            for name, (value, low, high, slices, groups, *_) in _AT_THE_POINT.items()
        },
        "beside": {
            "trivial": {name: {"value": figures[-2]} for name, figures in _AT_THE_POINT.items()},
            "majority": {name: {"value": figures[-1]} for name, figures in _AT_THE_POINT.items()},
            "trivial_reason": "",
            "majority_class": "adenocarcinoma",
        },
    },
    calibration={
        "before": {"calibration_error": 0.081, "log_loss": 0.41},
        "after": {"calibration_error": 0.034, "log_loss": 0.37},
        "cross_validation": None,
    },
    novelty={
        "accepted_test": 0.97,
        "accepted_held_out": 0.96,
        "held_out_groups": {
            "groups": 57,
            "value": 54 / 57,
            "interval": {"low": 0.854, "high": 0.989, "reason": "exact"},
        },
        "foreign": {"natural_pictures": {"pictures": 24, "refused": 23}},
    },
    evidence={"kind": "exact", "phantom": {"pointing": 0.97, "slices": 60}, "deletion": DELETION},
    promotion={"promoted": True, "first": False, "sentence": "It is not worse than the champion."},
)
"""Made-up figures in the shape in which they travel, some of them undefined."""


def page_app(classes: Sequence[str] = CLASSES, **facts: object) -> Flask:
    """The app with the classifier; the last class is the negative one. ``facts`` replace those of its metadata."""
    return create_app(Predictor(page_model(classes, **facts), threads=1))


def page_model(classes: Sequence[str] = CLASSES, **facts: object) -> bytes:
    """The classifier as an ONNX file."""
    count = len(classes)
    # The gain falls from class to class: 20 for the first, -20 for the last, around the grey at which all are equal.
    gains = np.linspace(20.0, -20.0, count, dtype=np.float32)
    halves = np.zeros((1, 1, 1, 224), np.float32)
    halves[..., :112], halves[..., 112:] = 1.0, -1.0
    constants = {
        "scale": np.float32(1 / 255),
        "middle": np.float32(0.38),
        "halves": halves,
        "gain_maps": gains.reshape(1, count, 1, 1),
        "positions": np.float32(1 / 196),
        "axes": np.array([2, 3], np.int64),
    }
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["bright"]),
        helper.make_node("ReduceMean", ["bright"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["places"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Sub", ["places", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "gain_maps"], ["whole"]),
        helper.make_node("Mul", ["whole", "positions"], ["evidence"]),
        helper.make_node("Identity", ["evidence"], ["unusual_evidence"]),
        helper.make_node("ReduceSum", ["evidence", "axes"], ["logits"], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("Mul", ["grey", "halves"], ["signed"]),
        helper.make_node("ReduceMean", ["signed"], ["difference"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Abs", ["difference"], ["distance"]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("pixels", floats, ["n", 224, 224, 3])],
        [
            helper.make_tensor_value_info("probabilities", floats, ["n", count]),
            helper.make_tensor_value_info("evidence", floats, ["n", count, 14, 14]),
            helper.make_tensor_value_info("unusual_evidence", floats, ["n", count, 14, 14]),
            helper.make_tensor_value_info("distance", floats, ["n"]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = ModelMetadata(
        **{
            "classes": tuple(classes),
            "synthetic": True,
            "source": "phantom:600?seed=7",
            "slices": 480,
            "preparation": PreparationOptions(normalise="none", crop_to_body=False),
            "version": "0.1.0",
            "created": "2026-11-23T08:00:00+00:00",
            "operating_point": replace(POINT, negative=classes[-1]),
            "novelty": RULE,
            "evidence": "exact",
            **facts,
        }
    )
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def series(greys: Sequence[int], millimetres: float = 5.0, start: float = -200.0, number: int = 7) -> list[bytes]:
    """DICOM files of series ``number``, one chest for each grey, from ``start`` upwards."""
    return [
        ct_file(
            np.rint(drawn(grey) * (1500.0 / 255.0) - 1350.0).astype(np.int16),
            intercept=-2000.0,
            SeriesInstanceUID=f"1.2.826.0.1.3680043.10.5.{number}",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-150.0, -150.0, start + millimetres * index],
        )
        for index, grey in enumerate(greys)
    ]


def chest(grey: int, lopsided: bool = False) -> bytes:
    """PNG of what :func:`drawn` draws."""
    buffer = io.BytesIO()
    Image.fromarray(drawn(grey, lopsided)).save(buffer, "PNG")
    return buffer.getvalue()


def drawn(grey: int, lopsided: bool = False) -> npt.NDArray[np.uint8]:
    """A body of one grey with two darker lungs, (300, 300); a lopsided one lacks its right half."""
    y, x = np.mgrid[:300, :300] / 300.0
    pixels = np.zeros((300, 300), np.uint8)
    pixels[((x - 0.5) / 0.48) ** 2 + ((y - 0.5) / 0.46) ** 2 < 1] = grey
    for lung in (0.32, 0.68):
        pixels[((x - lung) / 0.12) ** 2 + ((y - 0.5) / 0.25) ** 2 < 1] = grey // 4
    if lopsided:
        pixels[:, 150:] = 0
    return pixels


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        pass


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve an app from a thread of this process; gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, name="page server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
