#!/usr/bin/env bash
# Makes .venv-autofaiss: autofaiss in an environment of its own, since it needs numpy 1. Running it again only checks.
# pyarrow 26 needs numpy 2; FAISS from 1.14 on refuses how autofaiss makes its rotations.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ -x .venv/bin/python ] || { echo "there is no .venv: run make install first"; exit 1; }
[ -x .venv-autofaiss/bin/python ] || .venv/bin/python -m venv --without-pip .venv-autofaiss
echo "*" > .venv-autofaiss/.gitignore
.venv/bin/python -m pip --python .venv-autofaiss/bin/python install --quiet "autofaiss==2.18.0" "pyarrow<26" "faiss-cpu<1.14"
.venv-autofaiss/bin/python -c 'import autofaiss, faiss, numpy; print("ready: FAISS", faiss.__version__, "numpy", numpy.__version__)'
