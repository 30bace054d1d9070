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
nitpicky = False
