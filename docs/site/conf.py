"""Sphinx's settings of the documentation: `make docs` builds it from the files that are read on their own, too.

The source folder is the project's, so that a link leads to the same place here, on a code host and in an editor. Pages
load nothing from elsewhere: the theme has its own styles, and the search runs in the page.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from eagleeye import __version__  # noqa: E402

project = "EagleEye"
author = "the EagleEye maintainers"
version = release = __version__
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
PAGES = {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs", "benchmarks"}
# The folders of data, results and environments are not even looked into.
exclude_patterns = [path.name for path in ROOT.iterdir() if path.name not in PAGES]

html_theme = "furo"
html_title = f"EagleEye {version}"
html_baseurl = ""
html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_extra_path = ["first"]  # index.html: leads to the first page
html_theme_options = {"navigation_with_keys": True}
# It would be fetched page by page, which no browser allows where the pages are files.
html_show_search_summary = False

myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist"]
# Docstrings have `code` in single quotes.
default_role = "code"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
