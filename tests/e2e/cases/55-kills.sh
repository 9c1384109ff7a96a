# kill -9 at 200 random points, over files and over a bucket: the crash tests of the workspace on the program under test.
# shellcheck shell=bash

# kills_case TEST
kills_case() {
    LONGSHORE_BIN=$LONGSHORE_BIN LONGSHORE_TEST_KILLS=200 TMPDIR=$work limit 170 \
        "$CRASH_BIN" --exact "$1" >"$work/kills" 2>&1 || {
        tail -n 15 "$work/kills"
        die "$1 fails"
    }
    grep -E '^test result: ok\. 1 passed' "$work/kills" || die "no test was run"
}

add_case kills/files kills_case killed_at_random_points
add_case kills/bucket kills_case killed_at_random_points_with_a_bucket
