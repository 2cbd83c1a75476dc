#!/usr/bin/env bash
# The kernels' tests under the compiler's checks: csrc/sanitize.sh address,undefined (memory, arithmetic) or thread (races).
# Everything is built and installed below build/, beside the everyday build.
set -euo pipefail
checks=${1:?which checks? address,undefined or thread}
cd "$(dirname "$0")/.."
place=$PWD/build/sanitize-${checks%%,*}
rm -rf "$place"
mkdir -p "$place"
cp -r tests pyproject.toml "$place" # without minillm/: what is tested is the installed one
python3 -m venv "$place/env"
"$place/env/bin/pip" install --quiet --disable-pip-version-check ".[test]" \
  -C "cmake.define.MINILLM_SANITIZE=$checks" -C "build-dir=$place/cmake"

case $checks in
address*) library=libasan.so ;;
thread) library=libtsan.so ;;
esac
# The interpreter isn't instrumented: the library has to be there before it, and what it leaks isn't ours.
# So has the C++ library, whose exceptions it watches.
export LD_PRELOAD="$(${CXX:-g++} -print-file-name=$library) $(${CXX:-g++} -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0 TSAN_OPTIONS="halt_on_error=1 die_after_fork=0"
export OPENBLAS_NUM_THREADS=1 # its own threads aren't instrumented either, and would be reported
cd "$place"
setarch -R env/bin/python -m pytest tests/native "${@:2}" # -R: ThreadSanitizer needs addresses that don't vary
