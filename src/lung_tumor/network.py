"""VGG16 without its dense layers, and a new head for our classes.

Written against Keras 3 alone. Keras is imported inside the functions, so that browsing pipelines never loads TensorFlow.

The network is one flat functional model::

    pixels -> RGB to BGR, mean-centring -> block1 … block5 -> pooled features of chosen blocks
           -> standardise -> (hidden layers) -> logits -> probabilities

Everything up to the first trainable layer is *frozen* and computed once per slice; :func:`trainable_tail` trains on that.
What crosses from one into the other is named by :class:`Cut`, so that another engine can compute it
(:mod:`lung_tumor.frozen_pass`) and a store can remember it (:mod:`lung_tumor.features`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lung_tumor.options import as_tuple, require_types
from lung_tumor.weights import Tensors

if TYPE_CHECKING:
    import keras

Head = Literal["average", "max", "flatten"]
CutKind = Literal["average", "max", "flatten", "positions"]

BLOCKS: tuple[tuple[int, int], ...] = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and filters of each block: configuration D of Simonyan and Zisserman, ICLR 2015."""

IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean pixel of the training images of VGG16, blue, green, red, 0 to 255."""

STANDARDISE_EPSILON = 1e-6
"""Smallest variance a feature is given, and what is added to it: a dead feature must not be divided by nothing."""


@dataclass(frozen=True)
class NetworkOptions:
    """``params:model_prep.network``.

    Attributes:
        frozen_blocks: number of first blocks whose weights stay ImageNet's, 0 to 5; 5 trains the head alone, 4 also block5.
        feature_blocks: blocks whose last activation the head reads, of 1 to 5. Where all of them are frozen and later
            blocks train, the head reads block5 too (:attr:`read_blocks`): what trains must be read.
        head: how an activation becomes features: its average or its maximum over all positions, or flattened.
        hidden_units: widths of the head's hidden layers; none makes the head linear.
        dropout: share of features dropped while training, in [0, 1).
        l2: weight penalty of the head's dense layers.
    """

    frozen_blocks: int = 5
    feature_blocks: tuple[int, ...] = (4,)
    head: Head = "average"
    hidden_units: tuple[int, ...] = ()
    dropout: float = 0.0
    l2: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "feature_blocks", as_tuple(self.feature_blocks))
        object.__setattr__(self, "hidden_units", as_tuple(self.hidden_units))
        require_types(self, "network")
        object.__setattr__(self, "feature_blocks", tuple(sorted(set(self.feature_blocks))))
        blocks = range(1, len(BLOCKS) + 1)
        if self.frozen_blocks not in (0, *blocks):
            raise ValueError(f"network.frozen_blocks must lie in [0, 5], received {self.frozen_blocks}")
        if not self.feature_blocks or not set(self.feature_blocks) <= set(blocks):
            raise ValueError(
                f"network.feature_blocks must be one or more of {list(blocks)}, received {self.feature_blocks}"
            )
        if self.head not in get_args(Head):
            raise ValueError(f"network.head must be one of {get_args(Head)}, received {self.head!r}")
        if any(units < 1 for units in self.hidden_units):
            raise ValueError(f"network.hidden_units must be positive, received {self.hidden_units}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"network.dropout must lie in [0, 1), received {self.dropout}")
        if self.l2 < 0.0:
            raise ValueError(f"network.l2 must not be negative, received {self.l2}")

    @property
    def read_blocks(self) -> tuple[int, ...]:
        """The blocks that the head reads, from shallow to deep."""
        last = len(BLOCKS)
        unread = max(self.feature_blocks) <= self.frozen_blocks < last
        return (*self.feature_blocks, last) if unread else self.feature_blocks


@dataclass(frozen=True, order=True)
class Cut:
    """One activation of the frozen part; ``str`` gives ``block4 average``.

    Attributes:
        block: block whose last activation it is, after its pooling layer; 0 is the mean-centred input.
        kind: its average or its maximum over all positions, (channels,); flattened, (height * width * channels,); or
            ``positions``, the activation as it is, (height, width, channels).
    """

    block: int
    kind: CutKind

    def __str__(self) -> str:
        return f"block{self.block} {self.kind}"


def build(classes: int, options: NetworkOptions, size: int = 224, seed: int = 0) -> keras.Model:
    """Build the network with untrained weights.

    Args:
        classes: number of classes, two or more.
        options: see :class:`NetworkOptions`.
        size: side of the input, pixels, at least 32.
        seed: seeds the head's initial weights.

    Returns:
        A model from pixels, (n, size, size, 3) float32, 0 to 255, to probabilities, (n, classes) float32.
    """
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    pixels = keras.Input((size, size, 3), name="pixels")
    bgr = keras.ops.flip(pixels, axis=-1)
    activation = layers.Rescaling(1.0, offset=[-mean for mean in IMAGENET_MEAN_BGR], name="mean_centre")(bgr)
    features = []
    for block in range(1, max(options.read_blocks) + 1):
        activation = _block(activation, block, trainable=block > options.frozen_blocks)
        if block in options.read_blocks:
            features.append(_pool(activation, block, options.head))
    joined = layers.Concatenate(name="features")(features) if len(features) > 1 else features[0]
    return keras.Model(pixels, _head(joined, classes, options), name="lung_tumor")


def _block(activation: Any, block: int, *, trainable: bool) -> Any:
    from keras import layers

    convolutions, filters = BLOCKS[block - 1]
    for number in range(1, convolutions + 1):
        name = f"block{block}_conv{number}"
        activation = layers.Conv2D(filters, 3, padding="same", activation="relu", name=name, trainable=trainable)(
            activation
        )
    return layers.MaxPooling2D(2, name=f"block{block}_pool")(activation)


def _pool(activation: Any, block: int, head: Head) -> Any:
    from keras import layers

    pooling = {"average": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D, "flatten": layers.Flatten}
    return pooling[head](name=f"block{block}_features")(activation)


def _head(features: Any, classes: int, options: NetworkOptions) -> Any:
    from keras import layers, regularizers

    # Batch normalisation without scale, offset and training is plain standardisation; fitting fills in the moments.
    values = layers.BatchNormalization(
        center=False, scale=False, epsilon=STANDARDISE_EPSILON, trainable=False, name="standardise"
    )(features)
    penalty = regularizers.L2(options.l2)
    for number, units in enumerate(options.hidden_units, start=1):
        values = layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=f"hidden{number}")(values)
    values = layers.Dropout(options.dropout, name="dropout")(values)
    logits = layers.Dense(classes, kernel_regularizer=penalty, name="logits")(values)
    return layers.Softmax(name="probabilities")(logits)


def load_base(model: keras.Model, tensors: Tensors) -> keras.Model:
    """Give the blocks of ``model`` the pretrained ``tensors`` (see :mod:`lung_tumor.weights`); the head stays as it is."""
    for layer in model.layers:
        if f"{layer.name}/kernel" in tensors:
            layer.set_weights([tensors[f"{layer.name}/kernel"], tensors[f"{layer.name}/bias"]])
    return model


def cuts(model: keras.Model) -> tuple[Cut, ...]:
    """The activations at which training begins: what :func:`frozen_prefix` gives, in its order."""
    return tuple(_named(model, name) for name in _cut(model))


def feature_cuts(model: keras.Model) -> tuple[Cut, ...]:
    """What the head reads, under the weights that the model has."""
    return tuple(_named(model, name) for name in _taps(model))


def every_cut(model: keras.Model) -> tuple[Cut, ...]:
    """All that training reads: the features of the head, and the activation at which trainable blocks begin."""
    return tuple(dict.fromkeys((*feature_cuts(model), *cuts(model))))


def trains_blocks(model: keras.Model) -> bool:
    """Whether more than the head trains."""
    return bool(_tunable_blocks(model))


def head_options(model: keras.Model) -> NetworkOptions:
    """The options with which the model's head was built; those of its blocks are left at their defaults."""
    hidden = [layer for layer in model.layers if layer.name.startswith("hidden")]
    return NetworkOptions(
        hidden_units=tuple(layer.units for layer in hidden),
        dropout=float(model.get_layer("dropout").rate),
        l2=float(model.get_layer("logits").kernel_regularizer.l2),
    )


