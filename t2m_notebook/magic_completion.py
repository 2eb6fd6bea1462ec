"""Completion behind our magics: the user's names, in the first place those of the kind that the magic is about."""

from __future__ import annotations

import re
import rlcompleter

from IPython import get_ipython
from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from torch import nn

from .magic_line import Option

OPTIONS: dict[str, dict[str, Option]] = {}  # magic -> its options and what each does
SUBJECTS: dict[str, type] = {}  # magic -> what its first word is

# The word at the cursor starts after a space, a bracket, a comma or an equals sign, not inside a string.
_OUR_MAGIC = re.compile(r"%(?P<name>t2m_\w+)\s(?P<before>(?:.*[\s(\[{,=])?)(?P<word>--[\w-]*|[\w.]*)$")


@context_matcher(identifier="t2m_notebook", priority=100)
def complete(context: CompletionContext) -> dict:
    """Completes the words of our magics, also in ``report = %t2m_analyze mo``, which IPython doesn't.

    The user's names; in the first place those that are models, or ports; attributes after a dot; options after
    ``--``.
    """
    match, shell = _OUR_MAGIC.search(context.line_with_cursor), get_ipython()
    if match is None or shell is None:
        return {"completions": []}
    word, names = match["word"], shell.user_ns
    if word.startswith("--"):
        found = [f"--{option}" for option in OPTIONS.get(match["name"], ())]
    elif "." in word:
        found = [name.removesuffix("(") for name in rlcompleter.Completer(dict(names)).attr_matches(word)]
    else:
        found = [name for name in names if word or not name.startswith("_")]
        kind = SUBJECTS.get(match["name"], nn.Module)
        subjects = [name for name in found if isinstance(names[name], kind) and name.startswith(word)]
        found = subjects if subjects and not match["before"].strip() else found
    completions = [SimpleCompletion(name) for name in found if name.startswith(word)]
    return {"completions": completions, "matched_fragment": word, "suppress": bool(completions)}
