"""What is told to the matrix library, by what Linux says of the processor."""

import pytest

from maskrcnn_edu.processor import prepare_processor

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n"
OLD_AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse4_2 avx bmi2\n"
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n"


@pytest.mark.parametrize(("facts", "told"), [(AMD, "5"), (OLD_AMD, None), (INTEL, None)])
def test_an_amd_processor_with_avx2_is_told_so(tmp_path, monkeypatch, facts, told):
    (tmp_path / "cpuinfo").write_text(facts)
    environment = {}
    monkeypatch.setattr("os.environ", environment)
    prepare_processor(tmp_path / "cpuinfo")
    assert environment == ({"MKL_DEBUG_CPU_TYPE": told} if told else {})


def test_what_the_user_has_set_stays(tmp_path, monkeypatch):
    environment = {"MKL_DEBUG_CPU_TYPE": "0"}
    monkeypatch.setattr("os.environ", environment)
    (tmp_path / "cpuinfo").write_text(AMD)
    prepare_processor(tmp_path / "cpuinfo")
    assert environment == {"MKL_DEBUG_CPU_TYPE": "0"}


def test_other_systems_are_left_alone(tmp_path, monkeypatch):
    environment = {}
    monkeypatch.setattr("os.environ", environment)
    prepare_processor(tmp_path / "there is no such file")
    assert environment == {}
