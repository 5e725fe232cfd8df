"""Kedro pipelines: they wire the library, and hold no logic of their own."""
