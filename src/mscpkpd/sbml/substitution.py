"""Formulas with names replaced by other formulas."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from mscpkpd.expressions import Expression, parse

__all__ = ["substituted", "substituted_text"]


def substituted(expression: Expression, texts: Mapping[str, str], where: str = "") -> Expression:
    """Return a formula with names replaced by formulas.

    Parameters
    ----------
    expression : Expression
        The formula.
    texts : mapping of str to str
        Formula that takes the place of a name.
    where : str
        File and element, for the error message.

    Raises
    ------
    ExpressionError
        If the result is too large for the language.
    """
    if not expression.names & texts.keys():
        return expression
    return parse(substituted_text(expression.text, texts), where=where)


def substituted_text(formula: str, texts: Mapping[str, str]) -> str:
    """Return the text of a formula with names replaced by formulas; nothing is checked."""
    return ast.unparse(_Replacement(texts).visit(ast.parse(formula, mode="eval").body))


class _Replacement(ast.NodeTransformer):
    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.parse(self.texts[node.id], mode="eval").body if node.id in self.texts else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = [self.visit(argument) for argument in node.args]  # the function keeps its name
        return node
