"""Name → class, and a component from a table of fields; also what a component's key is made of."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from striate.errors import FileError, RecipeError, unknown

TABLES = {
    "dataset": ("striate.datasets", "NAMES"),
    "extractor": ("striate.extractors", "NAMES"),
    "encoder": ("striate.encoders", "NAMES"),
    "step": ("striate.encoders", "STEPS"),
    "split": ("striate.splits", "NAMES"),
}


def names(kind: str) -> dict[str, str]:
    """Short names of a kind of component → where they live; plug-ins of the environment too."""
    module, attribute = TABLES[kind]
    table = dict(getattr(importlib.import_module(module), attribute))
    for point in entry_points(group="striate"):
        if point.name.startswith(f"{kind}."):
            table.setdefault(point.name.removeprefix(f"{kind}."), point.value)
    return table


def find(kind: str, name: str, base: Path | None = None) -> Any:
    """The class behind a short name, ``package.module:Class`` or ``./file.py:Class``.

    A `kind` without a table of short names, such as ``function``, is always named in full.

    Raises
    ------
    RecipeError
        When there is no such name, module or class.

    """
    table = names(kind) if kind in TABLES else {}
    where = name if ":" in name else table.get(name, "")
    if not where:
        thing = "Class" if kind in TABLES else kind
        valid = [*table, f"package.module:{thing}", f"./file.py:{thing}"]
        raise RecipeError(unknown(kind, name, valid))
    module_name, _, class_name = where.rpartition(":")
    if module_name.endswith(".py"):
        module = _from_file(_locate(module_name, base))
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise RecipeError(
                f"{kind} {name!r} needs {module_name!r}, which does not import ({error});"
                " install it or correct the name"
            ) from error
    if not hasattr(module, class_name):
        thing, fits = ("class", inspect.isclass) if kind in TABLES else (kind, callable)
        valid = [n for n, o in vars(module).items() if fits(o)]
        raise RecipeError(unknown(f"{thing} in {module_name}", class_name, valid))
    return getattr(module, class_name)


def build(kind: str, table: Mapping[str, Any] | str, base: Path | None = None) -> Any:
    """A component from its line in a recipe: ``{use = "ridge", folds = 5}`` or just ``"ridge"``.

    A bare scikit-learn regressor class becomes an encoder of its own.

    Raises
    ------
    RecipeError
        On unknown names or fields and on values of the wrong type.

    """
    line: dict[str, Any] = {"use": table} if isinstance(table, str) else dict(table)
    name = line.pop("use", None)
    if not isinstance(name, str):
        raise RecipeError(f"{kind} {line} does not say which: add use = {_choices(kind)}")
    cls: type = find(kind, name, base)
    if kind == "encoder" and not dataclasses.is_dataclass(cls) and hasattr(cls, "get_params"):
        return build(kind, {"use": "sklearn", "estimator": name, "options": line}, base)
    if not dataclasses.is_dataclass(cls):
        raise RecipeError(f"{kind} {name!r} is no dataclass: decorate it with @dataclass")
    return make(cls, line, f"{kind} {name!r}", base)


def make(cls: type, line: Mapping[str, Any], what: str, base: Path | None = None) -> Any:
    """An instance of a dataclass from a table of fields, with types checked and coerced."""
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    hints = get_type_hints(cls)
    values = {}
    for key, value in line.items():
        if key not in fields:
            raise RecipeError(unknown(f"field of {what}", key, fields))
        kind = fields[key].metadata.get("kind")
        if kind:
            values[key] = build(kind, value, base)
            continue
        hint = hints[key]
        try:
            values[key] = _fitted(_beside(value, base), hint)
        except ValueError as error:
            raise RecipeError(
                f"{what}: {key} = {value!r} does not fit {_type_name(hint)}: {error}"
            ) from error
    missing = [
        f.name
        for f in fields.values()
        if f.name not in values
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(
            f"{what} needs {', '.join(missing)}: set it in the recipe or as key=value"
        )
    return cls(**values)


def _fitted(value: Any, hint: Any) -> Any:
    """The value as the type of a field; a lone value or `a,b` becomes a list where one is meant.

    Raises ValueError with the reason when it cannot.
    """
    from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return value
    readings: list[Any]
    if isinstance(value, Mapping):
        readings = [value]
    elif isinstance(value, list | tuple):
        # On the command line `test=92` reads as a number where a name may be meant.
        readings = [value, [str(v) for v in value]]
    else:
        parts = value.split(",") if isinstance(value, str) else [value]
        listed = [p.strip() if isinstance(p, str) else p for p in parts if p != ""]
        readings = [value, str(value), listed, [str(p) for p in listed]]
        if get_origin(hint) in (tuple, list):
            readings = readings[2:]
    reasons = []
    for reading in readings:
        try:
            return adapter.validate_python(reading)
        except ValidationError as error:
            reasons.append(error.errors()[0]["msg"])
    raise ValueError(reasons[0])


def table_of(component: Any, use: str) -> dict[str, Any]:
    """The component's line in a recipe, with every field written out."""
    line: dict[str, Any] = {"use": use}
    if dataclasses.is_dataclass(component):
        line |= {
            f.name: getattr(component, f.name) for f in dataclasses.fields(component) if f.init
        }
    if line.get("estimator") == use:
        line = {"use": use} | dict(line["options"])
    return {k: v for k, v in line.items() if v is not None}


