"""The ```python blocks in the docstrings of public names."""

import inspect
import re
import textwrap
from types import ModuleType

import ban_tf


def blocks():
    """Returns the blocks of each public name that has some, ready to be run."""
    found = {}
    for name, thing in _public().items():
        texts = [inspect.getdoc(thing) or ""]
        if inspect.isclass(thing):
            methods = (value for value in vars(thing).values() if inspect.isfunction(value))
            texts += [inspect.getdoc(method) or "" for method in methods]
        examples = [block for text in texts for block in _of(text)]
        if examples:
            found[name] = examples
    return found


def _public():
    found = {f"ban_tf.{name}": getattr(ban_tf, name) for name in sorted(ban_tf.__all__)}
    for home, module in list(found.items()):
        if isinstance(module, ModuleType):
            for member in sorted(getattr(module, "__all__", None) or _defined_in(module)):
                thing = getattr(module, member)
                if all(thing is not other for other in found.values()):
                    found[f"{home}.{member}"] = thing
    return found


def _defined_in(module):
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]


def _of(text):
    fenced = re.findall(r"^( *)```python\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in fenced]
