"""How `make docs` builds the site: Sphinx, MyST for Markdown, the theme Furo."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

import secateur

project = "Secateur"
author = "the Secateur authors"
project_copyright = f"2026, {author}"
version = release = secateur.__version__
extensions = ["myst_parser", "generated"]
html_theme = "furo"
html_title = f"Secateur {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
exclude_patterns = ["_ext", "_build"]
myst_heading_anchors = 3
# Outputs and commands are shown as they are; only named languages are coloured.
highlight_language = "text"
smartquotes = False
