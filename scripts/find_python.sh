#!/bin/sh
# Prints the first Python that can make the environment: 3.11 or newer, with venv and ensurepip.
set -u

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
    if fits "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done

if [ -n "${PYTHON:-}" ]; then
    echo "$PYTHON is not a Python 3.11 or newer with the venv module." >&2
else
    echo "No Python 3.11 or newer with the venv module was found (looked for python3.11 to python3.14, python3, python)." >&2
    echo "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11" >&2
fi
exit 1
