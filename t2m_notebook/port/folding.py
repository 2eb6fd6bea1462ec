"""Negative numbers as one constant, and back."""

from __future__ import annotations

import ast


class Fold(ast.NodeTransformer):
    """``-1`` as one constant, so that 1 and -1 differ in the number only."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.USub) and isinstance(inner, ast.Constant) and type(inner.value) in (int, float):
            return ast.Constant(-inner.value)
        return node


class Unfold(ast.NodeTransformer):
    """Back to ``-1`` as Python writes it."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) in (int, float) and str(node.value).startswith("-"):
            return ast.UnaryOp(ast.USub(), ast.Constant(-node.value))
        return node