def network_options(model: keras.Model) -> NetworkOptions:
    """The options with which a model was built, or others that build the same: blocks that must be read are named."""
    tapped = [_named(model, name) for name in _taps(model)]
    kind = tapped[0].kind
    if kind == "positions":
        raise ValueError("the model was not made by lung_tumor.network.build: its head reads an activation as it is")
    return replace(
        head_options(model),
        frozen_blocks=min(_tunable_blocks(model), default=len(BLOCKS) + 1) - 1,
        feature_blocks=tuple(cut.block for cut in tapped),
        head=kind,
    )


def _named(model: keras.Model, layer: str) -> Cut:
    kinds: dict[str, CutKind] = {"GlobalAveragePooling2D": "average", "GlobalMaxPooling2D": "max", "Flatten": "flatten"}
    return Cut(
        0 if layer == "mean_centre" else int(layer[5]), kinds.get(type(model.get_layer(layer)).__name__, "positions")
    )


def frozen_prefix(model: keras.Model) -> keras.Model:
    """From pixels to the list of activations at which training begins; shares the weights of ``model``.

    :func:`lung_tumor.frozen_pass.frozen_pass` gives the same numbers, and faster.
    """
    import keras

    return keras.Model(model.input, _outputs(model, _cut(model)), name="frozen_prefix")


