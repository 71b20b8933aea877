"""ARCHITECTURE.md against the code: who may import whom, and who owns which third-party package.

The rules are written out in ARCHITECTURE.md, section 3. Everything is read with `ast`; nothing is imported.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[1]
FREE = {*sys.stdlib_module_names, "numpy"}
# these name what higher rows do for a class; they alone may import its types. With the classes that have the methods
UPWARD = {
    "model.verbs": (("model.description", "Model"),),
    "fitting.verbs": (("fitting.result", "Fit"), ("diagnostics.checkup", "Diagnosis")),
}
SHARED = {"scipy", "pandas", "xarray", "sympy"}  # every other third-party package has one owner row
EMPTY_WORDS = re.compile(r"manager|controller|handler|processor|wrapper|util|helper|misc")


class Place(NamedTuple):
    """Where a module stands, and what it may use besides NumPy and the standard library."""

    row: int
    order: int
    may_use: frozenset[str]


class Import(NamedTuple):
    """One imported name: its full dotted name, the line, and whether it stands under TYPE_CHECKING."""

    name: str
    line: int
    typing_only: bool


def read_table(text: str) -> dict[str, Place]:
    """Rows ``| row | module | may use | job |`` of the page, by module."""
    table: dict[str, Place] = {}
    for row, module, may_use in re.findall(r"^\| (\d+) \| ([\w.]+) \|([^|]*)\|", text, flags=re.MULTILINE):
        assert module not in table, f"{module} is listed twice"
        table[module] = Place(int(row), len(table), frozenset(re.findall(r"\w+", may_use)))
    return table


def modules_of(package: Path) -> dict[str, Path]:
    """Files by dotted name; a package `__init__` goes by the name of its package, the root by ''."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, package: str, module: str) -> Iterator[Import]:
    """Every import in a file, also those inside functions and those by `import_module("name")`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guarded = {id(node) for block in _type_checking_blocks(tree) for child in block.body for node in ast.walk(child)}
    above = [package, *module.split(".")] if module else [package]
    if path.name != "__init__.py":
        above.pop()
    for node in ast.walk(tree):
        typing_only = id(node) in guarded
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = above[: len(above) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(f"{origin}.{alias.name}", node.lineno, typing_only) for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_call(node):
            yield Import(str(ast.literal_eval(node.args[0])), node.lineno, typing_only)


def _type_checking_blocks(tree: ast.Module) -> Iterator[ast.If]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield node


def _is_import_call(node: ast.Call) -> bool:
    called = ast.unparse(node.func).rpartition(".")[2]
    return called in {"import_module", "__import__"} and bool(node.args) and isinstance(node.args[0], ast.Constant)


def check_imports(package: Path, table: dict[str, Place]) -> list[str]:
    """What breaks a rule about imports: layers, the root, owners."""
    found = []
    modules = modules_of(package)
    for module, path in modules.items():
        for one in imports_of(path, package.name, module):
            if module in UPWARD and one.typing_only:
                continue
            where = f"{path.relative_to(package.parent)}:{one.line}"
            if one.name.split(".")[0] == package.name:
                target = _module_meant(one.name.removeprefix(package.name).strip("."), modules)
                complaint = _layer_complaint(module, target, modules, table) if module else _root_complaint(one, target)
            else:
                complaint = _owner_complaint(module, one, table)
            if complaint:
                found.append(f"{where}: {complaint}")
    return list(dict.fromkeys(found))  # `from x import a, b` is one finding


def _module_meant(name: str, modules: dict[str, Path]) -> str:
    """The module that holds a dotted name: `units.parse_unit` is in `units`; what no module holds is in the root."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _root_complaint(one: Import, target: str) -> str:
    return "" if one.typing_only or not target else f"the package root imports {target}; it must load it at first use"


def _layer_complaint(module: str, target: str, modules: dict[str, Path], table: dict[str, Place]) -> str:
    if not target:
        return f"{module} imports the package root; import the submodule that defines the name"
    if modules[module].name == "__init__.py":
        inside = target.startswith(f"{module}.")
        return "" if inside else f"the __init__ of {module} imports {target}, which is not part of {module}"
    importer, imported = _place(module, table), _place(target, table)
    if importer is None or imported is None or importer[:2] > imported[:2]:  # unlisted ones are reported elsewhere
        return ""
    return (
        f"{module} (row {importer.row}) imports {target} (row {imported.row}); "
        "imports go to lower rows, or to the left in the same row"
    )


def _place(module: str, table: dict[str, Place]) -> Place | None:
    """Place of a module; a package stands where its last module stands."""
    inside = [place for name, place in table.items() if name == module or name.startswith(f"{module}.")]
    return max(inside, default=None)


def _owner_complaint(module: str, one: Import, table: dict[str, Place]) -> str:
    top = one.name.split(".")[0]
    allowed = table[module].may_use if module in table else frozenset()
    if top in FREE | allowed or one.typing_only:
        return ""
    if top in SHARED and module:
        return f"{module} imports {top}, which its row in ARCHITECTURE.md does not list"
    owners = [name for name, place in table.items() if top in place.may_use]
    return f"{module or 'the package root'} imports {top}, which belongs to {', '.join(owners) or 'no module'}"


