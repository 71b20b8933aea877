"""Formulas of this package as MathML."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mscpkpd.errors import ExpressionError
from mscpkpd.expressions import TIME, Expression
from mscpkpd.expressions.dimensions import node_unit, target_unit
from mscpkpd.expressions.language import COMPARISONS, OPERATORS, tree
from mscpkpd.units import divided, unit_factor, unit_text

if TYPE_CHECKING:
    import libsbml

__all__ = ["HILL", "HILL_BODY", "MathWriter"]

HILL = "hill"
# x/e before the power, so that no unit is raised to a power that is a parameter; 0 where there is nothing
HILL_BODY = "piecewise((x / e)^h / (1 + (x / e)^h), x > 0, 0)"
NODES = {
    "+": "AST_PLUS",
    "-": "AST_MINUS",
    "*": "AST_TIMES",
    "/": "AST_DIVIDE",
    "**": "AST_FUNCTION_POWER",
    "<": "AST_RELATIONAL_LT",
    "<=": "AST_RELATIONAL_LEQ",
    ">": "AST_RELATIONAL_GT",
    ">=": "AST_RELATIONAL_GEQ",
    "exp": "AST_FUNCTION_EXP",
    "log": "AST_FUNCTION_LN",
    "sqrt": "AST_FUNCTION_ROOT",
    "abs": "AST_FUNCTION_ABS",
    "min": "AST_FUNCTION_MIN",
    "max": "AST_FUNCTION_MAX",
}


class MathWriter:
    """Turns formulas into MathML; numbers carry their units.

    Parameters
    ----------
    units : dict of str to str
        Unit of each name that formulas may use; it grows with the names.
    unit_ids : callable
        Gives the id of the unit definition for the text of a unit.
    names : mapping of str to str
        Names that SBML knows by another id.
    """

    def __init__(
        self, units: dict[str, str], unit_ids: Callable[[str], str], names: Mapping[str, str] | None = None
    ) -> None:
        self.units, self.unit_ids, self.names = units, unit_ids, names or {}
        self.uses_hill = False

    def formula(self, expression: Expression, constant_unit: str = "1") -> libsbml.ASTNode:
        """Return a formula; a constant one is a number in `constant_unit`."""
        number = expression.number
        if number is not None:
            return self.number(number, constant_unit)
        return self._node(tree(expression.text))

    def number(self, value: float, unit: str = "1") -> libsbml.ASTNode:
        """Return a number with its unit."""
        import libsbml

        node = libsbml.ASTNode(libsbml.AST_REAL)
        node.setValue(value)
        node.setUnits(self.unit_ids(unit))
        return node

    def name(self, name: str) -> libsbml.ASTNode:
        """Return a name, or the time."""
        import libsbml

        node = libsbml.ASTNode(libsbml.AST_NAME_TIME if name == TIME else libsbml.AST_NAME)
        node.setName(self.names.get(name, name))
        return node

    def apply(self, operation: str, *parts: libsbml.ASTNode) -> libsbml.ASTNode:
        """Return an operation of `NODES`, a ``piecewise`` or a function of the file, on parts."""
        import libsbml

        if operation == "piecewise":
            node = libsbml.ASTNode(libsbml.AST_FUNCTION_PIECEWISE)
        elif operation in NODES:
            node = libsbml.ASTNode(getattr(libsbml, NODES[operation]))
        else:
            node = libsbml.ASTNode(libsbml.AST_FUNCTION)
            node.setName(operation)
        if operation == "sqrt":
            degree = libsbml.ASTNode(libsbml.AST_INTEGER)
            degree.setValue(2)
            node.addChild(degree)
        for part in parts:
            node.addChild(part)
        return node

    def _node(self, node: ast.AST) -> libsbml.ASTNode:
        match node:
            case ast.Constant(value=int() | float() as value):
                return self.number(float(value))
            case ast.Name(id=name):
                return self.name(name)
            case ast.UnaryOp(op=op, operand=operand):
                inner = self._node(operand)
                return inner if isinstance(op, ast.UAdd) else self.apply("-", inner)
            case ast.BinOp(left=left, op=op, right=right):
                return self.apply(OPERATORS[type(op)], self._node(left), self._node(right))
            case ast.Call(func=ast.Name(id="to"), args=args):
                return self._converted(args)
            case ast.Call(func=ast.Name(id="where"), args=[ast.Compare() as comparison, yes, no]):
                return self.apply("piecewise", self._node(yes), self._compared(comparison), self._node(no))
            case ast.Call(func=ast.Name(id=function), args=args):
                self.uses_hill = self.uses_hill or function == HILL
                name = self.names.get(HILL, HILL) if function == HILL else function
                return self.apply(name, *(self._node(part) for part in args))
        raise ExpressionError(f"'{ast.unparse(node)}' cannot be written as MathML")

    def _compared(self, node: ast.Compare) -> libsbml.ASTNode:
        return self.apply(COMPARISONS[type(node.ops[0])], self._node(node.left), self._node(node.comparators[0]))

    def _converted(self, args: list[ast.expr]) -> libsbml.ASTNode:
        """Write ``to(x, "ng/mL")`` as a factor, such as 0.001 ng/pg, times x."""
        inner, unit, target = self._node(args[0]), node_unit(args[0], self.units), target_unit(args)
        if unit is None or unit_factor(unit, target) == 1.0:
            return inner
        factor = self.number(unit_factor(unit, target), unit_text(divided(target, unit)))
        return self.apply("*", factor, inner)
