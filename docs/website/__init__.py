"""The documentation site: python -m docs.website   (after python notebooks/execute.py; `make docs` does both)

assemble.py gathers the pages in build/docs/source: documents, executed chapters and what op_table.py, formula_map.py,
glossary.py and api.py generate. Sphinx makes build/docs/site of them, with docs/conf.py and extensions of our own:
sources.py, docstrings.py, mathematics.py, search.py. links.py checks every link of the result.
"""
