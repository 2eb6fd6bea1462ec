"""What every file of blocks promises: one name once, pure MLX, documented, used, compilable."""

from __future__ import annotations

import ast
import collections
import re
import sys
from pathlib import Path

import mlx.core as mx
import pytest

import t2m_notebook
from t2m_notebook import blocks

PACKAGE = Path(t2m_notebook.__file__).parent
FILES = sorted(file for file in (PACKAGE / "blocks").glob("*.py") if file.name != "__init__.py")
TREES = {file.stem: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
each_file = pytest.mark.parametrize("name", TREES)


def definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    return {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def exported(tree: ast.Module) -> list[str]:
    lists = [node.value for node in tree.body if isinstance(node, ast.Assign)
             and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)]
    return ast.literal_eval(lists[0]) if lists else []


def test_names_are_unique():
    """A saved port carries several blocks in one file."""
    found = collections.Counter(name for tree in TREES.values() for name in definitions(tree))
    assert [name for name, count in found.items() if count > 1 and not name.startswith("_")] == []


def test_private_names_are_unique_too():
    found = collections.Counter(name for tree in TREES.values() for name in definitions(tree) if name.startswith("_"))
    found.update(target.id for tree in TREES.values() for node in tree.body if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name) and target.id != "__all__")
    assert [name for name, count in found.items() if count > 1] == []


@each_file
def test_all_lists_what_is_public(name):
    public = {found for found in definitions(TREES[name]) if not found.startswith("_")}
    listed = exported(TREES[name])
    assert set(listed) <= public and len(listed) == len(set(listed))
    used_elsewhere = (PACKAGE / "blocks" / f"{name}.py").read_text(encoding="utf-8")
    for helper in public - set(listed):
        assert len(re.findall(rf"\b{helper}\b", used_elsewhere)) > 1, f"{helper} is neither exported nor used"


@each_file
def test_it_imports_mlx_and_the_standard_library_only(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            roots = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots = [node.module.partition(".")[0]]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 and node.module in TREES, ast.unparse(node)
            continue
        else:
            continue
        assert all(root == "mlx" or root in sys.stdlib_module_names for root in roots), ast.unparse(node)


@each_file
def test_what_is_exported_says_what_it_does(name):
    found = definitions(TREES[name])
    assert ast.get_docstring(TREES[name])
    assert [block for block in exported(TREES[name]) if not ast.get_docstring(found[block])] == []


@each_file
def test_each_block_is_used(name):
    rules = "\n".join(file.read_text(encoding="utf-8") for file in (PACKAGE / "rules").glob("*.py"))
    others = "\n".join(file.read_text(encoding="utf-8") for file in FILES)
    unused = [block for block in exported(TREES[name]) if not re.search(rf"\b{block}\b", rules)
              and len(re.findall(rf"\b{block}\b", others)) < 3  # its definition and its place in __all__
              and not emitted_by_pattern(block, rules)]
    assert unused == []


def emitted_by_pattern(block: str, rules: str) -> bool:
    """True for a name that a rule puts together, such as ``f"PaddedConv{spatial}d"``."""
    patterns = [re.escape(text) for text in re.findall(r'f"([\w{}]+)"', rules) if "{" in text]
    patterns = [re.sub(r"\\\{\w+\\\}", r"\\w+", pattern) for pattern in patterns]
    return any(re.fullmatch(pattern, block) and re.search(r"[a-zA-Z]{3}", pattern.replace(r"\w+", ""))
               for pattern in patterns)


def test_no_block_reads_a_value_unless_it_says_so():
    """``item()`` inside mx.compile raises: what needs it says that it evaluates."""
    for file, tree in TREES.items():
        for name, node in definitions(tree).items():
            if re.search(r"\.(item|tolist)\(\)", ast.unparse(node)) and not name.startswith("_"):
                assert "valuat" in (ast.get_docstring(node) or ""), f"{file}.{name}"


X = mx.arange(24, dtype=mx.float32).reshape(2, 3, 4) / 7 - 1
SQUARE = mx.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]])


@pytest.mark.parametrize("function, x", [
    (lambda x: blocks.vector_norm(x, axis=-1), X), (lambda x: blocks.median(x), X),
    (lambda x: blocks.standard_deviation(x, axis=1), X), (lambda x: blocks.sort_descending(x)[0], X),
    (lambda x: blocks.top_values(x, 2)[0], X), (lambda x: blocks.fill_at(x, 1, mx.array([0, 0]), 2.0), X),
    (lambda x: blocks.group_norm_last_axis(x, 2), X), (lambda x: blocks.layer_norm_with_statistics(x, 1)[0], X),
    (lambda x: blocks.batch_norm_by_batch(x)[0], X), (lambda x: blocks.safe_softmax(x), X),
    (lambda x: blocks.matrix_exponential(x), SQUARE), (lambda x: blocks.inverse(x), SQUARE),
    (lambda x: blocks.determinant(x), SQUARE), (lambda x: blocks.cholesky_factor(x), SQUARE),
    (lambda x: blocks.symmetric_eigenvalues(x), SQUARE), (lambda x: blocks.singular_values(x), SQUARE),
    (lambda x: blocks.singular_vectors(x)[1], SQUARE), (lambda x: blocks.row_distances(x), SQUARE),
])
def test_the_same_when_compiled_and_differentiable(function, x):
    plain, compiled = function(x), mx.compile(function)(x)
    assert mx.allclose(plain, compiled, rtol=1e-5, atol=1e-6).item()
    gradient = mx.grad(lambda x: function(x).sum())(x)
    assert gradient.shape == x.shape and mx.isfinite(gradient).all().item()


def test_the_package_exports_them_all():
    assert all(hasattr(t2m_notebook.blocks, name) for tree in TREES.values() for name in exported(tree))
