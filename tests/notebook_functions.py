"""Read the functions that a notebook writes by hand out of the notebook itself, to hold them against the package's."""

import ast
import contextlib
from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def functions_of(stem: str) -> SimpleNamespace:
    """Run the imports, function and class definitions of a notebook's code cells, and nothing else of them."""
    from IPython.core.inputtransformer2 import TransformerManager

    namespace: dict = {}
    notebook = nbformat.read(NOTEBOOKS / f"{stem}.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            tree = ast.parse(TransformerManager().transform_cell(cell.source))
            kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
            for node in (node for node in tree.body if isinstance(node, kept)):
                with contextlib.suppress(NameError):  # its defaults need the notebook's variables: no function to test
                    exec(compile(ast.Module([node], []), f"{stem}.ipynb", "exec"), namespace)
    return SimpleNamespace(**namespace)
