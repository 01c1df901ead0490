"""Where Secateur lies, and where it looks for and leaves things. Free of torch."""

from __future__ import annotations

from pathlib import Path

#: The package `secateur` itself.
PACKAGE = Path(__file__).resolve().parent.parent
#: The root of the repository in a checkout; None in an installation, where component folders lie inside the package.
CHECKOUT = None if (PACKAGE / "criterions").is_dir() else PACKAGE.parent


def home() -> Path:
    """Return the folder that holds gitignored/: the checkout; of an installation the current folder."""
    return CHECKOUT or Path.cwd()


def shown(path: Path) -> str:
    """Return a path as people know it: relative to the project or to the installation where it lies below it."""
    root = CHECKOUT or PACKAGE
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
