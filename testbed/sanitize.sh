#!/usr/bin/env bash
# Compiles the data path with AddressSanitizer and UBSan, in a copy under build/, and runs the unit tests and
# `tests.fuzz` with it: ten minutes of it, or as many seconds as the first argument says. Any wrong access ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "sanitize.sh: $seconds is no whole number of seconds" >&2; exit 2; }
python=$PWD/.venv/bin/python
copy=build/sanitized

mkdir -p "$copy"
rm -rf "$copy"/{atmdepot,tests}  # a module that is no more would still be built
git ls-files -z | xargs -0 cp --parents -t "$copy"
cd "$copy"
echo "building in $copy"
ATMDEPOT_SANITIZE=1 "$python" setup.py -q build_ext --inplace

# Python's own allocator would hide what lies beyond an object; what it never frees at its end is no leak of ours.
export PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
"$python" -m tests.fuzz --seconds "$seconds"
# Left out: what runs compilers, tshark, or a command without this environment, none of which bears what is preloaded.
"$python" -m pytest -q -n 2 -m "not namespaces and not docker and not tshark" -p no:cacheprovider \
    --ignore tests/test_package.py --deselect tests/commands/test_container.py::test_a_node_that_the_table_does_not_have \
    --deselect tests/trace/test_wireshark.py::test_the_page_names_every_field_and_preference
