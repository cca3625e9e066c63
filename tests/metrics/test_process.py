"""What the system says of this process."""

import mmap
import os
import sys

import pytest

from fastserver.metrics import process


def test_resident_bytes_follow_what_is_used() -> None:
    before = process.read_resident_bytes()
    with mmap.mmap(-1, 32 << 20) as memory:
        for start in range(0, len(memory), mmap.PAGESIZE):
            memory[start] = 1
        grown = process.read_resident_bytes() - before
    assert (16 << 20) < grown < (64 << 20)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="compares with /proc")
def test_resident_bytes_are_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/proc/self/status") as status:
        (kib,) = [int(line.split()[1]) for line in status if line.startswith("VmRSS:")]
    assert process.read_resident_bytes() == pytest.approx(kib * 1024, rel=0.2)


def test_resident_bytes_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    now = process.read_resident_bytes()

    def refuse(*args: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert now * 0.8 < process.read_resident_bytes() < 64 << 30


def test_cpu_s_is_the_users_and_the_systems() -> None:
    while os.times().user < 0.1 or os.times().system < 0.05:
        os.stat(".")
    assert process.read_cpu_s() == pytest.approx(sum(os.times()[:2]), abs=0.04)
