"""The code blocks of README and docs run, in order, one namespace a file."""

import re
from pathlib import Path

import pytest
import torch

from theodolite.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_python_blocks_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {"__name__": "document"}
    for block in PYTHON.findall(path.read_text(encoding="utf-8")):
        exec(compile(block, name(path), "exec"), namespace)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_console_commands_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in CONSOLE.findall(path.read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ theodolite "):
                with pytest.raises(SystemExit) as stopped:
                    main(line.split()[2:])
                assert stopped.value.code in (0, None), f"{line}: {capsys.readouterr().err}"


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
