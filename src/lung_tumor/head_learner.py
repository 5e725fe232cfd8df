"""The head of the network, fitted in NumPy.

It computes what :func:`lung_tumor.network.build` puts after the features (standardise, hidden layers, dropout, logits,
softmax) and learns as Keras would, without Keras's costs, which for a head of this size are a hundred times the arithmetic:
tracing for each model, and milliseconds for each step. Cross-validation and tuning fit hundreds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lung_tumor.features import Activations
from lung_tumor.fitting import SMALLEST_PROBABILITY, Labels, Weights
from lung_tumor.network import STANDARDISE_EPSILON, Moments, NetworkOptions

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.float32]

MOMENTUM, SQUARES, EPSILON = 0.9, 0.999, 1e-7
"""Adam's beta 1, beta 2 and epsilon; Keras's defaults."""


class HeadLearner:
    """A head as a :class:`~lung_tumor.fitting.Learner`. All arithmetic is float32.

    Attributes:
        moments: mean and variance by which features are standardised.
    """

    def __init__(self, moments: Moments, classes: int, options: NetworkOptions, seed: int) -> None:
        """Draw initial weights.

        Kernels are Glorot-uniform (Glorot and Bengio, AISTATS 2010), biases zero: as in Keras, though not its very numbers.

        Args:
            moments: of the training features, from :func:`lung_tumor.network.moments`; decides the number of features.
            classes: number of classes, two or more.
            options: ``hidden_units``, ``dropout`` and ``l2`` are read.
            seed: of the initial weights and of dropout.
        """
        widths = [len(moments.mean), *options.hidden_units, classes]
        self.moments = moments
        self._options = options
        self._seed = seed
        self._steps = 0
        # All weights lie in one array: Adam then takes a dozen passes, not a dozen for every kernel and bias.
        sizes = list(pairwise(widths))
        total = sum((inputs + 1) * outputs for inputs, outputs in sizes)
        self._parameters, self._gradient, self._first, self._second, self._scratch = np.zeros((5, total), np.float32)
        self._layers = _views(self._parameters, sizes)
        self._gradients = _views(self._gradient, sizes)
        rng = np.random.default_rng(seed)
        for kernel, _ in self._layers:
            limit = np.sqrt(6.0 / sum(kernel.shape))
            kernel[:] = rng.uniform(-limit, limit, kernel.shape)
        self._set_scale()

    def prepare(self, values: Activations) -> Activations:
        """One array: the features, each (n, …), flattened, joined along the second axis and standardised."""
        flat = [part.reshape(len(part), -1) for part in values]
        joined = np.subtract(flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1), self._mean, dtype=np.float32)
        joined *= self._scale
        return [joined]

    def step(self, values: Activations, labels: Labels, weights: Weights, rate: float) -> tuple[float, float]:
        """See :meth:`lung_tumor.fitting.Learner.step`."""
        rows = np.arange(len(labels))
        *inputs, logits = self._forward(values[0], dropout=True)
        probabilities = _softmax(logits)
        entropy = -np.log(np.maximum(probabilities[rows, labels], SMALLEST_PROBABILITY))
        correct = np.count_nonzero(probabilities.argmax(axis=1) == labels)
        # Derivative of the cross-entropy with respect to the logits, in place of the probabilities.
        slope = probabilities
        slope[rows, labels] -= 1.0
        slope *= (weights / len(labels))[:, np.newaxis]
        self._backward(inputs, slope)
        self._adam(rate)
        return float(weights @ entropy) / float(weights.sum()), correct / len(labels)

    def predict(self, values: Activations) -> Array:
        """Probabilities, (n, classes) float32, of features as :meth:`prepare` takes them."""
        return _softmax(self._forward(self.prepare(values)[0], dropout=False)[-1])

    def get_weights(self) -> list[Array]:
        """Kernel and bias of each dense layer, in order."""
        return [part.copy() for layer in self._layers for part in layer]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Take the weights from :meth:`get_weights`."""
        own = [part for layer in self._layers for part in layer]
        for part, given in zip(own, weights, strict=True):
            if part.shape != np.shape(given):
                raise ValueError(f"the head's weights have shape {part.shape}, received {np.shape(given)}")
            part[:] = given

    def get_state(self) -> list[npt.NDArray[Any]]:
        """Weights, Adam's two moments, the number of steps done and the standardisation."""
        arrays = (self._parameters, self._first, self._second, *self.moments)
        return [np.array([self._steps]), *(array.copy() for array in arrays)]

    def set_state(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Take the state from :meth:`get_state`."""
        steps, self._parameters[:], self._first[:], self._second[:], mean, variance = state
        self._steps = int(steps[0])
        self.moments = Moments(mean, variance)
        self._set_scale()

    def describe(self) -> str:
        """Kind, options and seed."""
        options = self._options
        return f"head {options.hidden_units} {options.dropout} {options.l2} {self._seed}"

    def to_keras(self, model: keras.Model) -> None:
        """Give weights and standardisation to a network or a head that :mod:`lung_tumor.network` built."""
        model.get_layer("standardise").set_weights(list(self.moments))
        for name, layer in zip(_names(len(self._layers)), self._layers, strict=True):
            model.get_layer(name).set_weights(list(layer))

    @classmethod
    def from_keras(cls, model: keras.Model, seed: int) -> HeadLearner:
        """A learner with the shape, the weights and the standardisation of such a network; ``seed`` is of dropout."""
        layers = {layer.name: layer for layer in model.layers}
        hidden = tuple(layers[name].units for name in layers if name.startswith("hidden"))
        penalty, dropout = float(layers["logits"].kernel_regularizer.l2), float(layers["dropout"].rate)
        options = NetworkOptions(hidden_units=hidden, dropout=dropout, l2=penalty)
        learner = cls(Moments(*layers["standardise"].get_weights()), layers["logits"].units, options, seed)
        learner.set_weights([part for name in _names(len(hidden) + 1) for part in layers[name].get_weights()])
        return learner

    def _set_scale(self) -> None:
        self._mean = self.moments.mean.astype(np.float32)
        self._scale = (1.0 / np.sqrt(self.moments.variance + STANDARDISE_EPSILON)).astype(np.float32)

    def _forward(self, features: Array, *, dropout: bool) -> list[Array]:
        """Input of each dense layer, then the logits."""
        passed = [features]
        last = len(self._layers) - 1
        for number, (kernel, bias) in enumerate(self._layers):
            if number == last and dropout and self._options.dropout:
                passed[-1] = passed[-1] * self._dropout_mask(passed[-1].shape)
            output = passed[-1] @ kernel
            output += bias
            passed.append(output if number == last else np.maximum(output, 0.0, out=output))
        return passed

    def _dropout_mask(self, shape: tuple[int, ...]) -> Array:
        """Zero for what is dropped, 1 / (1 - rate) for the rest, so that the expected sum stays (inverted dropout)."""
        rate = self._options.dropout
        # Seeded by the number of the step: a resumed fit drops what an uninterrupted one would. Sixteen random bits decide
        # on a feature, which is three times as fast as a float and drops the right share to 0.00001.
        count = math.prod(shape)
        bits = np.random.SFC64([self._seed, self._steps]).random_raw(-(-count // 4)).view(np.uint16)[:count]
        return (bits >= round(rate * 2**16)).reshape(shape) * np.float32(1.0 / (1.0 - rate))

    def _backward(self, inputs: list[Array], slope: Array) -> None:
        """Write the gradient of the loss, the penalty included."""
        last = len(self._layers) - 1
        for number in range(last, -1, -1):
            kernel, bias = self._gradients[number]
            np.matmul(inputs[number].T, slope, out=kernel)
            if self._options.l2:
                kernel += np.float32(2.0 * self._options.l2) * self._layers[number][0]
            np.sum(slope, axis=0, out=bias)
            if number:
                slope = slope @ self._layers[number][0].T
                if number == last and self._options.dropout:
                    slope *= np.float32(1.0 / (1.0 - self._options.dropout))
                # Zero where the rectifier was, and where dropout made it so.
                slope *= inputs[number] > 0.0

    def _adam(self, rate: float) -> None:
        """One step of Adam (Kingma and Ba, ICLR 2015), as Keras computes it but for the moments' scale.

        Both moments are kept as sums, without their factors 1 - beta, which :data:`EPSILON` and the rate take up: three
        passes fewer.
        """
        self._steps += 1
        unbiased = np.sqrt(1.0 - SQUARES**self._steps) / (1.0 - MOMENTUM**self._steps)
        root = np.sqrt(1.0 - SQUARES)
        gradient, first, second, scratch = self._gradient, self._first, self._second, self._scratch
        first *= MOMENTUM
        first += gradient
        second *= SQUARES
        second += np.square(gradient, out=scratch)
        np.sqrt(second, out=scratch)
        scratch += EPSILON / root
        np.divide(first, scratch, out=scratch)
        scratch *= rate * unbiased * (1.0 - MOMENTUM) / root
        self._parameters -= scratch


def _views(flat: Array, sizes: Sequence[tuple[int, int]]) -> list[tuple[Array, Array]]:
    """Kernel and bias of each layer inside one array."""
    views, start = [], 0
    for inputs, outputs in sizes:
        middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
        views.append((flat[start:middle].reshape(inputs, outputs), flat[middle:end]))
        start = end
    return views


def _names(layers: int) -> list[str]:
    """Names of the dense layers in :mod:`lung_tumor.network`."""
    return [*(f"hidden{number}" for number in range(1, layers)), "logits"]


def _softmax(logits: Array) -> Array:
    powers: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
