"""The code blocks of README and docs run, in order, in one namespace and one folder a file."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from tests.launched import run

from theodolite.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def name(path):
    return str(path.relative_to(ROOT))


def run_command(line, capsys):
    """A command line; theodolite in this process, which spares it seconds of imports."""
    program, *words = shlex.split(line)
    if program == "theodolite":
        with pytest.raises(SystemExit) as stopped:
            main(words)
        code, said = stopped.value.code, capsys.readouterr().err
    else:
        assert program == "torchrun", f"{line}: documents show theodolite and torchrun"
        done = run(1, "-m", "torch.distributed.run", *words)
        code, said = done.returncode, done.stderr_text
    assert code in (0, None), f"{line}: {said}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_code_blocks_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "document"}
    for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, name(path), "exec"), namespace)
        for line in block.splitlines() if language == "console" else ():
            if line.startswith("$ "):
                run_command(line[2:], capsys)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{name(path)} points to {target}"


@pytest.mark.parametrize("question", [1, 2, 3, 4])
def test_every_question_has_its_headings(question):
    letters = {1: ["0", "a", "b", "c", "d"], 2: ["a", "b"], 3: ["a", "b", "c", "d", "e"], 4: ["a", "b", "c"]}[question]
    text = (ROOT / "docs" / "answers" / f"q{question}.md").read_text(encoding="utf-8")
    assert re.findall(rf"^## Q{question}\.([0a-e])", text, re.MULTILINE) == letters
