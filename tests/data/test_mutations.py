"""The benchmark of damaged videos, on a few hundred of them; and that it would notice what it looks for."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "video_mutations.py"
FINE = {"end": "frames", "frames": 10, "said": 0, "seconds": 0.1, "grown": 1.0}


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("video_mutations", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_hundreds_of_damaged_videos_are_read_or_refused_in_one_line(benchmark):
    outcomes = benchmark.run(range(10_000, 10_400), 2)
    assert [each for each in outcomes if benchmark.bad(each)] == []
    assert {each["end"] for each in outcomes} == {"frames", "refused"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"end": "refused", "frames": 0, "said": 1}, ""),
        ({"frames": 9, "said": 1}, ""),
        ({"frames": 9}, "silently fewer frames"),
        ({"end": "crash, code -11"}, "crash, code -11"),
        ({"end": "ValueError: no"}, "ValueError: no"),
        ({"end": "refused in many lines"}, "refused in many lines"),
        ({"seconds": 11.0}, "11.0 s"),
        ({"grown": 600.0}, "600 MiB"),
    ],
)
def test_every_fault_is_noticed(benchmark, change, words):
    assert benchmark.bad(FINE | change) == words


def test_a_mutation_is_a_function_of_its_number(benchmark):
    files = {"a.mp4": bytes(range(256)) * 8, "b.mkv": bytes(999)}
    assert benchmark.mutated(files, 7) == benchmark.mutated(files, 7)
    assert len({benchmark.mutated(files, number)[1] for number in range(100)}) > 90


def test_a_process_that_ends_is_counted_and_replaced(benchmark, monkeypatch, tmp_path):
    script = tmp_path / "ends.py"
    script.write_text(
        "import json, os, sys\n"
        "for line in sys.stdin:\n"
        "    if line == '1\\n': os.abort()\n"
        f"    print(json.dumps({FINE!r}), flush=True)\n"
    )
    monkeypatch.setattr(benchmark, "__file__", str(script))
    assert [benchmark.bad(each) for each in benchmark.run(range(3), 1)] == ["", "crash, code -6", ""]
