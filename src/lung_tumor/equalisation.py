"""Channels of an activation made more alike before they share one 8-bit scale.

An activation has one scale for all its channels, so that a channel of small values would be left with a few steps. As much of
each channel's range as possible is therefore moved from the activation into the next kernel, which changes nothing in
float32, because ReLU and max-pooling let a positive factor through (Nagel et al., ICCV 2019; Xiao et al., ICML 2023).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ranges = npt.NDArray[np.floating[Any]]

_SHARE = 0.7
"""Of a channel's range, on a logarithmic scale, that moves into the next kernel; the rest is that of the kernel's own."""

_FLOOR = 1e-3
"""Smallest range of a channel, as a share of the largest, that is told from nothing."""


def channel_factors(largest: Ranges, reach: Ranges) -> Ranges:
    """What each channel is divided by, and its part of the next kernel multiplied by; their geometric mean is 1.

    Args:
        largest: (channels,) largest value of each channel of the activation, 0 or more.
        reach: (channels,) largest absolute weight that the next convolution gives each channel.
    """
    factors = _floored(largest) ** _SHARE / _floored(reach) ** (1.0 - _SHARE)
    return np.asarray(factors / np.exp(np.log(factors).mean()))


def _floored(ranges: Ranges) -> Ranges:
    return np.maximum(ranges, max(_FLOOR * float(ranges.max()), float(np.finfo(np.float32).tiny)))
