"""What a processor says that it computes."""

from __future__ import annotations

import os

import pytest

from lung_tumor.processor import multiplies_bfloat16, multiplies_int8, processors, reads_bfloat16, reads_int8

X86 = """processor\t: {number}
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu avx512f avx512_vnni{more}
bugs\t\t: spectre_v1
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd{more}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86.format(number=0, more=""), False),
        (X86.format(number=0, more=" avx512_bf16"), True),
        (X86.format(number=0, more=" amx_bf16 amx_tile"), True),
        (X86.format(number=0, more=" avx512_bf16") + "\n" + X86.format(number=1, more=""), False),
        (X86.format(number=0, more="") + "model name : avx512_bf16\n", False),
        (X86.format(number=0, more=" avx512_bf16x"), False),
        (ARM.format(more=" bf16 i8mm"), True),
        (ARM.format(more=""), False),
        ("", False),
    ],
)
def test_bfloat16_is_read_from_the_flags_of_every_processor(cpuinfo: str, expected: bool) -> None:
    assert reads_bfloat16(cpuinfo) == expected


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (X86.format(number=0, more=""), True),
        (X86.format(number=0, more="").replace("avx512_vnni", "avx_vnni"), True),
        (X86.format(number=0, more="").replace("avx512_vnni", "avx512bw"), False),
        (X86.format(number=0, more="") + "\n" + X86.format(number=1, more="").replace(" avx512_vnni", ""), False),
        (ARM.format(more=" bf16 i8mm"), False),
        ("", False),
    ],
)
def test_multiplication_of_8_bit_integers_is_read_from_the_flags_of_every_processor(
    cpuinfo: str, expected: bool
) -> None:
    assert reads_int8(cpuinfo) == expected


def test_this_machine_is_read_without_a_fault() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)
    assert {multiplies_bfloat16(), multiplies_int8()} <= {True, False}
