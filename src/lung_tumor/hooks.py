"""What kedro-mlflow does not track by itself. MLflow is imported when a pipeline runs, not when it is looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

from kedro.framework.hooks import hook_impl


class TrackingHooks:
    """Logs one column per option of typed parameters, and tags each run with the origin of its slices."""

    @hook_impl
    def before_node_run(self, inputs: dict[str, Any]) -> None:
        """Log the fields of every options dataclass that a node is about to receive."""
        import mlflow

        if mlflow.active_run() is None:
            return
        for name, value in inputs.items():
            if name.startswith("params:") and dataclasses.is_dataclass(value) and not isinstance(value, type):
                prefix = name.removeprefix("params:")
                options = dataclasses.asdict(value).items()
                mlflow.log_params({f"{prefix}.{option}": chosen for option, chosen in options})

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Tag the run when the provenance of its slices is read."""
        self._tag(dataset_name, data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Tag the run when the provenance of its slices is written."""
        self._tag(dataset_name, data)

    @staticmethod
    def _tag(dataset_name: str, data: Any) -> None:
        import mlflow

        if dataset_name == "provenance" and mlflow.active_run() is not None:
            mlflow.set_tags({"synthetic": str(data["synthetic"]).lower(), "slices_from": data["source"]})
