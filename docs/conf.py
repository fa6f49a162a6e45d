"""The documentation as a site: `make docs`. Sphinx reads the same Markdown that a repository browser shows."""

project = "dsum-bench"
extensions = ["myst_nb"]
nb_execution_mode = "off"  # outputs are stored; tests/docs/test_notebook.py runs the cells
html_theme = "furo"
html_title = "dsum-bench"
myst_heading_anchors = 4
myst_fence_as_directive: list[str] = []
exclude_patterns = ["_build"]
# Links to files outside of docs/ (packages, the registry) lead nowhere in a site; tests/test_docs.py follows all links.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]