def check_listing(package: Path, table: dict[str, Place]) -> list[str]:
    """Modules that the table misses, and names that say nothing."""
    found = []
    for module, path in modules_of(package).items():
        if path.name != "__init__.py" and module not in table:
            found.append(f"{module} is not listed in ARCHITECTURE.md; add its row")
        if EMPTY_WORDS.search(module):
            found.append(f"{module} has a name that says nothing; name the concept")
    return found


def check_absent(package: Path, table: dict[str, Place]) -> list[str]:
    """Rows of the table without a module."""
    present = modules_of(package)
    return [f"{module} is listed in ARCHITECTURE.md but does not exist" for module in table if module not in present]


def read_verbs(path: Path) -> dict[str, tuple[str, str]]:
    """The table of `model.verbs`: module, without the package, and function by verb."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERBS":
            texts = ast.literal_eval(node.value)
            return {
                name: (text.partition(":")[0].partition(".")[2], text.partition(":")[2]) for name, text in texts.items()
            }
    raise AssertionError(f"no table VERBS in {path}")


def check_verbs(package: Path, table: dict[str, Place]) -> list[str]:
    """Verbs that do not exist, point downwards, or are no documented method."""
    found, modules = [], modules_of(package)
    for upward, classes in UPWARD.items():
        if upward not in modules:
            continue
        methods = set().union(*(_documented(modules[module], name) for module, name in classes))
        owners = " or ".join(name for _, name in classes)
        for name, (module, function) in read_verbs(modules[upward]).items():
            if module not in modules or function not in _documented(modules[module]):
                found.append(f"verb {name}: there is no documented function {function} in {module}")
            elif module not in table or table[module] < table[upward]:
                found.append(f"verb {name}: {module} does not stand above {upward}; import it")
            if name not in methods:
                found.append(f"verb {name} is no documented method of {owners}")
    return found


def _documented(path: Path, within: str = "") -> set[str]:
    """Functions with a docstring at the top of a file, or of a class in it."""
    tree: ast.Module | ast.ClassDef = ast.parse(path.read_text(encoding="utf-8"))
    if within:
        tree = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == within)
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)}


def check_owners(table: dict[str, Place]) -> list[str]:
    """Packages with owners in more than one row."""
    packages = set().union(*(place.may_use for place in table.values())) - SHARED
    rows = {package: {p.row for p in table.values() if package in p.may_use} for package in packages}
    return [
        f"{package} has owners in rows {sorted(r)}; it needs one" for package, r in sorted(rows.items()) if len(r) > 1
    ]


def sizes(package: Path) -> str:
    """Lines per module and per function, as one sentence."""
    files = {name or "__init__": path.read_text(encoding="utf-8") for name, path in modules_of(package).items()}
    lines = {name: text.count("\n") for name, text in files.items()}
    functions = {
        f"{name}.{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return f"modules: {_spread(lines)}; functions: {_spread(functions)}"


def _spread(lengths: dict[str, int]) -> str:
    ordered = sorted(lengths.values())
    p90 = ordered[int(0.9 * (len(ordered) - 1))]
    longest = sorted(lengths, key=lambda name: -lengths[name])[:3]
    largest = ", ".join(f"{name} {lengths[name]}" for name in longest)
    return f"{len(ordered)}, median {statistics.median(ordered):.0f} lines, p90 {p90} ({largest})"


# The package itself


@pytest.fixture(scope="module")
def package() -> Path:
    return REPOSITORY / "src" / "mscpkpd"


@pytest.fixture(scope="module")
def table() -> dict[str, Place]:
    return read_table((REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8"))


def test_imports_follow_the_table(package: Path, table: dict[str, Place]) -> None:
    found = check_imports(package, table)
    assert not found, "\n".join(found)


def test_every_module_is_listed(package: Path, table: dict[str, Place]) -> None:
    found = check_listing(package, table)
    assert not found, "\n".join(found)


def test_every_listed_module_exists(package: Path, table: dict[str, Place]) -> None:
    found = check_absent(package, table)
    assert not found, "\n".join(found)


def test_verbs_of_a_model_exist_and_are_documented(package: Path, table: dict[str, Place]) -> None:
    found = check_verbs(package, table)
    assert not found, "\n".join(found)


def test_heavy_packages_have_one_owner_row(table: dict[str, Place]) -> None:
    assert check_owners(table) == []


def test_rows_of_the_table_go_up(table: dict[str, Place]) -> None:
    rows = [place.row for place in table.values()]
    assert rows == sorted(rows)


def test_sizes_are_shown(package: Path, record_property) -> None:
    record_property("summary", sizes(package))  # printed at the end of the run, never judged


# The checks themselves, on a small package that breaks one rule at a time

PAGE = """
| row | module | may use | job |
|---|---|---|---|
| 1 | ground | pint | |
| 2 | left | | |
| 2 | right | scipy | |
| 3 | tower.base | | |
| 3 | tower.top | rich | |
"""

SOUND = {
    "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from box.left import y\n",
    "ground.py": "import pint\nimport json\nx = 1\n",
    "left.py": "from box.ground import x\ny = x\n",
    "right.py": "import numpy as np\nimport scipy.linalg\nfrom box.left import y\n",
    "tower/__init__.py": "from box.tower.top import z\n",
    "tower/base.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas\n",
    "tower/top.py": "from . import base\nfrom box import right\nimport box.left\nz = 1\n",
}


@pytest.fixture
def box(tmp_path: Path) -> Path:
    for name, text in SOUND.items():
        path = tmp_path / "box" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "box"


def findings(package: Path, page: str = PAGE) -> list[str]:
    table = read_table(page)
    return [*check_imports(package, table), *check_listing(package, table), *check_absent(package, table)]


def test_a_sound_package_has_no_findings(box: Path) -> None:
    assert findings(box) == []
    assert check_owners(read_table(PAGE)) == []


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("ground.py", "from box.left import y", r"ground \(row 1\) imports left \(row 2\); imports go to lower rows"),
        ("ground.py", "def f():\n    import box.left", r"ground \(row 1\) imports left \(row 2\)"),
        ("ground.py", "import importlib\nimportlib.import_module('box.left')", r"ground \(row 1\) imports left"),
        ("left.py", "from box.right import np", r"left \(row 2\) imports right \(row 2\)"),
        ("left.py", "from . import right", r"left \(row 2\) imports right \(row 2\)"),
        ("left.py", "from box.tower import z", r"left \(row 2\) imports tower \(row 3\)"),
        ("tower/base.py", "from .top import z", r"tower.base \(row 3\) imports tower.top \(row 3\)"),
        ("tower/base.py", "if TYPE_CHECKING:\n    from box.tower.top import z", r"tower.base \(row 3\) imports"),
        ("left.py", "import box", "left imports the package root"),
        ("left.py", "from box import __version__", "left imports the package root"),
        ("tower/top.py", "from .. import __version__", "tower.top imports the package root"),
        ("__init__.py", "from box.left import y", "the package root imports left"),
        ("tower/__init__.py", "from box.left import y", "the __init__ of tower imports left"),
        ("left.py", "def f():\n    import pint", "left imports pint, which belongs to ground"),
        ("left.py", "import requests", "left imports requests, which belongs to no module"),
        ("left.py", "import scipy", r"left imports scipy, which its row in ARCHITECTURE\.md does not list"),
        ("__init__.py", "import rich", "the package root imports rich, which belongs to tower.top"),
        ("new.py", "x = 1", r"new is not listed in ARCHITECTURE\.md"),
        ("tower/util.py", "x = 1", "tower.util has a name that says nothing"),
    ],
)
def test_a_broken_rule_is_found(box: Path, file: str, line: str, message: str) -> None:
    with (box / file).open("a") as module:
        module.write(f"{line}\n")
    found = findings(box)
    assert any(re.search(message, finding) for finding in found), found


def test_a_listed_module_that_does_not_exist_is_found(box: Path) -> None:
    (box / "right.py").unlink()
    assert "right is listed in ARCHITECTURE.md but does not exist" in findings(box)


def test_a_second_owner_row_is_found() -> None:
    table = read_table(PAGE + "| 4 | roof | pint | |\n")
    assert check_owners(table) == ["pint has owners in rows [1, 4]; it needs one"]


def test_a_finding_names_file_and_line(box: Path) -> None:
    (box / "left.py").write_text("x = 1\n\nimport box\n")
    assert "box/left.py:3: left imports the package root" in findings(box)[0]


VERBS = 'VERBS = {"weigh": "box.tower.top:weigh"}\n'
VERB_PAGE = PAGE.replace("| 3 | tower.base", "| 2 | model.verbs | | |\n| 2 | model.description | | |\n| 3 | tower.base")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("model/verbs.py", VERBS.replace("top", "peak"), "there is no documented function weigh in tower.peak"),
        ("tower/top.py", "def weigh(model):\n    return 1\n", "there is no documented function weigh in tower.top"),
        ("model/description.py", "class Model:\n    pass\n", "verb weigh is no documented method of Model"),
        ("model/verbs.py", VERBS.replace("tower.top", "left"), "verb weigh: left does not stand above model.verbs"),
        ("model/verbs.py", VERBS, ""),
    ],
)
def test_a_broken_verb_is_found(box: Path, file: str, text: str, message: str) -> None:
    documented = 'def weigh(model):\n    """Weigh."""\n'
    (box / "model").mkdir()
    (box / "model" / "verbs.py").write_text(VERBS)
    (box / "model" / "description.py").write_text('class Model:\n    def weigh(self):\n        """Weigh."""\n')
    for name in ("left.py", "tower/top.py"):
        (box / name).write_text(documented)
    (box / file).write_text(text)
    found = check_verbs(box, read_table(VERB_PAGE))
    assert any(message in finding for finding in found) if message else found == []
