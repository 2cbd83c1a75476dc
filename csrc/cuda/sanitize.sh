#!/usr/bin/env bash
# The GPU's kernels, run on the CPU under AddressSanitizer and UndefinedBehaviorSanitizer: every address a kernel touches.
# csrc/cuda/sanitize.sh [pytest arguments]; without any, all tests of these kernels. Uses the environment of `make test`.
set -euo pipefail
cd "$(dirname "$0")/../.."
# The interpreter isn't instrumented: the libraries have to be there before it, and what it leaks isn't ours.
export LD_PRELOAD="$(${CXX:-g++} -print-file-name=libasan.so) $(${CXX:-g++} -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0 OPENBLAS_NUM_THREADS=1 MINILLM_THREADS=1
export MINILLM_CUDASIM=1 MINILLM_CUDASIM_FLAGS="-O0 -fsanitize=address,undefined -fno-sanitize-recover=all"
if [ $# -eq 0 ]; then set -- -n auto tests/gpu -k "test_cuda and not compiles and not training"; fi
exec .venv/bin/python -m pytest "$@"
