# Sourced by the other scripts: `install EXTRAS` makes .venv and installs striate into it, once.
#
# What was installed is remembered in .venv/.striate-EXTRAS, a digest of pyproject.toml,
# constraints.txt, the place of this folder and the version of Python; nothing is done while it holds.
# PYTHON=/path/to/python chooses an interpreter. Only the package index is asked for anything.

cd "$(dirname "$0")/.." || exit 1

say() { printf '%s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || {
            say "striate needs Python 3.11 or newer, but PYTHON=$PYTHON is older or does not run."
            return 1
        }
        printf '%s\n' "$PYTHON"
        return
    fi
    for name in python3 python python3.14 python3.13 python3.12 python3.11; do
        new_enough "$name" && { printf '%s\n' "$name"; return; }
    done
    found=$(python3 --version 2>&1 || true)
    say "striate needs Python 3.11 or newer, but found ${found:-none}."
    say "Install one (https://www.python.org/downloads) or name it: PYTHON=/path/to/python $0"
    return 1
}

make_venv() {
    python=$(find_python) || return 1
    say "striate: making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv >/dev/null 2>&1 && return
    # Some systems ship venv without ensurepip: their own pip can fill the environment.
    "$python" -m venv --clear --without-pip .venv &&
        "$python" -m pip --python .venv/bin/python install -q pip && return
    say "striate could not make .venv with $python: install its venv module (python3-venv on Debian)."
    return 1
}

digest() {
    .venv/bin/python - <<'PYTHON'
import hashlib, pathlib, sys
text = [pathlib.Path(f).read_text() for f in ("pyproject.toml", "constraints.txt")]
print(hashlib.sha256("\n".join([*text, sys.version, str(pathlib.Path.cwd())]).encode()).hexdigest())
PYTHON
}

# install EXTRAS...: each set of extras has a stamp of its own; `dev` holds what a bare one needs.
install() {
    if ! .venv/bin/python -c '' >/dev/null 2>&1; then
        make_venv || exit 1
    fi
    if ! new_enough .venv/bin/python; then
        say "striate needs Python 3.11 or newer, but .venv has $(.venv/bin/python --version 2>&1)."
        say "Remove the folder .venv and call $0 again."
        exit 1
    fi
    wanted=$(digest) || exit 1
    for stamp in "$1" "${2:-$1}"; do
        [ "$(cat ".venv/.striate-$stamp" 2>/dev/null)" = "$wanted" ] && return
    done
    what=.
    [ "$1" = base ] || what=".[$1]"
    say "striate: installing $what into .venv (this once; minutes at most)"
    if ! .venv/bin/python -m pip install -q --disable-pip-version-check \
        -c constraints.txt -e "$what"; then
        say "striate: the installation failed, see above; is the package index within reach?"
        exit 1
    fi
    printf '%s\n' "$wanted" >".venv/.striate-$1"
}

# Demo and tests: no downloads, no windows, one thread per process.
quiet() {
    export HF_HUB_OFFLINE=1 MPLBACKEND=Agg PYTHONUNBUFFERED=1
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
    export MKL_NUM_THREADS="${MKL_NUM_THREADS:-1}" NUMEXPR_NUM_THREADS="${NUMEXPR_NUM_THREADS:-1}"
}
