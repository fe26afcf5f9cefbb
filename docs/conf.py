"""How Sphinx builds the site: `make docs`. Nothing is downloaded, and every warning is an error."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout, which need not be installed

from autodistill.version import __version__

project, copyright, release = "autodistill", "the autodistill authors, Apache-2.0", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "reference"]
exclude_patterns = ["build"]
html_theme, html_title = "furo", f"autodistill {release}"
html_copy_source, html_show_sphinx = False, False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the section of a key may stand deeper than that of its group

default_role = "code"  # docstrings have names in single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
add_module_names = False
nitpicky = True
# Types that the page of the API does not have, of this package and of others, are shown without a link.
nitpick_ignore_regex = [("py:.*", r"(?!autodistill\.(open|search|Study|Claim)$).*")]
