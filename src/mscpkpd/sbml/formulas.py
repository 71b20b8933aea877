"""MathML as formulas of this package; function definitions are written out, what the language lacks is refused."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from mscpkpd.errors import ExpressionError, ModelError
from mscpkpd.expressions import FUNCTIONS, TIME, Expression, parse
from mscpkpd.sbml.mathml import HILL_BODY

if TYPE_CHECKING:
    import libsbml

__all__ = ["MathReader"]

OPERATORS: dict[str, ast.operator] = {
    "plus": ast.Add(),
    "minus": ast.Sub(),
    "times": ast.Mult(),
    "divide": ast.Div(),
    "power": ast.Pow(),
    "function_power": ast.Pow(),
}
COMPARISONS: dict[str, ast.cmpop] = {
    "relational_lt": ast.Lt(),
    "relational_leq": ast.LtE(),
    "relational_gt": ast.Gt(),
    "relational_geq": ast.GtE(),
}
CALLS = {
    "function_exp": "exp",
    "function_ln": "log",
    "function_abs": "abs",
    "function_min": "min",
    "function_max": "max",
}
# what the language has no word for and can say exactly in others
REWRITTEN = {
    "function_sinh": "(exp(x) - exp(-x))/2",
    "function_cosh": "(exp(x) + exp(-x))/2",
    "function_tanh": "1 - 2/(exp(2*x) + 1)",
    "function_coth": "1 + 2/(exp(2*x) - 1)",
    "function_sech": "2/(exp(x) + exp(-x))",
    "function_csch": "2/(exp(x) - exp(-x))",
}
NUMBERS = {"integer", "real", "real_e", "rational"}
CONSTANTS = {"constant_pi": 3.141592653589793, "constant_e": 2.718281828459045}
MOST_INLINED = 20

Environment = Mapping[str, ast.expr]


@cache
def _kinds() -> dict[int, str]:
    """Names of the kinds of nodes: "plus", "function_exp", "logical_and"."""
    import libsbml

    found: dict[int, str] = {}
    for name in sorted(dir(libsbml)):
        value = getattr(libsbml, name)
        if name.startswith("AST_") and isinstance(value, int):
            found.setdefault(value, name.removeprefix("AST_").lower())
    return found


class MathReader:
    """Turns MathML into formulas.

    Parameters
    ----------
    names : mapping of str to str
        Name in formulas of each id of the file.
    functions : mapping of str to libsbml.FunctionDefinition
        Functions that the file defines.
    where : str
        The file, for error messages.
    """

    def __init__(
        self, names: Mapping[str, str], functions: Mapping[str, libsbml.FunctionDefinition], where: str
    ) -> None:
        self.names, self.functions, self.where = names, functions, where
        # numbers with units become parameters, so that units can be checked: name -> value and id of the unit
        self.numbers: dict[str, tuple[float, str]] = {}

    def formula(self, node: libsbml.ASTNode | None, where: str, local: Mapping[str, str] | None = None) -> Expression:
        """Return a formula.

        Parameters
        ----------
        node : libsbml.ASTNode or None
            MathML of an element.
        where : str
            The element, such as "reaction r1".
        local : mapping of str to str, optional
            Names that mean something else in this element.

        Raises
        ------
        ModelError
            If the element has no formula, or one that the language cannot say.
        """
        place = f"{self.where}, {where}"
        if node is None:
            raise ModelError("no formula", where=place, hint="a MathML formula, or leave the element out")
        environment = {name: ast.Name(id=own) for name, own in (local or {}).items()}
        keep = not node.isNumber()  # a lone number has the unit of what it is for
        try:
            return parse(ast.unparse(_Translation(self, place, keep=keep).of(node, environment)), where=place)
        except ExpressionError as error:
            raise ModelError(error.problem, where=place, expected=error.expected, hint=error.hint) from None

    def number_name(self, value: float, unit: str) -> str:
        """Return the parameter that stands for a number with a unit."""
        for name, known in self.numbers.items():
            if known == (value, unit):
                return name
        taken = {*self.names.values(), *self.numbers}
        k = len(self.numbers) + 1
        while f"number_{k}" in taken:
            k += 1
        self.numbers[f"number_{k}"] = (value, unit)
        return f"number_{k}"


class _Translation:
    """One formula: its place for messages, and how deep functions are written out."""

    def __init__(self, reader: MathReader, place: str, *, keep: bool) -> None:
        self.reader, self.place, self.keep = reader, place, keep
        self.depth = 0

    def of(self, node: libsbml.ASTNode, names: Environment) -> ast.expr:
        kind = _kinds().get(node.getType(), "unknown")
        parts = [node.getChild(i) for i in range(node.getNumChildren())]
        if kind in NUMBERS:
            return self._number(node)
        if kind in CONSTANTS:
            return ast.Constant(CONSTANTS[kind])
        if kind == "name_avogadro":
            return ast.Constant(float(node.getReal()))
        if kind == "name_time":
            return ast.Name(id=TIME)
        if kind == "name":
            return self._name(node.getName(), names)
        if kind == "function_piecewise":
            return self._piecewise(parts, names)
        if kind == "function":
            return self._inlined(node, parts, names)
        return self._operation(node, kind, [self.of(part, names) for part in self._usable(node, kind, parts)])

    def _usable(self, node: libsbml.ASTNode, kind: str, parts: Sequence[libsbml.ASTNode]) -> Sequence[libsbml.ASTNode]:
        known = {*OPERATORS, *CALLS, *REWRITTEN, "function_log", "function_root"}
        if kind not in known:
            raise self._refused(node, kind)
        return parts

    def _refused(self, node: libsbml.ASTNode, kind: str) -> ModelError:
        word = node.getName() or kind.removeprefix("function_").removeprefix("logical_").removeprefix("relational_")
        return ModelError(
            f"'{word}' cannot be said in formulas of this package",
            where=self.place,
            expected=f"numbers, names, + - * / power, piecewise, {', '.join(f for f in FUNCTIONS if f != 'to')}",
            hint="write it with these, or leave the element out",
        )

    def _number(self, node: libsbml.ASTNode) -> ast.expr:
        value = float(node.getValue())
        unit = node.getUnits() if node.hasUnits() else ""
        if self.keep and value != 0 and unit and unit != "dimensionless":
            return ast.Name(id=self.reader.number_name(value, unit))
        number = ast.Constant(int(abs(value)) if value == int(value) and abs(value) < 2**53 else abs(value))
        return number if value >= 0 else ast.UnaryOp(ast.USub(), number)

    def _name(self, name: str, names: Environment) -> ast.expr:
        if name in names:
            return names[name]
        if name not in self.reader.names:
            raise ModelError(f"'{name}' is not defined in this file", where=self.place, hint="define it, or remove it")
        return ast.Name(id=self.reader.names[name])

    def _operation(self, node: libsbml.ASTNode, kind: str, parts: list[ast.expr]) -> ast.expr:
        if kind in OPERATORS:
            return _chained(kind, parts)
        if kind in CALLS:
            only = kind in ("function_min", "function_max") and len(parts) == 1
            return parts[0] if only else _call(CALLS[kind], *parts)
        if kind == "function_log":
            return ast.BinOp(_call("log", parts[1]), ast.Div(), _call("log", parts[0]))
        if kind == "function_root":
            degree, base = node.getChild(0).getValue() if node.getChild(0).isNumber() else None, parts[1]
            return _call("sqrt", base) if degree == 2 else ast.BinOp(base, ast.Pow(), _one_over(parts[0]))
        return _replaced(REWRITTEN[kind], parts[0])

    def _inlined(self, node: libsbml.ASTNode, parts: Sequence[libsbml.ASTNode], names: Environment) -> ast.expr:
        """Write the body of a function with its arguments in place."""
        import libsbml

        function = self.reader.functions.get(node.getName())
        if function is None or function.getBody() is None or function.getNumArguments() != len(parts):
            raise ModelError(
                f"function '{node.getName()}' with {len(parts)} arguments is not defined", where=self.place,
                hint="a function definition with as many arguments",
            )  # fmt: skip
        arguments = [self.of(part, names) for part in parts]
        own = libsbml.formulaToL3String(libsbml.parseL3Formula(HILL_BODY))
        bound = [function.getArgument(i).getName() for i in range(len(parts))]
        if bound == ["x", "e", "h"] and libsbml.formulaToL3String(function.getBody()) == own:
            return _call("hill", *arguments)
        self.depth += 1
        if self.depth > MOST_INLINED:
            raise ModelError(f"function '{node.getName()}' uses itself", where=self.place, hint="write it out")
        inner = self.of(function.getBody(), dict(zip(bound, arguments, strict=True)))
        self.depth -= 1
        return inner

    # ---- piecewise -------------------------------------------------------------------------------------------------

    def _piecewise(self, parts: Sequence[libsbml.ASTNode], names: Environment) -> ast.expr:
        if len(parts) % 2 == 0:
            raise ModelError("piecewise without otherwise", where=self.place, hint="a value for all other cases")
        value = self.of(parts[-1], names)
        for k in range(len(parts) - 3, -1, -2):
            value = self._where(parts[k + 1], self.of(parts[k], names), value, names)
        return value

    def _where(self, condition: libsbml.ASTNode, yes: ast.expr, no: ast.expr, names: Environment) -> ast.expr:
        """``where`` knows one comparison; words between comparisons become ``where`` within ``where``."""
        kind = _kinds().get(condition.getType(), "unknown")
        parts = [condition.getChild(i) for i in range(condition.getNumChildren())]
        if kind in COMPARISONS and len(parts) == 2:
            left, right = (self.of(part, names) for part in parts)
            return _call("where", ast.Compare(left, [COMPARISONS[kind]], [right]), yes, no)
        if kind == "logical_and":
            for part in reversed(parts):
                yes = self._where(part, yes, no, names)
            return yes
        if kind == "logical_or":
            for part in reversed(parts):
                no = self._where(part, yes, no, names)
            return no
        if kind == "logical_not":
            return self._where(parts[0], no, yes, names)
        if kind in ("constant_true", "constant_false"):
            return yes if kind == "constant_true" else no
        raise self._refused(condition, kind)


def _call(name: str, *parts: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(id=name), list(parts), [])


def _one_over(part: ast.expr) -> ast.expr:
    return ast.BinOp(ast.Constant(1), ast.Div(), part)


def _chained(kind: str, parts: list[ast.expr]) -> ast.expr:
    """A sum or product of any number of parts; a minus before one part."""
    if not parts:
        return ast.Constant(0 if kind == "plus" else 1)
    if kind == "minus" and len(parts) == 1:
        return ast.UnaryOp(ast.USub(), parts[0])
    total = parts[0]
    for part in parts[1:]:
        total = ast.BinOp(total, OPERATORS[kind], part)
    return total


def _replaced(formula: str, part: ast.expr) -> ast.expr:
    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return part if node.id == "x" else node

    replaced: ast.expr = Put().visit(ast.parse(formula, mode="eval").body)
    return replaced
