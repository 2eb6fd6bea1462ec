"""One class with an edited text, run in the worker on the values that torch had.

The classes that it uses are the generated ones, so that a difference belongs to the edited text
alone. Standard library and MLX only.
"""

from __future__ import annotations

import ast
import linecache
import time
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from .cell_text import WrongText, binds, compiled, line_in, said, torch_hint, undefined_names, weights_said
from .checkpoints import Checkpoints, marks
from .compare import compare
from .results import arrays_in
from .statements import WATCH, Watched
from .torch_calls import instead, torch_calls

RESTORED = (mx, mx.fast, mx.linalg, mx.random, nn, nn.losses, nn.init)
GUARDED = (nn.Module, *(c for c in vars(nn).values() if isinstance(c, type) and issubclass(c, nn.Module)))


#: Seconds of running one class after which its further trials wait for the check of the whole model.
QUICK = 0.01


class Bench:
    """The generated classes of one port, the recorded values, and the comparisons of each class."""

    def __init__(self):
        self.base: dict[str, Any] = {}
        self.generated: dict[str, str] = {}
        self.points = Checkpoints()
        self.checks: dict[str, list[dict[str, Any]]] = {}
        self.values: dict[str, Any] = {}
        self.weights: dict[str, Any] = {}
        self.folder = ""
        self.torch: dict[str, str] = {}  # what a torch function or method is in MLX
        self._root: Any = None
        self.baselines: dict[tuple[int, int], Watched | None] = {}  # of each trial, the generated class watched

    # -- requests ---------------------------------------------------------------------------

    def live(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take over a port: its text, its checks, the files with weights and recorded values."""
        self.__init__()
        self.base = {"__name__": "t2m_port", "__file__": "model.py"}
        exec(compile(request["prelude"], "<port>", "exec"), self.base)
        self.base["t2m"], self.base["checkpoint"] = self.points, self.points.checkpoint
        for name, source in request["classes"]:
            self.generated[name] = source
            exec(compiled(source, name), self.base)
        for check in request["checks"]:
            self.checks.setdefault(check["class"], []).append(check)
        self.values = mx.load(request["values"])
        self.weights = mx.load(request["weights"])
        self.folder = request["folder"]
        self.load_text = request["load"]
        self.torch = request["torch"]
        return {"ok": True}

    def edit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check one class with the given text on every configuration that it has."""
        name, source, tolerance = request["class"], request["source"], request.get("tolerance") or 1.0
        before = _snapshot()
        self.points.start()
        started = time.perf_counter()
        answer: dict[str, Any] = {"ok": True, "state": "proven", "message": "", "line": None, "results": [],
                                  "weights": []}
        try:
            watched = Watched(source, eager=True) if request.get("eager") else None
            namespace = self.defined(name, source, watched)
            for check in self.checks.get(name, []):
                answer["results"].append(self._measured(namespace, check, tolerance, answer, QUICK))
        except WrongText as problem:
            answer.update(state="error", message=str(problem), line=problem.line)
        except BaseException as error:  # sys.exit and KeyboardInterrupt are the code's own
            word = getattr(error, "name", None) if isinstance(error, (NameError, AttributeError)) else None
            answer.update(state="error", message=instead(said(error), word, self.torch), line=line_in(error, name))
        if answer["state"] == "proven" and not all(r["ok"] for r in answer["results"]):
            answer["state"] = "diverges"
        answer["milliseconds"] = 1e3 * (time.perf_counter() - started)
        answer["left"] = self._torch_left(source) if answer["state"] != "proven" else []
        answer["checkpoints"] = self.points.found()
        answer["left"] += marks(source, answer["checkpoints"])
        answer["dirty"] = _changed(before)
        return answer

    def _torch_left(self, source: str) -> list[dict[str, Any]]:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        return list(torch_calls(tree, self.torch, set(dir(mx.array)), set(self.base)))

    def explain(self, request: dict[str, Any]) -> dict[str, Any]:
        """Where an edited class parts from torch, and what would mend it."""
        from .explanation import Explanation
        before = _snapshot()
        try:
            answer = Explanation(self).explained(request["class"], request["source"], request.get("tolerance") or 1.0,
                                                 request.get("seconds", 2.0))
        except BaseException as error:
            answer = {"ok": True, "parting": None, "fixes": [], "message": said(error)}
        answer["dirty"] = _changed(before)
        return answer

    def settle(self, request: dict[str, Any]) -> dict[str, Any]:
        """The classes above the edited ones, and the whole model, all with their present texts."""
        before = _snapshot()
        results, tolerance = [], request.get("tolerance") or 1.0
        try:
            names = dict(self.base)
            broken = None
            for name, generated in self.generated.items():
                try:
                    exec(compiled(request["sources"].get(name, generated), name), names)
                except BaseException as error:
                    broken = broken or f"{name} does not run: {said(error)}"
            if broken:
                return {"ok": True, "results": [], "broken": broken, "dirty": _changed(before)}
            exec(compile(self.load_text, "<port>", "exec"), names)
            for name, prefixes in request["check"].items():
                for check in self.checks.get(name, []):
                    if check["path"] not in prefixes:
                        continue
                    one: dict[str, Any] = {"weights": []}
                    try:
                        outcome = self._measured(names, check, tolerance, one)
                        for leaf in check["leaves"]:
                            outcome.setdefault("leaves", []).append(self.leaf(names, check, leaf, tolerance))
                    except BaseException as error:
                        outcome = {"id": check["id"], "path": check["path"], "ok": False, "message": said(error),
                                   "line": line_in(error, name), "difference": None, "allowed": None}
                    results.append(outcome)
        except BaseException as error:
            return {"ok": True, "results": results, "broken": said(error), "dirty": _changed(before)}
        return {"ok": True, "results": results, "broken": "", "dirty": _changed(before)}

    # -- steps ------------------------------------------------------------------------------

    def defined(self, name: str, source: str, watched: Watched | None = None) -> dict[str, Any]:
        """The names of the port with ``source`` executed. Raises :class:`WrongText`."""
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise WrongText(said(error), getattr(error, "lineno", None)) from None
        made = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        own = [node for node in made if node.name == name]
        if not own and not any(binds(node, name) for node in tree.body):
            others = ", ".join(node.name for node in made)
            found = f"the cell defines {others}" if others else "the cell defines no class"
            raise WrongText(f"{found}; the model calls it {name}. Keep that name, or reset the cell.",
                            made[0].lineno if made else None)
        if len(own) > 1:
            raise WrongText(f"{name} is defined twice; the second would win. Remove one.", own[1].lineno)
        undefined = undefined_names(source, tree, self.base)
        if undefined:
            word, line = undefined[0]
            raise WrongText(f"{word} is not defined{torch_hint(word)}", line)
        names = dict(self.base)
        if watched is not None:
            names[WATCH] = watched.watch
            exec(compile(watched.tree, f"<cell {name}>", "exec"), names)
        else:
            exec(compiled(source, name), names)
        if not (isinstance(names.get(name), type) and issubclass(names[name], nn.Module)):
            raise WrongText(f"{name} is no nn.Module: the model needs one", own[0].lineno if own else None)
        return names

    def instance(self, names: dict[str, Any], check: dict[str, Any], rows: list | None = None) -> Any:
        """The class built for one configuration, with its weights; rows tell what did not fit."""
        try:
            module = eval(check["construct"], names)
        except TypeError as error:
            if line_in(error, check["class"]) is None:
                raise WrongText(f"{error}: the model makes it as {check['construct']}") from None
            raise
        if module is None or not isinstance(module, nn.Module):
            raise WrongText(f"{check['construct']} gave {type(module).__name__}, not a module")
        prefix = check["prefix"] + "." if check["prefix"] else ""
        wanted = {key[len(prefix):]: value for key, value in self.weights.items() if key.startswith(prefix)}
        have = dict(tree_flatten(module.parameters()))
        found = []
        for key in [*wanted, *(k for k in have if k not in wanted)]:
            want, got = wanted.get(key), have.get(key)
            state = "extra" if want is None else "missing" if got is None else \
                "matched" if tuple(want.shape) == tuple(got.shape) else "shape"
            found.append({"name": prefix + key, "shape": list((got if got is not None else want).shape),
                          "wanted": list(want.shape) if want is not None else [], "state": state})
        if rows is not None:
            rows += found
        bad = [row for row in found if row["state"] != "matched"]
        if bad:
            names = [row["name"][len(prefix):].partition(".")[0] for row in bad if row["state"] != "missing"]
            raise WrongText(weights_said(bad, prefix), self._made_at(check["class"], names))
        module.load_weights(list(wanted.items()), strict=True)
        module.eval()
        return module

    def _made_at(self, name: str, attributes: list[str]) -> int | None:
        """The line of the cell that assigns one of ``self.<attributes>``."""
        text = linecache.cache.get(f"<cell {name}>")
        tree = ast.parse("".join(text[2])) if text else ast.Module([], [])
        lines = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Attribute) and target.attr in attributes]
        return min(lines, default=None)

    def run(self, names: dict[str, Any], module: Any, check: dict[str, Any], trial: dict[str, Any]) -> list[Any]:
        """The results of one configuration on one trial's inputs, evaluated."""
        scope = {**names, "mx": mx, "nn": nn, "module": module, **self.values}
        if "root" in check["reads"]:
            scope["root"] = self.root()
        got = list(arrays_in(eval(trial["expression"], scope)))
        mx.eval(got)
        return got

    def root(self) -> Any:
        """The whole generated model, for calls that are given another module's weights."""
        if self._root is None:
            names = dict(self.base)
            exec(compile(self.load_text, "<port>", "exec"), names)
            self._root = names["load"](self.folder)
        return self._root

    def _measured(self, names: dict[str, Any], check: dict[str, Any], tolerance: float, answer: dict[str, Any],
                  seconds: float | None = None) -> dict[str, Any]:
        started = time.perf_counter()
        module = self.instance(names, check, answer["weights"])
        built = time.perf_counter()
        outcome, _ = self.outcome(names, module, check, tolerance, seconds)
        outcome.update(id=check["id"], path=check["path"], run_milliseconds=1e3 * (time.perf_counter() - built),
                       build_milliseconds=1e3 * (built - started))
        return outcome

    def outcome(self, names: dict[str, Any], module: Any, check: dict[str, Any],
                tolerance: float, seconds: float | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The first trial's verdict, or that of a later one that differs; and which trial it was."""
        first: dict[str, Any] = {}
        started = time.perf_counter()
        for trial in check["trials"]:
            # the badge must not wait: what there is no time for is left to the check of the whole model
            if seconds is not None and first and time.perf_counter() - started > seconds:
                break
            # what the model itself gave the module is shown, not what it was tried on besides
            self.points.at(None if trial["number"] else check["path"])
            found = self.verdict(self.run(names, module, check, trial), trial["wanted"], tolerance)
            if found["ok"] and "noise" in trial:
                found = _tighter(found, trial["noise"], tolerance)
            if not found["ok"]:
                found["message"] += f" {trial['said']}" if trial["said"] else ""
                return found, trial
            if not first:
                first = {**found, "once_milliseconds": 1e3 * (time.perf_counter() - started)}
        return first, check["trials"][0]

    def calibrate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run every generated class. Names the classes that differ on the example itself; drops
        those other trials on which even the generated class differs, of which nothing can be said."""
        wrong: list[str] = []
        for name, checks in self.checks.items():
            for check in checks:
                good = []
                for trial in check["trials"]:
                    try:
                        module = self.instance(self.base, check)
                        found = self.verdict(self.run(self.base, module, check, trial), trial["wanted"], 1.0)
                        close = found["ok"]
                        if trial["number"]:
                            trial["noise"] = found["difference"]
                    except Exception:  # a stub says why it is one
                        close = False
                    if close:
                        good.append(trial)
                    elif not trial["number"]:
                        wrong.append(name)
                if check["trials"][0] not in good:
                    good = check["trials"][:1]
                check["trials"] = good
        kept = {str(check["id"]): {str(trial["number"]): trial.get("noise") for trial in check["trials"]}
                for checks in self.checks.values() for check in checks}
        return {"ok": True, "wrong": sorted(set(wrong)), "kept": kept}

    def verdict(self, got: list[Any], wanted: list[str], tolerance: float) -> dict[str, Any]:
        if len(got) != len(wanted):
            return {"ok": False, "difference": None, "allowed": None, "line": None,
                    "message": f"gave {len(got)} tensors, torch {len(wanted)}"}
        worst: dict[str, Any] = {"ok": True, "difference": 0.0, "allowed": 0.0, "message": "", "line": None}
        for position, (value, name) in enumerate(zip(got, wanted, strict=True)):
            one = compare(value, self.values[name])
            within = one["difference"] is not None and one["difference"] <= tolerance * one["allowed"]
            ok = one["ok"] or within
            one = {"ok": ok, "difference": one["difference"], "allowed": one["allowed"], "line": None,
                   "reference_max": one["reference_max"],
                   "message": "" if ok else one["message"] + (f" (result {position})" if len(got) > 1 else "")}
            if worst["ok"] and not ok or (worst["ok"] == ok and (one["difference"] or 0) > (worst["difference"] or 0)) \
                    or position == 0:
                worst = one
        return worst

    def leaf(self, names: dict[str, Any], check: dict[str, Any], leaf: dict[str, Any],
              tolerance: float) -> dict[str, Any]:
        """A layer inside the class, given what torch gave it."""
        module = self.instance(names, check)
        try:
            got = self.run(names, module, check, leaf)
            return {**self.verdict(got, leaf["wanted"], tolerance), "path": leaf["path"]}
        except BaseException as error:
            return {"ok": False, "difference": None, "allowed": None, "path": leaf["path"], "message": said(error)}


def _tighter(found: dict[str, Any], noise: float | None, tolerance: float) -> dict[str, Any]:
    """A verdict on scaled inputs, held to a fifth of the tolerance, or to ten times what the generated
    class differs by: inside a sum with a large number, two GELUs differ by less than the tolerance."""
    if noise is None or not found["allowed"] or found["allowed"] > 1e-5 + 2e-4 * found["reference_max"]:
        return found  # half precision: another order of the same sums gives another last bit
    allowed = max(tolerance * found["allowed"] / 5, 10 * noise)
    if found["difference"] <= allowed:
        return found
    return {**found, "ok": False, "allowed": allowed,
            "message": f"max|Δ| {found['difference']:.1e}, allowed {allowed:.1e}"}


def _snapshot() -> list[tuple[Any, dict[str, Any]]]:
    return [(place, dict(vars(place))) for place in (*RESTORED, *GUARDED)]


def _changed(before: list[tuple[Any, dict[str, Any]]]) -> bool:
    """Whether the code changed MLX itself, for which a new worker is the remedy."""
    for place, was in before:
        now = vars(place)
        if len(now) != len(was) or any(now.get(key) is not value for key, value in was.items()):
            return True
    return False
