"""Reading the manifest: one row per file of a source, written by the ingestion.

=================  ====================================================================================================
``path``           relative to the source, printable, unique
``label``          class
``verdict``        accepted, duplicate or quarantined; exactly one file of each picture is accepted
``reason``         why it is not accepted, else empty
``copy_of``        path of the accepted file that shows the same picture, else empty
``format mode``    container and colour mode found in the content
``width height``   pixels
``digest``         SHA-256 of the bytes; empty where the file cannot be read
``pixels``         SHA-256 of the decoded grey values; empty where it cannot be decoded
``picture``        the same for files that show the same picture, 16 hexadecimal digits; empty where not decoded
``group``          the same for whatever must stand on one side of a split: copies, one slice through several windows,
                   slices of one patient
``given_split``    split that the source's own folders name, else empty
``synthetic``      whether the phantom drew it
``split``          training, validation or test; empty where quarantined
``fold``           0 to K - 1, -1 where not accepted
``preparation``    digest of the options that its slice was prepared with
=================  ====================================================================================================
"""

from __future__ import annotations

import pandas as pd

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
QUARANTINED = "quarantined"
"""The values of the column ``verdict``."""

TRAINING, VALIDATION, TEST = "training", "validation", "test"
SPLITS = (TRAINING, VALIDATION, TEST)
"""The values of the column ``split``, in the order in which a model meets them."""


def accepted(manifest: pd.DataFrame, *splits: str) -> pd.DataFrame:
    """Accepted rows, one for each picture, of the named splits only if any is named, with a fresh index."""
    chosen = manifest["verdict"] == ACCEPTED
    if splits:
        chosen &= manifest["split"].isin(splits)
    return manifest[chosen].reset_index(drop=True)
