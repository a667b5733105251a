import sys

from theodolite.engine.progress import progress


def test_without_a_terminal_the_last_step_is_a_line_on_stderr(capsys):
    with progress("learning", 5, 7) as report:
        report(6, 2.0)
        report(7, 1.0)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("learning: step 7 of 7, loss 1, ")
    assert captured.err.count("\n") == 1


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    with progress("learning", 0, 2) as report:
        report(2, 0.5)
    assert "2/2" in capsys.readouterr().err


def test_other_processes_stay_silent(capsys):
    with progress("learning", 0, 2, shown=False) as report:
        report(2, 0.5)
    assert capsys.readouterr().err == ""
