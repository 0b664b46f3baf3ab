"""Sphinx's settings for the course's site. `tools.site` gathers the pages, and calls Sphinx with this."""

from __future__ import annotations

import os
from pathlib import Path

import coursekit
from tools import launch, site, slides, tables

_root = Path(os.environ[site.ROOT_VARIABLE])
_fork = launch.fork(_root)

project = slides.names(_root)["course"]
author = "The authors of the course"
copyright = "text CC BY 4.0, code BSD 3-Clause"
release = version = coursekit.__version__
language = "en"
html_title = project

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx.ext.mathjax",
    "sphinx.ext.githubpages",  # .nojekyll: GitHub's pages leave out folders such as _static without it
]
exclude_patterns = ["_build"]

# Notebooks: as they were executed.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "tools.site.anchor"

# The package's pages: from docstrings in numpydoc's form, in which a single backquote names an object.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words, shapes included
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False

# The look. No setting here may load anything from a network: a test opens every page without one.
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
mathjax_path = "mathjax/tex-chtml.js"  # `site.build` puts it there, from an installed package
html_favicon = "_static/icon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_context = {"default_mode": "auto", "decks": tables.Course(_root).summaries()}
templates_path = ["_templates"]
_SIDE_BAR = ["navbar-logo.html", "icon-links.html", "search-button-field.html", "sbt-sidebar-nav.html", "decks.html"]
html_sidebars = {"**": _SIDE_BAR}
html_show_search_summary = False  # it would fetch the pages found, which a page from the file system may not
html_copy_source = True
html_sourcelink_suffix = ""
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {
    "repository_url": _fork.address,
    "repository_branch": _fork.branch,
    "path_to_docs": "",
    "launch_buttons": {"colab_url": launch.COLAB} if _fork.name else {},
    "use_download_button": True,
    "use_fullscreen_button": True,
    "navbar_persistent": [],  # search stands in the side bar; a second field would have the same id
    "show_toc_level": 2,
    "home_page_in_toc": False,
}
copybutton_selector = "div.highlight pre"
copybutton_exclude = ".linenos, .gp, .go"


def setup(app) -> None:
    """Tell Sphinx what the course adds: links from code in a notebook to the package's pages, and back."""
    app.connect("html-page-context", site.link_names)
    app.connect("autodoc-process-docstring", site.add_uses)
