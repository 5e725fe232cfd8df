"""Kedro dataset types that the catalog needs and kedro-datasets lacks.

Each is named in the catalog by its module (``lung_tumor.datasets.onnx_model.OnnxModelDataset``), so that serving loads
nothing but the one it needs.
"""
