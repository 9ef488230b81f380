#!/usr/bin/env bash
# Judges a build, and runs the next attempt while the contract asks for one.
# All that is given comes by the environment (GATE_...), so that no value is ever a part of this script.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Ends the step where nothing was judged: $1 the verdict, $2 the exit code, $3 the title; the message on stdin.
nothing() {
    local message
    message=$(tail -n 20 | tr -d '\000-\010\013-\037')
    message=${message//'%'/%25}
    message=${message//$'\n'/%0A}
    printf '::error title=Accuracy gate%%3A %s::%s\n' "$3" "$message"
    printf '## Accuracy gate: %s\n\nNothing was judged; the job'\''s log says why.\n' "$3" >> "$GITHUB_STEP_SUMMARY"
    printf 'verdict=%s\nexit-code=%s\nscore=\nthreshold=\n' "$1" "$2" >> "$GITHUB_OUTPUT"
    exit "$2"
}

options=()
add() {
    [ -z "$2" ] || options+=("$1=$2")
}
add --run "$GATE_RUN"
add --samples "$GATE_SAMPLES"
add --questions "$GATE_QUESTIONS"
add --variant "$GATE_VARIANT"
add --accept-length "$GATE_ACCEPT_LENGTH"
add --gpu "$GATE_GPU"
add --protocol-hash "$GATE_PROTOCOL_HASH"
add --against "$GATE_AGAINST"
state=${GATE_STATE:-${GATE_MEASURE:+$folder/attempts.json}}
if [ -n "$state" ]; then
    add --state "$state"
    add --build "$GATE_BUILD"
fi
add --junit "$GATE_JUNIT"
options+=("--markdown=$folder/summary" "--annotations=$folder/annotations" "--outputs=$folder/outputs")

while true; do
    rm -f -- "$folder/summary" "$folder/annotations" "$folder/outputs" ${GATE_JUNIT:+"$GATE_JUNIT"}
    score=$GATE_SCORE
    if [ -n "$GATE_MEASURE" ]; then
        bash -eo pipefail -c "$GATE_MEASURE" 2>&1 | tee "$folder/measured" \
            || nothing unavailable 4 "the build could not be measured" < "$folder/measured"
        [ -n "$GATE_RUN$GATE_SAMPLES" ] || score=$(tail -n 1 "$folder/measured")
    fi
    # What an engine wrote may be shown, and is no command.
    token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "::stop-commands::$token"
    sweep gate "${options[@]}" ${score:+"--score=$score"} -- "$GATE_CONTRACT" 2> "$folder/errors"
    code=$?
    cat "$folder/errors"
    printf '\n::%s::\n' "$token"
    case "$code" in
        2) verdict=bad-input title="bad input" ;;
        *) verdict=unavailable title="could not run" ;;
    esac
    [ -s "$folder/outputs" ] || nothing "$verdict" "$code" "$title" < "$folder/errors"
    cat "$folder/annotations"
    cat "$folder/summary" >> "$GITHUB_STEP_SUMMARY"
    if [ "$code" -ne 8 ] || [ -z "$GATE_MEASURE" ]; then
        break
    fi
done
cat "$folder/outputs" >> "$GITHUB_OUTPUT"
exit "$code"
