"""How a path is written into a line of text."""

import os


def said(path: str | os.PathLike[str]) -> str:
    """Return a path as it is; where its name holds line ends, control or undecodable characters, these as escapes."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)
