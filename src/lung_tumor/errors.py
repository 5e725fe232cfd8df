"""What can go wrong, in the words of the field. Every message names the offending thing and the fix."""


class LungTumorError(Exception):
    """Base of every error this package raises on purpose."""


class SourceError(LungTumorError):
    """A source of slices could not be reached, unpacked or understood."""


class SliceError(LungTumorError):
    """One file is not a slice that can be read."""


class WeightsError(LungTumorError):
    """Pretrained weights are missing or are not the numbers that were pinned."""


class LeakError(LungTumorError):
    """The same picture stands on both sides of a split."""


class StaleError(LungTumorError):
    """Artifacts of two different runs were about to be used together."""


class StoreError(LungTumorError):
    """The feature store cannot be opened."""


class FittingError(LungTumorError):
    """Fitting went astray."""


class ExportError(LungTumorError):
    """An exported model does not answer as the model it was made from."""
