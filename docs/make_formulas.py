"""Write docs/formulas.md from the docstrings of theodolite.theory: `python docs/make_formulas.py`. Nothing is imported.

A formula without its quantity, its assumptions or its source is an error, and so is a module without a place in GROUPS.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
THEORY = ROOT / "src" / "theodolite" / "theory"
PAGE = ROOT / "docs" / "formulas.md"

GROUPS = {
    "Coverage of a generator": ["coverage", "density_ratio", "birthdays", "balls", "frechet"],
    "GAN": ["coupons", "modes", "boosting"],
    "Linear VAE": ["ppca", "elbo", "gaussian"],
    "Video U-Net": ["convolution", "transform_code", "interpolation", "conformal"],
    "Nested ViT": ["attention", "memory", "swin"],
}
HEAD = """# Formulas

Every formula of `theodolite.theory`: its quantity and unit, when it holds, and where it is from. The letters are in the
[notation](notation.md). This page is written by `docs/make_formulas.py` from the docstrings, and a test compares.
"""


def parts(docstring: str) -> tuple[str, str, str]:
    """What a formula's docstring says: the quantity, when it holds, its source; all before numpydoc's sections."""
    kinds: dict[str, list[str]] = {"": [], "Holds when:": [], "Source:": []}
    kind = ""
    for line in re.split(r"\n\n\w+\n---+\n", docstring)[0].splitlines():
        started = next((name for name in kinds if name and line.startswith(name)), None)
        kind = started if started is not None else kind if line else ""
        kinds[kind].append(line.removeprefix(kind).strip() if started else line)
    text, holds, source = ("\n".join(lines).strip() for lines in kinds.values())
    return re.sub(r"\n{3,}", "\n\n", text), holds, source


def prose(text: str) -> str:
    """Markdown of a docstring's words: paragraphs as they are, signs of mathematics kept from meaning layout."""
    paragraphs = []
    for paragraph in re.sub(r"::$", ":", text, flags=re.MULTILINE).replace("``", "`").split("\n\n"):
        if not paragraph.startswith("    "):
            # code and *emphasis* stay as they are; the star of W* is no emphasis
            pieces = re.split(r"(`[^`]*`|(?<!\w)\*\w[^*]*\w\*(?!\w))", paragraph)
            pieces[::2] = [re.sub(r"([*\[\]])", r"\\\1", piece).replace("<", "&lt;") for piece in pieces[::2]]
            paragraph = re.sub(r"`?docs/answers(?:/q\d\.md)?`?, Q(\d)", r"[Q\1](answers/q\1.md), Q\1", "".join(pieces))
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def section(path: Path) -> tuple[str, list[str]]:
    """Markdown of one module of theory, and what its functions fail to say."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    lines, missing = [f"### theory.{path.stem}", prose(title), *([prose(rest)] if rest else [])], []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text, holds, source = parts(ast.get_docstring(node) or "")
            for what, said in (("quantity", text), ("'Holds when:'", holds), ("'Source:'", source)):
                if not said:
                    missing.append(f"{path.stem}.{node.name} has no {what}")
            lines += [f"#### {node.name}", f"`{node.name}({', '.join(a.arg for a in node.args.args)})`", prose(text)]
            lines += [f"- *Holds when:* {_indented(holds)}\n- *Source:* {_indented(source)}"]
    return "\n\n".join(lines), missing


def _indented(text: str) -> str:
    return prose(text).replace("\n", "\n  ")


def page(theory: Path = THEORY, groups: dict[str, list[str]] = GROUPS) -> tuple[str, list[str]]:
    """Markdown of all formulas, and what is missing from them."""
    placed = {name for names in groups.values() for name in names}
    there = {path.stem for path in theory.glob("[!_]*.py")}
    missing = [f"{name} is in none of GROUPS" for name in sorted(there - placed)]
    texts = [HEAD.rstrip()]
    for heading, names in groups.items():
        texts.append(f"## {heading}")
        for name in names:
            text, lacking = section(theory / f"{name}.py")
            texts.append(text)
            missing += lacking
    return "\n\n".join(texts) + "\n", missing


if __name__ == "__main__":
    text, missing = page()
    if missing:
        sys.exit("\n".join(missing))
    PAGE.write_text(text, encoding="utf-8")
