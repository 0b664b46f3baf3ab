"""Read the functions that a notebook writes by hand out of the notebook itself, to hold them against the package's."""

import ast
import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def functions_of(stem: str) -> SimpleNamespace:
    """Run the imports, function and class definitions of a notebook's code cells, and nothing else of them."""
    from IPython.core.inputtransformer2 import TransformerManager

    namespace: dict = {}
    notebook = json.loads((NOTEBOOKS / f"{stem}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse(TransformerManager().transform_cell("".join(cell["source"])))
            kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
            for node in (node for node in tree.body if isinstance(node, kept)):
                with contextlib.suppress(NameError):  # its defaults need the notebook's variables: no function to test
                    exec(compile(ast.Module([node], []), f"{stem}.ipynb", "exec"), namespace)
    return SimpleNamespace(**namespace)


def run_with(startup: str, path: Path, folder: Path, monkeypatch) -> tuple[str, str]:
    """Run a notebook in a kernel that runs ``startup`` first; return its error, if any, and all that it printed."""
    import nbformat

    from tools import execute

    file = folder / "ipython" / "profile_default" / "startup" / "first.py"
    file.parent.mkdir(parents=True)
    file.write_text(startup)
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    notebook = nbformat.read(path, as_version=4)
    result = execute.execute(notebook, name=path.stem, folder=folder, strict=True, timeout=900)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return result.error, "".join(output.text for output in outputs if "text" in output)
