"""Blocks and head together, fitted by Keras."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from lung_tumor.features import Activations
from lung_tumor.fitting import Labels, Weights

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.float32]
Precision = Literal["float32", "bfloat16", "float16"]

BATCH = 32
"""Slices that are predicted at a time."""


class TailLearner:
    """The trainable tail of a network as a :class:`~lung_tumor.fitting.Learner`.

    It works on a copy: the network changes when :meth:`to_keras` is called. Dropout and weight penalty are the network's own.
    """

    def __init__(self, tail: keras.Model, seed: int, precision: Precision = "float32") -> None:
        """Copy ``tail`` with its weights.

        Args:
            tail: from :func:`lung_tumor.network.trainable_tail`, or any model from activations to probabilities.
            seed: of dropout.
            precision: what convolutions compute in; weights, features, head and loss are float32 in any case.
        """
        import keras

        self._precision = precision
        self._model = keras.models.clone_model(tail, clone_function=lambda layer: _copy(layer, precision))
        self._model.set_weights(tail.get_weights())
        optimizer = _adam()
        if precision == "float16":
            # Small gradients would vanish in five bits of exponent.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self._model.compile(
            optimizer,
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            weighted_metrics=[keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy")],
        )
        optimizer.build(self._model.trainable_variables)
        self._random = [layer.seed_generator.state for layer in self._model.layers if hasattr(layer, "seed_generator")]
        for state in self._random:
            state.assign(np.array([seed, 0]))

    def prepare(self, values: Activations) -> Activations:
        """Nothing to do."""
        return values

    def step(self, values: Activations, labels: Labels, weights: Weights, rate: float) -> tuple[float, float]:
        """See :meth:`lung_tumor.fitting.Learner.step`."""
        self._model.optimizer.learning_rate = rate
        told = self._model.train_on_batch(values, labels, sample_weight=weights, return_dict=True)
        return float(told["cross_entropy"]), float(told["accuracy"])

    def predict(self, values: Activations) -> Array:
        """Probabilities, (n, classes) float32."""
        starts = range(0, len(values[0]), BATCH)
        parts = [self._model.predict_on_batch([part[start : start + BATCH] for part in values]) for start in starts]
        return np.concatenate([np.asarray(part, np.float32) for part in parts])

    def get_weights(self) -> list[Array]:
        """Copies of the trainable weights, in the model's order."""
        return _read(self._model.trainable_variables)

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Take the weights from :meth:`get_weights`."""
        _write(self._model.trainable_variables, weights)

    def get_state(self) -> list[npt.NDArray[Any]]:
        """All weights, Adam's moments and count of steps, and dropout's random state."""
        return _read(self._variables())

    def set_state(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Take the state from :meth:`get_state`."""
        _write(self._variables(), state)

    def describe(self) -> str:
        """Layers with their settings, precision and backend."""
        import keras

        # Inputs are left out: Keras numbers their tensors anew in every process.
        layers = [layer.get_config() for layer in self._model.layers if not isinstance(layer, keras.layers.InputLayer)]
        return f"tail {self._precision} {keras.backend.backend()} {json.dumps(layers, sort_keys=True, default=str)}"

    def to_keras(self, tail: keras.Model) -> None:
        """Give all weights to the model this one was copied from, or to another of the same shape."""
        tail.set_weights(self._model.get_weights())

    def _variables(self) -> list[Any]:
        return [*self._model.weights, *self._model.optimizer.variables, *self._random]


def _adam() -> keras.optimizers.Optimizer:
    import keras

    class Adam(keras.optimizers.Adam):
        """Keras's, but for the sum of gradients over devices, of which there is one.

        TensorFlow registers a gradient of that sum for good, and with it the graph of the step and all weights in it: a hundred
        megabytes for each fold of each trial of a search.
        """

        def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
            return grads_and_vars

    return Adam()


def _copy(layer: keras.Layer, precision: Precision) -> keras.Layer:
    config = layer.get_config()
    if precision != "float32" and ("_conv" in layer.name or layer.name.endswith("_pool")):
        config["dtype"] = f"mixed_{precision}"
    return type(layer).from_config(config)


def _read(variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
    import keras

    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _write(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
