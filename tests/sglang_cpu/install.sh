#!/bin/bash
# install.sh VENV: an environment that serves with the stock SGLang 0.5.21 on a machine without a GPU, with this
# project and pytest in it. Linux x86-64, Python 3.11, about 90 s and 2.3 GB. Run the tests in it with
#     VENV/bin/python -m pytest -W default -m sglang tests/sglang_cpu
#
# SGLang's own requirements are CUDA wheels for the most part, so it goes in without them, followed by what it
# imports on the way to serving Gemma4.
set -euo pipefail
venv=${1:?usage: install.sh VENV}
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)

"${PYTHON:-python3.11}" -m venv "$venv"
install() { "$venv/bin/python" -m pip install --quiet "$@"; }

# TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes of CUDA libraries where it can be reached.
install torch==2.13.0 numpy ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
install --no-deps sglang==0.5.21 triton==3.7.1 torchvision==0.28.0 compressed-tensors==0.18.0 xgrammar==0.2.7
install torch==2.13.0 transformers==5.12.1 tokenizers==0.22.2 sentencepiece==0.2.1 apache-tvm-ffi==0.1.11 \
    soundfile==0.13.1 openai==2.6.1 orjson psutil pybase64 requests packaging pillow starlette msgspec pyzmq tqdm \
    ipython pydantic aiohttp dill loguru gguf uvloop partial_json_parser uvicorn fastapi setproctitle einops \
    jsonschema python-multipart numpy scipy ruamel.yaml filelock platformdirs click rich pyarrow matplotlib "ray[default]>=2.50,<3" pytest pytest-timeout
install --no-deps -e "$project"

site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
cp -r "$here/site/sgl_kernel" "$here/site/sglang_on_cpu.py" "$site/"
echo 'import sglang_on_cpu' > "$site/sglang_on_cpu.pth"
