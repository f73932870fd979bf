#!/usr/bin/env bash
# In: Debian with Python 3.11 or newer. Out: .venv with ReelTag and all its tests need.
#
# Safe to call again and again: a stamp remembers what was installed, and the second
# call is instant. A failed or killed install leaves no stamp, so the next call goes on.
# PYTHON=python3.12 chooses the interpreter; without it an existing .venv is kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/.reeltag-ready
torch=torch==2.13.0 # first and pinned: whatever depends on torch then leaves it alone

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local name
  if [[ -n ${PYTHON:-} ]]; then
    command -v "$PYTHON" >/dev/null || fail "Got PYTHON=$PYTHON, which is not on this machine."
    new_enough "$PYTHON" ||
      fail "Got PYTHON=$PYTHON ($("$PYTHON" --version 2>&1)), expected Python 3.11 or newer."
    echo "$PYTHON"
    return
  fi
  for name in python3 python3.11 python3.12 python3.13 python3.14; do
    if new_enough "$name"; then
      echo "$name"
      return
    fi
  done
  fail "Got $(python3 --version 2>&1 || echo 'no python3'), expected Python 3.11 or newer." \
    "Install one and name it: PYTHON=python3.12 make test"
}

# The .venv runs, has pip, lies where it was made, and is of the Python asked for.
venv_is_good() {
  local version
  [[ -x $venv/bin/python ]] || return 1
  new_enough "$venv/bin/python" || return 1
  "$venv/bin/python" -c 'import pip' >/dev/null 2>&1 || return 1
  grep -qF "$(pwd -P)/$venv" "$venv/bin/activate" 2>/dev/null || return 1
  [[ -z ${PYTHON:-} ]] && return 0
  version='import sys; print(sys.version_info[:2])'
  [[ $("$venv/bin/python" -c "$version") == "$("$PYTHON" -c "$version")" ]]
}

# In: a Debian package and what is missing without it. Installs it, or says what to do.
apt_install() {
  local package=$1 missing=$2 sudo=()
  command -v apt-get >/dev/null || fail "$missing Install what Debian calls $package."
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || fail "$missing Run: sudo apt-get install $package"
    sudo=(sudo -n)
  fi
  say "installing the Debian package $package"
  "${sudo[@]}" apt-get update -qq >/dev/null || true
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null ||
    fail "$missing Installing $package failed; the lines above say why."
}

# Debian ships venv and ensurepip apart from python3.
ensure_venv_module() {
  local python=$1 package=python3-venv
  "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return
  local version='import sys; print("%d.%d" % sys.version_info[:2])'
  if [[ $("$python" -c "$version") != "$(python3 -c "$version" 2>/dev/null)" ]]; then
    package=python$("$python" -c "$version")-venv
  fi
  local missing="$python cannot make a virtual environment."
  apt_install "$package" "$missing"
  "$python" -c 'import ensurepip, venv' ||
    fail "$missing $package is installed, yet the modules are missing."
}

# LightGBM's wheel brings no OpenMP of its own.
ensure_openmp() {
  "$venv/bin/python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' >/dev/null 2>&1 ||
    apt_install libgomp1 "LightGBM needs libgomp.so.1."
}

# The service's tests use a real PostgreSQL and a real browser; where one cannot be had they are
# skipped and say so. In: a Debian package, a pattern of a file it brings, and who needs it.
offer() {
  local package=$1 file=$2 who=$3
  compgen -G "$file" >/dev/null && return
  (apt_install "$package" "$who need it.") ||
    say "going on without $package: ${who,} will be skipped"
}

install() {
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@" ||
    fail "pip could not install $*; the lines above say why. Run the same command again to go on."
}

# One set-up at a time: two would write into one .venv.
mkdir -p build
if command -v flock >/dev/null; then
  exec 9>build/.setup.lock
  flock 9
fi

python=
if [[ -n ${PYTHON:-} ]]; then python=$(find_python); fi
wanted=$(cat pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1)
good=no
if venv_is_good; then good=yes; fi
if [[ $good == yes && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
  exit 0
fi

rm -f "$stamp"
if [[ $good == no ]]; then
  python=${python:-$(find_python)}
  ensure_venv_module "$python"
  say "making $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv" || fail "$python could not make $venv; the lines above say why."
fi
say "installing torch (the largest part; a few minutes the first time)"
install "$torch"
say "installing ReelTag and its tools"
install -e '.[dev]'
ensure_openmp
offer postgresql '/usr/lib/postgresql/*/bin/initdb' "The tests of the store on PostgreSQL"
offer chromium /usr/bin/chromium "The tests of the page"
echo "$wanted" >"$stamp.tmp"
mv "$stamp.tmp" "$stamp"
say "ready: $venv/bin/reeltag"
