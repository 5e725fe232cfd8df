"""Answers from a served model, with NumPy in and out and no TensorFlow."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

# From 1.32 on ONNX Runtime reports its use to Microsoft, and keeps what it has to report in a file, unless told not to
# before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from lung_tumor.imaging import Pixels, to_network_input
from lung_tumor.metadata import ModelMetadata

METADATA_KEY = "lung_tumor"
"""Key of the JSON text of :class:`ModelMetadata` among an ONNX file's metadata."""


UNREADABLE = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NotImplemented,
    KeyError,
    TypeError,
    ValueError,
)
"""What :class:`Predictor` raises of a file that is no ONNX, a broken one, or a model of another project or version.

ONNX Runtime's errors share no narrower base. Its error while it runs, such as for want of memory, is not among them.
"""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Judged:
    """What a model says of n slices.

    Attributes:
        probabilities: (n, classes), calibrated; each row sums to 1.
        evidence: (n, classes, rows, columns): what each position adds to the class's logit, less the mean of the other
            classes' logits; where the model's evidence is exact, it sums to just that.
        unusual_evidence: the same less the mean map of training slices without disease: what is to be shown.
        distances: (n,) distance to the training slices (:mod:`lung_tumor.novelty`).
    """

    probabilities: Floats
    evidence: Floats
    unusual_evidence: Floats
    distances: Floats


class Predictor:
    """A served classifier. Safe to share between threads: ONNX Runtime's ``run`` is.

    Two sessions hold the model: one of a thread a core for whoever asks alone, one of one thread for those who ask side by
    side. Many at a time are judged faster by a thread each, which waits for no other; one alone is not.

    Args:
        model: the ONNX file or its bytes.
        threads: in place of one a core.

    Attributes:
        metadata: what the model says of itself.
        digest: SHA-256 of the file, hexadecimal: which model this is.

    Raises:
        ValueError: the ONNX file does not carry this project's metadata.
    """

    def __init__(self, model: bytes | Path, threads: int | None = None) -> None:
        # Read once, here, so that the digest is of what is served even where the file is being replaced.
        content = model.read_bytes() if isinstance(model, Path) else model
        self.digest = hashlib.sha256(content).hexdigest()
        self._session = open_session(content, threads, spinning=True, one_arena=True)
        self._crowded = self._session if threads == 1 else open_session(content, 1, one_arena=True)
        found = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in found:
            raise ValueError(f"the ONNX file carries no {METADATA_KEY!r} metadata; export it with `kedro run`")
        self.metadata = ModelMetadata.from_json(found[METADATA_KEY])
        self._input = self._session.get_inputs()[0].name

    def predict(self, prepared: Pixels) -> npt.NDArray[np.float32]:
        """Class probabilities of prepared slices.

        Args:
            prepared: (n, size, size) uint8, 0 to 255, made by :func:`lung_tumor.imaging.prepare` with
                ``self.metadata.preparation``.

        Returns:
            (n, classes) float32; each row sums to 1, columns as in ``self.metadata.classes``.
        """
        (probabilities,) = self._session.run(["probabilities"], {self._input: to_network_input(prepared)})
        return np.asarray(probabilities, dtype=np.float32)

    def judge(self, prepared: Pixels, crowded: bool = False) -> Judged:
        """All that the model says of prepared slices, (n, size, size) uint8, as :meth:`predict` takes them.

        Args:
            prepared: slices.
            crowded: whether others are judged at the same time; one thread is taken then.
        """
        names = ["probabilities", "evidence", "unusual_evidence", "distance"]
        session = self._crowded if crowded else self._session
        found = session.run(names, {self._input: to_network_input(prepared)})
        return Judged(*(np.asarray(values, dtype=np.float32) for values in found))


def open_session(
    content: bytes, threads: int | None = None, *, spinning: bool = False, one_arena: bool = False
) -> ort.InferenceSession:
    """Make ready to run a serialised ONNX model on the processor.

    Args:
        content: the model.
        threads: one a core by default.
        spinning: whether threads that wait for the next layer of a run keep their cores; up to a third faster. Between runs
            they never do: whoever prepares slices then has the cores.
        one_arena: whether activations are kept in memory that all such sessions of the process share, and that stays with
            the process when they are gone.
    """
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if one_arena:
        _share_one_arena()
        settings.add_session_config_entry("session.use_env_allocators", "1")
        # Patterns would hold the memory of a whole run at a time, beside what other runs left free.
        settings.enable_mem_pattern = False
    if threads is not None:
        settings.intra_op_num_threads = threads
    return ort.InferenceSession(content, settings, providers=["CPUExecutionProvider"])


@cache
def _share_one_arena() -> None:
    """Register the arena; it grows by what is asked for, where by default it would double."""
    information = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(information, ort.OrtArenaCfg({"arena_extend_strategy": 1}))
