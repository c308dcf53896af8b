"""The house itself: light imports, names that load, size, mirrored tests, documents that hold."""

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import striate
from striate.recipe import load_recipe, shipped

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "striate"
MODULES = sorted(p.relative_to(SOURCE) for p in SOURCE.rglob("*.py"))
TEXTS = sorted(
    p
    for folder in ("src", "tests", "examples", "benchmarks", "scripts", "docs", ".ci")
    for p in (ROOT / folder).rglob("*")
    if p.is_file() and "__pycache__" not in p.parts and p.suffix not in (".npy", ".png", ".jpg")
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *SOURCE.rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
LONGEST = 400

TESTED_THROUGH = {
    "datasets/folder/test_dataset.py": (
        "datasets/folder/shown.py",
        "datasets/folder/tables.py",
    ),
    "datasets/algonauts2019/test_dataset.py": (
        "datasets/algonauts2019/rdm_files.py",
        "datasets/algonauts2019/submission.py",
    ),
    "datasets/test_twins.py": (
        "datasets/algonauts2019/twin.py",
        "datasets/folder/twin.py",
        "datasets/made_up.py",
    ),
    "test_cli.py": ("cli/data.py", "cli/finished.py", "cli/options.py", "cli/recipes.py"),
    "run/test_compare.py": ("run/reopened.py",),
    "report/test_comparison.py": ("report/comparison_page.py",),
    "encoders/test_ridge.py": ("encoders/linear.py",),
    "report/test_page.py": (
        "report/canvas.py",
        "report/contest.py",
        "report/figures.py",
        "report/fits.py",
        "report/markup.py",
        "report/rdms.py",
        "report/tables.py",
    ),
}
"""Tests, and the modules that they test by way of the one that uses them."""


def told(path: Path) -> str:
    """The path as it is said in messages."""
    return str(path).replace("\\", "/")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_import_is_light():
    code = "import sys, striate; print(sorted(m.partition('.')[0] for m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("torch", "numpy", "pandas", "scipy", "matplotlib", "xarray"):
        assert f"'{heavy}'" not in found.stdout, f"`import striate` imports {heavy}"


def test_help_is_light():
    code = "import sys, striate.cli; print(sorted(m.partition('.')[0] for m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'torch'" not in found.stdout
    assert "'pandas'" not in found.stdout


def test_public_names_are_sorted_and_load():
    assert striate.__all__ == sorted(striate.__all__, key=lambda n: (n.lower() == n, n))
    assert set(striate.__all__) <= set(dir(striate))
    for name in striate.__all__:
        assert getattr(striate, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = striate.nonsense


@pytest.mark.parametrize("module", [m for m in MODULES if m.name == "__init__.py"], ids=told)
def test_names_of_a_folder_load(module):
    name = ".".join(("striate", *module.parent.parts))
    loaded = importlib.import_module(name)
    for public in getattr(loaded, "__all__", []):
        assert hasattr(loaded, public), f"{name}.__all__ names {public}, which is not there"


@pytest.mark.parametrize("module", MODULES, ids=told)
def test_module_opens_with_one_sentence(module):
    text = ast.get_docstring(parsed(SOURCE / module)) or ""
    first = text.partition("\n\n")[0]
    assert first, f"{module} has no docstring"
    assert first.endswith((".", ":")), f"{module} opens with {first!r}: end the sentence"
    sentences = re.findall(r"[.!?] +[A-Z]", " ".join(first.split()))
    assert not sentences, f"{module} opens with more than one sentence: {first!r}"


@pytest.mark.parametrize("module", MODULES, ids=told)
def test_no_call_that_runs_what_it_reads(module):
    wrong = [
        f"line {node.lineno}: {reason}"
        for node in ast.walk(parsed(SOURCE / module))
        if isinstance(node, ast.Call) and (reason := forbidden(node))
    ]
    assert not wrong, f"{module}: {wrong}"


def forbidden(call: ast.Call) -> str:
    """Why a call may not stand in the source, or nothing."""
    name = ast.unparse(call.func)
    given = {k.arg: k.value for k in call.keywords if k.arg}
    if name in ("eval", "exec", "compile", "__import__", "os.system", "os.popen"):
        return name
    if name.partition(".")[0] in ("pickle", "cloudpickle", "dill", "marshal", "shelve"):
        return name
    if name in ("yaml.load", "joblib.load", "torch.hub.load", "pd.read_pickle"):
        return name
    if name.endswith("torch.load") and not is_true(given.get("weights_only")):
        return "torch.load without weights_only=True"
    if is_true(given.get("allow_pickle")) or is_true(given.get("shell")):
        return "allow_pickle=True or shell=True"
    return ""


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def test_forbidden_calls_are_seen():
    for line in ("np.load(f, allow_pickle=True)", "torch.load(f)", "pickle.load(f)", "eval('1')"):
        assert forbidden(ast.parse(line, mode="eval").body)
    for line in ("np.load(f)", "torch.load(f, weights_only=True)", "re.compile('a')", "m.eval()"):
        assert not forbidden(ast.parse(line, mode="eval").body)


@pytest.mark.parametrize("module", MODULES, ids=told)
def test_files_stay_short(module):
    lines = len((SOURCE / module).read_text("utf-8").splitlines())
    assert lines <= LONGEST, f"{module} has {lines} lines: is it two ideas?"


@cache
def modules_in_tests() -> frozenset[str]:
    """Names of the modules whose objects the tests import, wherever those are defined."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                found |= {a.name for a in node.names if a.name.startswith("striate")}
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("striate"):
                continue
            home = importlib.import_module(str(node.module))
            found.add(home.__name__)
            for alias in node.names:
                thing = getattr(home, alias.name, None)
                if thing is None:
                    found.add(f"{home.__name__}.{alias.name}")
                else:
                    found.add(getattr(thing, "__module__", None) or getattr(thing, "__name__", ""))
    return frozenset(found)


@pytest.mark.parametrize(
    "module",
    [m for m in MODULES if not m.name.startswith("_") and m.parts[0] != "recipes"],
    ids=told,
)
def test_module_has_tests(module):
    """By a file of its own name, or by tests that import what it defines."""
    place = ROOT / "tests" / module.parent
    if (place / f"test_{module.stem}.py").is_file() or (place / module.stem).is_dir():
        return
    for test, modules in TESTED_THROUGH.items():
        if told(module) in modules:
            assert (ROOT / "tests" / test).is_file()
            return
    if ".".join(("striate", *module.with_suffix("").parts)) not in modules_in_tests():
        pytest.fail(f"nothing in tests/ is named for {module} or imports what it defines")


def test_no_notes_to_self():
    words = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    wrong = [told(p.relative_to(ROOT)) for p in [*TEXTS, *DOCUMENTS] if words.search(read(p))]
    assert not wrong


def read(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def tree_of(text: str) -> list[str]:
    """Paths of an annotated tree: two spaces of indent per level, a comment after two or more."""
    paths: list[str] = []
    above: list[str] = []
    for line in text.splitlines():
        entry = re.match(r"( *)(\S+(?: · \S+)*)(?:  |$)", line)
        if not entry:
            continue
        depth = len(entry[1]) // 2
        for name in entry[2].split(" · "):
            above = [*above[:depth], name.rstrip("/")]
            paths.append("/".join(above))
    return paths


@pytest.mark.parametrize("document", ["README.md", "ARCHITECTURE.md"])
def test_tree_names_what_exists(document):
    blocks = re.findall(r"```tree\n(.*?)```", read(ROOT / document), re.DOTALL)
    if document == "README.md":
        assert blocks, "the README has no annotated tree"
    for block in blocks:
        paths = tree_of(block)
        assert len(paths) > 10
        gone = [p for p in paths if not (ROOT / p).exists()]
        assert not gone, f"{document} names what does not exist: {gone}"


def test_tree_is_complete():
    block = re.findall(r"```tree\n(.*?)```", read(ROOT / "README.md"), re.DOTALL)[0]
    told_of = set(tree_of(block))
    there = [
        p for p in SOURCE.iterdir() if p.name not in ("__init__.py", "py.typed", "__pycache__")
    ]
    there += [p for p in (ROOT / "scripts").iterdir() if not p.name.startswith("_")]
    there += list((ROOT / "examples").glob("*.py"))
    lost = [n for p in there if (n := told(p.relative_to(ROOT))) not in told_of]
    assert not lost, f"the README's tree does not tell of {lost}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: told(p.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(document)):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("name", shipped())
def test_recipe_introduces_itself(name):
    recipe = load_recipe(name)
    assert recipe.title, f"{name} has no title"
    assert recipe.dataset.get("use"), f"{name} does not say which dataset"
    folder, _, stem = name.rpartition("/")
    assert (SOURCE / "recipes" / folder / "README.md").is_file(), f"no README beside {name}"
    assert f"`{stem}`" in read(SOURCE / "recipes" / folder / "README.md"), (
        f"recipes/{folder}/README.md does not tell of {name}"
    )


def test_documents_name_recipes_that_exist():
    pattern = re.compile(r"striate (?:run|show) ([a-z0-9_/]+)(?![\w./])|load_recipe\(\"([\w/]+)\"")
    sources = [*DOCUMENTS, *(ROOT / "examples").glob("*.py")]
    named = {(p.name, a or b) for p in sources for a, b in pattern.findall(read(p))}
    assert named, "no document shows how to run a recipe"
    wrong = [(where, n) for where, n in sorted(named) if n not in shipped() and n != "runs/"]
    assert not wrong


def test_scripts_can_be_called():
    for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]:
        if not path.name.startswith("_"):
            assert path.stat().st_mode & 0o111, f"{path} is not executable"
        subprocess.run(["sh", "-n", str(path)], check=True)
