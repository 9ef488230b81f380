#!/usr/bin/env bash
# Installs the package that this action came with into an environment of its own, unless `sweep` is there already.
set -euo pipefail
if command -v sweep > /dev/null; then
    exit 0
fi
python3 -m venv "$RUNNER_TEMP/accuracy-sweep"
"$RUNNER_TEMP/accuracy-sweep/bin/pip" install --quiet "$GITHUB_ACTION_PATH/../../.."
echo "$RUNNER_TEMP/accuracy-sweep/bin" >> "$GITHUB_PATH"
