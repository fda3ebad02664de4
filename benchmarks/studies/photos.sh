#!/usr/bin/env bash
# 878 JPEG photos through the real SqueezeNet tower, from the command line alone: imported, embedded, killed half-way and
# resumed, a paired ridge trained, indexed, searched and benchmarked in six languages.
set -euo pipefail
cd "$(dirname "$0")/../.."
shared=$(cd .. && pwd)/shared
photos=$shared/data/flickr8k-photos
[ -d "$photos" ] || { echo "this study needs shared/data/flickr8k-photos, which is not part of the repository."; exit 1; }
work=runs/photos
rm -rf "$work" && mkdir -p "$work"
PATH=$PWD/.venv/bin:$PATH
export PYTHONPATH=$PWD/benchmarks/studies
tower="module:squeezenet:SqueezeNet?weights=$shared/models/squeezenet1_0/model.safetensors"
text="sentence-transformers:$shared/models/minimulti"

mella data import "$photos" "$work/records" duplicates=keep
mella data check "$work/records"
mella data stats "$work/records"

embed=(mella embed images "$work/records" "$work/images" --tower "$tower" --allow-module --shard-rows 64 --batch-size 32)
"${embed[@]}" & job=$!
until [ "$(find "$work/images.partial" -name 'part-*.parquet' 2>/dev/null | wc -l)" -ge 6 ]; do sleep 0.1; done
kill -KILL "$job"; wait "$job" || true
echo "killed after $(find "$work/images.partial" -name 'part-*.parquet' | wc -l) of 14 shards; again:"
"${embed[@]}"
mella embed images "$work/records" "$work/undisturbed" --tower "$tower" --allow-module --shard-rows 64 --batch-size 32
diff -r "$work/images" "$work/undisturbed" && echo "the resumed set equals an undisturbed one, byte for byte"

mella embed texts "$work/records" "$work/texts" --tower "$text"
mella train ridge "$work/adapter" --pairs "$work/texts" --image-vectors "$work/images" gallery=centred
mella train ridge "$work/shuffled" --pairs "$work/texts" --image-vectors "$work/images" gallery=centred --shuffle-pairs
mella index build "$work/images" "$work/index" --adapter "$work/adapter"
mella search "$work/index" "dva psi běží ve sněhu" --lang cs -k 5
mella search "$work/index" "كلب يجري" --lang ar -k 5
first=$(find "$photos/images" -name '*.jpg' | sort | sed -n 1p)
mella search "$work/index" --image "$first" --image-tower "$tower" --allow-module -k 3
mella benchmark benchmarks/studies/photos.yaml --records "$work/records" --images "$work/images" --texts "$work/texts" \
  --adapter "$work/adapter" --baseline "ridge on shuffled pairs=$work/shuffled" --out "$work/result"
python benchmarks/studies/photos_table.py "$work/result"
