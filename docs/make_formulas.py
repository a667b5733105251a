"""Write docs/formulas.md from the docstrings of theodolite.theory: `python docs/make_formulas.py`. Nothing is imported.

A formula without its quantity, its assumptions or its source is an error, and so is one that no family uses.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "theodolite"
PAGE = ROOT / "docs" / "formulas.md"

FAMILIES = {
    "coverage": "Coverage, and the GAN built on it",
    "gan": "GAN alone",
    "linear_vae": "Linear VAE",
    "video_unet": "Video U-Net",
    "nested_vit": "Nested ViT",
}
SHARED = "Shared by several"
HEAD = """# Formulas

Every formula of `theodolite.theory`: its quantity and unit, when it holds, and where it is from. The letters are those
of [notation.md](notation.md). This page is written by `docs/make_formulas.py` from the docstrings, and a test compares.
"""


def used_by(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Families that import each module of theory."""
    users: dict[str, set[str]] = {}
    for family in FAMILIES:
        for path in sorted((package / family).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("theodolite.theory"):
                    modules = (node.module or "").split(".")[2:] or [alias.name for alias in node.names]
                    for module in modules:
                        users.setdefault(module, set()).add(family)
    return users


def group(users: set[str]) -> str:
    """Heading under which a module stands; the GAN is audited by coverage, so what both use is coverage's."""
    owners = users - {"gan"} if "coverage" in users else users
    return FAMILIES[min(owners)] if len(owners) == 1 else SHARED


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


def page(package: Path = PACKAGE) -> tuple[str, list[str]]:
    """Markdown of all formulas, and what is missing from them."""
    users, missing = used_by(package), []
    groups: dict[str, list[str]] = {name: [] for name in (*FAMILIES.values(), SHARED)}
    for path in sorted((package / "theory").glob("*.py")):
        if path.stem == "__init__":
            continue
        if path.stem not in users:
            missing.append(f"no family uses {path.stem}")
            continue
        text, lacking = section(path)
        groups[group(users[path.stem])].append(text)
        missing += lacking
    sections = ["\n\n".join([f"## {name}", *texts]) for name, texts in groups.items() if texts]
    return "\n\n".join([HEAD.rstrip(), *sections]) + "\n", missing


if __name__ == "__main__":
    text, missing = page()
    if missing:
        sys.exit("\n".join(missing))
    PAGE.write_text(text, encoding="utf-8")
