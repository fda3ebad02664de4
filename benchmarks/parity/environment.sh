#!/usr/bin/env bash
# Makes .venv-peers: the peers at pinned versions on top of what .venv holds (a .pth file shows .venv's packages, so that
# torch is not installed again). Nothing in .venv changes. Running it again only checks.
set -euo pipefail
cd "$(dirname "$0")/../.."
pins=(clip-benchmark==1.6.2 mteb==2.26.24)  # sentence-transformers is the product's own

[ -x .venv/bin/python ] || { echo "there is no .venv: run make install first"; exit 1; }
if [ ! -x .venv-peers/bin/python ]; then
  echo "making .venv-peers"
  .venv/bin/python -m venv --without-pip .venv-peers
fi
ours=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
theirs=$(.venv-peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "import site; site.addsitedir('$ours')" > "$theirs/mella-venv.pth"

echo "installing ${pins[*]} into .venv-peers"
.venv/bin/python -m pip --python .venv-peers/bin/python install --quiet "${pins[@]}"
.venv/bin/python -m pip --python .venv-peers/bin/python check
.venv-peers/bin/python -c 'import clip_benchmark, mella_retrieval, mteb, sentence_transformers, torch'
echo "ready: .venv-peers/bin/python"
