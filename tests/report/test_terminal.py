import pytest

from theodolite.kernel.exhibits import Table, Text
from theodolite.kernel.records import Audit, Finding, Measurement, Plan, Prediction
from theodolite.report.terminal import print_examination, print_record

PREDICTION = Prediction(
    name="gap", label="Gap to [bold]the optimum[/bold]", value=1234.0, unit="nats", claim="upper bound", source="s"
)
TABLE = Table(title="Two rows", caption="c", columns=("name", "value"), rows=(("a", 1_000_000), ("b", None)))


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def test_a_plan_shows_values_with_their_kind_and_its_tables(capsys):
    plan = Plan(family="gan", config={}, assumptions=("x is real",), predictions=(PREDICTION,), exhibits=(TABLE,))
    print_record(plan)
    shown = capsys.readouterr().out
    assert "assumed: x is real" in shown
    assert "[bold]the optimum" in shown
    assert "1,234" in shown
    assert "upper bound" in shown
    assert "1,000,000" in shown
    assert "None" not in shown


def test_an_audit_says_the_verdict_first_and_hides_no_warning(capsys):
    finding = Finding(
        prediction=PREDICTION,
        measurement=Measurement(name="gap", value=2000.0, unit="nats", uncertainty=3.0, method="m"),
        verdict="fails",
    )
    audit = Audit(
        family="gan",
        title="A GAN [red]on[/red] digits",
        sentences=("Two digits are missing.",),
        findings=(finding,),
        warnings=("Only [3] samples.",),
        exhibits=(Text(title="words", paragraphs=("p",)),),
    )
    print_record(audit)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].startswith("A GAN [red]on[/red] digits")
    assert lines[1].startswith("Two digits are missing.")
    assert "≤ 1,234" in lines[3]
    assert "2,000.0 ± 3.0" in lines[3]
    assert "✗ fails" in lines[3]
    assert lines[4].startswith("warning: Only [3] samples.")


def test_an_examination_is_a_table_on_a_narrow_terminal(capsys, monkeypatch):
    found = {
        "python": "3.11", "versions": {"torch": "2"}, "system": "Linux", "processors": 2, "threads": 2,
        "memory_bytes": 2**34, "device": "cpu", "device_memory_bytes": 2**34,
        "gflop_per_second": {"float32": 71.6}, "copy_gb_per_second": 8.0,
        "closed_form": {"syrk_float32_one_thread": 3.1e10, "eigh_float64": 5e-10, "read": 8.5e9},
        "bfloat16": [
            {"layer": "Conv3d 3→16", "error": None, "allowed": 0.012, "right": False, "where": "its output"},
            {"layer": "relu", "error": 0.0, "allowed": 0.011, "right": True, "where": ""},
        ],
        "kept": "rates kept in doctor.json",
    }  # fmt: skip
    found["versions"] |= {f"package{number}": "1.0.0" for number in range(20)}
    monkeypatch.setenv("COLUMNS", "80")
    print_examination(found)
    shown = capsys.readouterr().out
    # no label and no version is lost where there is too little room for one line
    assert all(word in shown for word in ("versions", "memory copy", "matrix product, float32", "package19 1.0.0"))
    assert "16 GiB" in shown
    assert "GFLOP/s" in shown
    assert "31 10⁹ multiply-adds/s" in shown
    assert "0.5 ns · d³" in shown
    assert "wrong: its output" in shown
