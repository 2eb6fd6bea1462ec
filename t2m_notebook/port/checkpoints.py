"""Takes ``t2m.checkpoint(x, "name")`` out of source that is to be saved: a port needs nothing of this package."""

from __future__ import annotations

import libcst as cst
from libcst import matchers as m

PACKAGE = "t2m_notebook"
UNNAMED = "checkpoint"


def remove_checkpoints(source: str) -> str:
    """``source`` with every checkpoint replaced by the value that it looks at, and without the import that it needed.

    ``t2m.checkpoint(x, "n")``, ``t2m_notebook.checkpoint(...)`` and a bare ``checkpoint(...)`` are found, also under
    another name given by an import; a ``checkpoint`` that comes from elsewhere (``torch.utils.checkpoint``) or is
    defined in the source is left alone. A call that is a statement of its own goes altogether. Source without
    checkpoints comes back as it is, to the character. Raises ``libcst.ParserSyntaxError`` for broken source.
    """
    if "checkpoint" not in source:
        return source
    module = cst.parse_module(source)
    names = _Names()
    module.visit(names)
    removal = _Removal(names)
    changed = module.visit(removal)
    if not removal.count:
        return source
    return changed.visit(_Imports(names, _used(changed))).code


def without_checkpoints(text: str) -> str:
    """The text of a cell without its checkpoints; as it is where it can't be parsed yet."""
    try:
        return remove_checkpoints(text)
    except cst.ParserSyntaxError:
        return text


def checkpoint_names(text: str) -> tuple[str, ...]:
    """The names of the checkpoints in the text of a cell, in their order, each once; :data:`UNNAMED` for one whose name
    is no plain text. Empty where the cell can't be parsed yet."""
    if "checkpoint" not in text:
        return ()
    try:
        module = cst.parse_module(text)
    except cst.ParserSyntaxError:
        return ()
    names = _Names()
    module.visit(names)
    calls = [call for call in m.findall(module, m.Call()) if names.looks_at(call) is not None]  # type: ignore[arg-type]
    return tuple(dict.fromkeys(_name_of(call) for call in calls))  # type: ignore[arg-type]


def _name_of(call: cst.Call) -> str:
    given = [a.value for a in call.args if a.keyword is not None and a.keyword.value == "name"] or [
        a.value for a in call.args[1:] if a.keyword is None]
    value = given[0].evaluated_value if given and isinstance(given[0], (cst.SimpleString, cst.ConcatenatedString)) \
        else None
    return value if isinstance(value, str) and value else UNNAMED


