"""Whether two DICOM files are of one patient, without anyone learning of whom.

The audit alone asks; everything else never looks at these elements. Nothing here keeps, logs or raises what they hold.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from lung_tumor.dicom_elements import Values, is_dicom, read_elements
from lung_tumor.errors import SliceError

_PATIENT_ID, _STUDY = 0x0010_0020, 0x0020_000D
_FILLERS = frozenset("0xX-_.*?")
"""Characters of which nothing but a placeholder is made; 7 or A may well be the seventh or the first patient."""
_NOBODY = frozenset(
    {
        "",
        "0",
        "na",
        "n/a",
        "no id",
        "none",
        "null",
        "anon",
        "anonym",
        "anonymous",
        "anonymized",
        "anonymised",
        "xxx",
        "test",
    }
    | {"deidentified", "de-identified", "removed", "unknown", "patient", "patientid"}
)


@dataclass(frozen=True)
class PatientDigests:
    """Who a slice is of, as far as it must be known: the same or not the same.

    Attributes:
        patient: keyed digest of the Patient ID, 32 hexadecimal digits; None where there is none, or a placeholder.
        study: keyed digest of the Study Instance UID; None where there is none.
    """

    patient: str | None = None
    study: str | None = None


def patient_digests(content: bytes, salt: bytes) -> PatientDigests:
    """Digests that are equal for slices of one patient, and of one study.

    Both are needed: one patient has several studies, and de-identified archives give all patients one Patient ID.

    Args:
        content: a file; of anything but DICOM nothing is known.
        salt: secret key, 16 bytes or more; without it a list of known patients could be tried against the digests.

    Raises:
        ValueError: the salt is too short.
    """
    if len(salt) < 16:
        raise ValueError(f"the salt must be 16 bytes or more, received {len(salt)}")
    if not is_dicom(content):
        return PatientDigests()
    try:
        values = Values(read_elements(content, frozenset((_PATIENT_ID, _STUDY))))
    except SliceError:
        return PatientDigests()
    patient, study = values.text(_PATIENT_ID), values.text(_STUDY)
    nobody = patient.casefold() in _NOBODY or set(patient) <= _FILLERS
    return PatientDigests(
        None if nobody else _digest("patient", patient, salt), _digest("study", study, salt) if study else None
    )


def _digest(kind: str, value: str, salt: bytes) -> str:
    return hmac.new(salt, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]