def trainable_tail(model: keras.Model) -> keras.Model:
    """From what :func:`frozen_prefix` gives to probabilities; shares the weights of ``model``."""
    import keras

    return keras.Model(_outputs(model, _cut(model)), model.output, name="trainable_tail")


def head(model: keras.Model) -> keras.Model:
    """From the features of every tapped block to probabilities; shares the weights of ``model``."""
    import keras

    return keras.Model(_outputs(model, _taps(model)), model.output, name="head")


def _outputs(model: keras.Model, names: list[str]) -> list[Any]:
    return [model.get_layer(name).output for name in names]


def _cut(model: keras.Model) -> list[str]:
    """Names of the layers whose outputs cross from the frozen part into the trainable part."""
    tunable = _tunable_blocks(model)
    if not tunable:
        return _taps(model)
    first = min(tunable)
    frozen_taps = [name for name in _taps(model) if int(name[5]) < first]
    return [*frozen_taps, f"block{first - 1}_pool" if first > 1 else "mean_centre"]


def _taps(model: keras.Model) -> list[str]:
    """Names of the layers that turn a block's activation into features."""
    return [layer.name for layer in model.layers if layer.name.endswith("_features")]


def _tunable_blocks(model: keras.Model) -> set[int]:
    return {int(layer.name[5]) for layer in model.layers if "_conv" in layer.name and layer.trainable}


class Moments(NamedTuple):
    """Mean and variance of every feature, each (d,) float32."""

    mean: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]


def moments(features: Sequence[npt.NDArray[np.float32]]) -> Moments:
    """Mean and variance of features, each array (n, …), flattened and joined along the second axis."""
    flat = [part.reshape(len(part), -1) for part in features]
    means = [part.mean(axis=0, dtype=np.float64).astype(np.float32) for part in flat]
    variances = [np.square(part - mean).mean(axis=0, dtype=np.float64) for part, mean in zip(flat, means, strict=True)]
    variance = np.maximum(np.concatenate(variances), STANDARDISE_EPSILON).astype(np.float32)
    return Moments(np.concatenate(means), variance)


def set_standardisation(model: keras.Model, features: Sequence[npt.NDArray[np.float32]]) -> None:
    """Set the mean and variance of the ``standardise`` layer to the :func:`moments` of training features."""
    model.get_layer("standardise").set_weights(list(moments(features)))


def summarise(model: keras.Model) -> str:
    """Architecture as text: one line a layer, then the numbers of parameters, trainable and frozen."""
    lines = [f"{'layer':<16} {'kind':<24} {'output':<22} {'parameters':>12}  trains", "-" * 86]
    for layer in model.layers:
        shape = " x ".join("n" if side is None else str(side) for side in layer.output.shape)
        trains = "yes" if layer.trainable_weights else ("frozen" if layer.weights else "")
        kind = type(layer).__name__
        lines.append(f"{layer.name:<16} {kind:<24} {shape:<22} {layer.count_params():>12,}  {trains}".rstrip())
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    total = model.count_params()
    lines += ["-" * 86, f"{total:,} parameters: {trainable:,} trainable, {total - trainable:,} frozen"]
    return "\n".join(lines) + "\n"