class _Names(cst.CSTVisitor):
    """What the package and its function are called in this source."""

    def __init__(self) -> None:
        self.packages, self.functions = {"t2m", PACKAGE}, {"checkpoint"}

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            if m.matches(alias.name, m.Name(PACKAGE)) and alias.asname is not None:
                self.packages.add(alias.evaluated_alias or "")
            elif (alias.evaluated_alias or alias.evaluated_name.partition(".")[0]) in ("t2m", "checkpoint"):
                self.packages.discard(alias.evaluated_alias or "")
                self.functions.discard(alias.evaluated_alias or alias.evaluated_name)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        ours = node.module is not None and m.matches(node.module, m.Name(PACKAGE)) and not node.relative
        for alias in node.names if not isinstance(node.names, cst.ImportStar) else ():
            name = alias.evaluated_alias or alias.evaluated_name
            if ours and alias.evaluated_name == "checkpoint":
                self.functions.add(name)
            elif name == "checkpoint":
                self.functions.discard(name)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.functions.discard(node.name.value)

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
        if m.matches(node.target, m.Name()):
            self.functions.discard(node.target.value)  # type: ignore[attr-defined]

    def looks_at(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
        """The value inside a checkpoint call; None for any other expression."""
        if not isinstance(node, cst.Call) or not node.args or any(argument.star for argument in node.args):
            return None
        function = node.func
        ours = (
            isinstance(function, cst.Name)
            and function.value in self.functions
            or (
                isinstance(function, cst.Attribute)
                and function.attr.value == "checkpoint"
                and isinstance(function.value, cst.Name)
                and function.value.value in self.packages
            )
        )
        if not ours:
            return None
        by_name = {a.keyword.value: a.value for a in node.args if a.keyword is not None}
        return by_name.get("x") or (node.args[0].value if node.args[0].keyword is None else None)


_CLOSED = (cst.Name, cst.Attribute, cst.Call, cst.Subscript, cst.List, cst.Dict, cst.Integer, cst.Float)


class _Removal(cst.CSTTransformer):
    def __init__(self, names: _Names) -> None:
        self.names, self.count = names, 0

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        value = self.names.looks_at(updated_node)
        if value is None:
            return updated_node
        self.count += 1
        if isinstance(value, _CLOSED) or value.lpar:
            return value.with_changes(lpar=[*updated_node.lpar, *value.lpar], rpar=[*value.rpar, *updated_node.rpar])
        if updated_node.lpar:
            return value.with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)
        return value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        bare = self._bare(original_node.value, updated_node.value)
        return updated_node if bare is None else updated_node.with_changes(value=bare)

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> cst.Return:
        bare = self._bare(original_node.value, updated_node.value)
        return updated_node if bare is None else updated_node.with_changes(value=bare)

    def leave_Arg(self, original_node: cst.Arg, updated_node: cst.Arg) -> cst.Arg:
        bare = self._bare(original_node.value, updated_node.value)
        return updated_node if bare is None or updated_node.star else updated_node.with_changes(value=bare)

    def _bare(self, before: cst.BaseExpression | None, after: cst.BaseExpression | None) -> cst.BaseExpression | None:
        """The value without the brackets that only the checkpoint's place had needed."""
        if before is None or after is None or before is after or self.names.looks_at(before) is None or before.lpar:
            return None
        inner = self.names.looks_at(before)
        if isinstance(inner, (cst.GeneratorExp, cst.NamedExpr, cst.Tuple)) or inner.lpar:  # type: ignore[union-attr]
            return None
        return after.with_changes(lpar=after.lpar[1:], rpar=after.rpar[:-1]) if after.lpar else None

    def leave_SimpleStatementLine(self, original_node, updated_node):
        before = [
            part
            for part in original_node.body
            if not (isinstance(part, cst.Expr) and self.names.looks_at(part.value) is not None)
        ]
        if len(before) == len(original_node.body):
            return updated_node
        kept = [new for old, new in zip(original_node.body, updated_node.body, strict=True) if old in before]
        return updated_node.with_changes(body=kept) if kept else cst.RemoveFromParent()

    def leave_IndentedBlock(self, original_node, updated_node):
        if updated_node.body:
            return updated_node
        return updated_node.with_changes(body=[cst.SimpleStatementLine([cst.Pass()])])


class _Imports(cst.CSTTransformer):
    """Takes out imports of this package whose names are not used any more."""

    def __init__(self, names: _Names, used: set[str]) -> None:
        self.names, self.used = names, used

    def leave_Import(self, original_node, updated_node):
        kept = [
            a
            for a in updated_node.names
            if not (m.matches(a.name, m.Name(PACKAGE)) and (a.evaluated_alias or PACKAGE) not in self.used)
        ]
        return _without_comma(updated_node, kept)

    def leave_ImportFrom(self, original_node, updated_node):
        if (
            updated_node.module is None
            or not m.matches(updated_node.module, m.Name(PACKAGE))
            or isinstance(updated_node.names, cst.ImportStar)
        ):
            return updated_node
        kept = [a for a in updated_node.names if (a.evaluated_alias or a.evaluated_name) in self.used]
        return _without_comma(updated_node, kept)


def _without_comma(node, kept: list[cst.ImportAlias]):
    if not kept:
        return cst.RemoveFromParent()
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return node.with_changes(names=kept)


class _Used(cst.CSTVisitor):
    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Name(self, node: cst.Name) -> None:
        self.found.add(node.value)

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False


def _used(module: cst.Module) -> set[str]:
    used = _Used()
    module.visit(used)
    return used.found
