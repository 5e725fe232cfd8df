"""What training says of itself, as in ``training_facts.json``."""

from __future__ import annotations

from typing import Any

TRAINING: dict[str, Any] = {
    "features": {
        "computation": {"engine": "mnn", "precision": "float32"},
        "views_computation": {"engine": "onnxruntime", "precision": "int8"},
        "augmentation": {"views": 0},
        "pictures": 18,
        "slices": 18,
    },
    "agreement": {"slices": 4, "share": 1.0, "largest_difference": 0.00028},
    "fine_tuning": None,
}
