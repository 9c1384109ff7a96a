# Processes, waits, assertions and the list of cases. Sourced by `run`; everything here writes below $work only.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
note() { printf '  %s\n' "$*" >&2; }

# Ends the case (or the run) with a sentence.
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# --- processes: named, in their own session, logged, and all ended by stop_all ---

# daemon NAME COMMAND...   starts a process that outlives the case; its log is $work/logs/NAME.log.
daemon() {
    local name=$1
    shift
    running "$name" && die "$name runs already"
    # Not in a pipe and with no descriptor of ours, so that a case ends when its shell ends.
    setsid "$@" >>"$work/logs/$name.log" 2>&1 </dev/null &
    echo $! >"$work/run/$name.pid"
    disown
}

running() {
    [[ -f $work/run/$1.pid ]] && alive "$(<"$work/run/$1.pid")"
}

# A zombie counts as ended: its parent may be a shell that never waits.
alive() {
    local state
    state=$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) || return 1
    [[ -n $state && $state != Z ]]
}

# stop NAME [SIGNAL]   ends a daemon and waits until it is gone; after 15 s it is killed.
stop() {
    local name=$1 signal=${2:-TERM} pid
    [[ -f $work/run/$name.pid ]] || return 0
    pid=$(<"$work/run/$name.pid")
    kill -s "$signal" "$pid" 2>/dev/null || true
    if ! poll 15 gone "$pid"; then
        note "$name did not end within 15 s of SIG$signal: killed"
        kill -s KILL -- "-$pid" 2>/dev/null || true
    fi
    rm -f "$work/run/$name.pid"
}

gone() { ! alive "$1"; }

stop_all() {
    local file pid
    [[ -z $case_pid ]] || kill -s KILL -- "-$case_pid" 2>/dev/null || true
    for file in "$work"/run/*.pid; do
        [[ -f $file ]] || continue
        pid=$(<"$file")
        kill -s TERM "$pid" 2>/dev/null || true
    done
    for file in "$work"/run/*.pid; do
        [[ -f $file ]] || continue
        pid=$(<"$file")
        poll 10 gone "$pid" || true
        kill -s KILL -- "-$pid" 2>/dev/null || true
    done
}

# --- waits: always for a condition, always with an end ---

# poll SECONDS COMMAND...   runs the command until it succeeds; fails when the time is over.
poll() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}

wait_for() {
    local seconds=$1 what=$2
    shift 2
    poll "$seconds" "$@" || die "$what: not within $seconds s"
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# limit SECONDS COMMAND...   every command of a client goes through this.
limit() { timeout --kill-after=5 "$@"; }

# free_ports NAME...   sets each variable to another free TCP port.
free_ports() {
    local ports name
    ports=$(python3 - "$#" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
    )
    for name in "$@"; do
        printf -v "$name" '%s' "${ports%% *}"
        ports=${ports#* }
    done
}

# --- assertions ---

same() { [[ $1 == "$2" ]] || die "$3: expected '$1', got '$2'"; }
below() { (($1 < $2)) || die "$3: $1 is not below $2"; }

# refused WHAT COMMAND...   the command must fail, by itself and not by running out of time (124, 137).
refused() {
    local what=$1 code=0
    shift
    "$@" || code=$?
    ((code != 0)) || die "$what: it succeeded"
    ((code != 124 && code != 137)) || die "$what: it hung"
}

sha256_of() { sha256sum "$1" | sed 's/ .*//; s/^/sha256:/'; }

# --- cases ---

case_names=() passed=0 failed=0 case_pid=
declare -A case_commands

# add_case NAME COMMAND...
add_case() {
    case_names+=("$1")
    case_commands[$1]=$(printf '%q ' "${@:2}")
}

# run_case NAME SECONDS   in a shell of its own, where the first command that fails ends it; adds to $passed or $failed.
# Not to be called where bash ignores failures (`if`, `||`): the shell of the case would inherit that.
run_case() {
    local name=$1 seconds=$2 log=$work/logs/case-${1//\//-}.log pid code=0 begin=$SECONDS
    [[ ! -f $work/logs/proxy.log ]] || : >"$work/logs/proxy.log"
    set -m
    (
        set -euo pipefail
        eval "${case_commands[$name]}"
    ) >"$log" 2>&1 </dev/null &
    pid=$!
    case_pid=$pid
    set +m
    if poll "$seconds" gone "$pid"; then
        wait "$pid" || code=$?
    else
        kill -s KILL -- "-$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
        code=1
        echo "error: the case did not end within $seconds s" >>"$log"
    fi
    case_pid=
    if ((code == 0)); then
        say "ok    $name ($((SECONDS - begin)) s)"
        passed=$((passed + 1))
        return
    fi
    say "FAIL  $name ($((SECONDS - begin)) s)"
    tail -n 15 "$log" | cut -c1-300 | sed 's/^/      | /'
    [[ ! -s $work/logs/proxy.log ]] || tail -n 8 "$work/logs/proxy.log" | cut -c1-300 | sed 's/^/      proxy | /'
    failed=$((failed + 1))
}
