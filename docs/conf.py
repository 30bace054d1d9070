"""Sphinx settings."""

project = "Praesidium"
author = "The Praesidium authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Praesidium"
autodoc_typehints = "none"
napoleon_attr_annotations = False
nitpicky = False


def escape(app, what, name, obj, options, lines):
    """Bars of norms and stars of axes are no markup, outside of code."""
    for number, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [part.replace("|", r"\|").replace(" *", r" \*") for part in parts[::2]]
        lines[number] = "``".join(parts)


def setup(app):
    """Hook into the reading of docstrings."""
    app.connect("autodoc-process-docstring", escape)