def identity(component: Any) -> dict[str, Any]:
    """What makes a component's numbers what they are: class, version, source and fields.

    Fields whose metadata say ``machine`` are left out; a component may name its own identity by a
    method ``identity``, as extractors do to put digests in the place of paths.
    """
    cls = type(component)
    own = getattr(component, "identity", None)
    fields = dict(own()) if callable(own) else _fields(component)
    return origin(cls) | {"fields": fields}


def origin(cls: Any) -> dict[str, Any]:
    """Which class or function it is: name, version, and content of its file or its release."""
    return {
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "version": getattr(cls, "version", 1),
        "source": _source(cls.__module__),
    }


def key_of(*parts: Any) -> str:
    """Digest of anything made of tables, lists, text, numbers and components.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps([_plain(p) for p in parts], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _fields(component: Any) -> dict[str, Any]:
    return {
        f.name: _plain(getattr(component, f.name))
        for f in dataclasses.fields(component)
        if f.init and not f.metadata.get("machine")
    }


_LEAVES = (str, int, float, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return identity(value)
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, Iterable):
        # Keys are made of long lists of text and numbers, which need no look inside.
        return [v if type(v) in _LEAVES else _plain(v) for v in value]
    return str(value)


@cache
def _source(module: str) -> str:
    """Digest of a plug-in's file, and the release of the package that it comes from."""
    package = module.partition(".")[0]
    if package == "striate":
        return ""
    try:
        release = version(package)
    except PackageNotFoundError:
        release = ""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path and Path(path).is_file():
        content = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
        return f"{release} {content}".strip()
    return release


def _locate(name: str, base: Path | None) -> Path:
    for folder in (base, Path.cwd()):
        if folder is not None and (folder / name).is_file():
            return (folder / name).resolve()
    raise FileError(f"no file {name!r} beside the recipe ({base or Path.cwd()}): check the path")


def _from_file(path: Path) -> ModuleType:
    # The name follows the content, so an edited plug-in is a new module with a new key.
    name = f"{path.stem}_{hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RecipeError(
            f"{path} does not import ({type(error).__name__}: {error}); correct it, or put what it"
            " imports on PYTHONPATH"
        ) from error
    return module


def _beside(value: Any, base: Path | None) -> Any:
    """``./file.py:Class`` in a field, found beside the recipe; everything else as it is."""
    if base is not None and isinstance(value, str) and ".py:" in value:
        file, _, name = value.rpartition(":")
        if (base / file).is_file():
            return f"{(base / file).resolve()}:{name}"
    return value


def _choices(kind: str) -> str:
    return " | ".join(repr(n) for n in sorted(names(kind)))


def _type_name(hint: Any) -> str:
    if get_args(hint):
        return str(hint).replace("typing.", "").replace("pathlib.", "")
    return getattr(hint, "__name__", str(hint))
