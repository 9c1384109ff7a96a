# Installs what is missing: Debian packages by apt-get, Go commands by `go install`. Sourced by `run`.
# shellcheck shell=bash

tools=${XDG_CACHE_HOME:-$HOME/.cache}/longshore-e2e/bin
azurite=${XDG_CACHE_HOME:-$HOME/.cache}/longshore-e2e/azurite

# install_all CASE...   what these cases need.
install_all() {
    install_debian "$DEBIAN_TOOLS"
    install_go "$GO_TOOLS"
    install_lazy
    if [[ " $* " == *' objects/'* ]]; then
        install_debian "$OBJECTS_DEBIAN_TOOLS"
        install_go "$OBJECTS_GO_TOOLS"
        install_azurite
        CONFORMANCE_BIN=${CONFORMANCE_BIN:-$(test_binary conformance)}
    fi
    if [[ " $* " == *' kills/'* ]]; then
        CRASH_BIN=${CRASH_BIN:-$(test_binary crash)}
    fi
}

# test_binary NAME   a test of the workspace: `cargo test --workspace` has built it, or does now.
test_binary() {
    local log=$work/logs/cargo-$1.log found
    found=$(cd "$here/../.." && cargo test --quiet --locked --workspace --test "$1" --no-run --message-format=json 2>"$log" |
        jq -r --arg name "$1" 'select(.target.name? == $name and .executable) | .executable') || found=''
    [[ -x $found ]] || {
        tail -n 20 "$log" >&2
        die "the test $1 could not be built"
    }
    echo "$found"
}

# The lazy puller is ours: `lazy/go.mod` pins what it is built from.
install_lazy() {
    local log=$work/logs/go-lazy.log
    (cd "$here/lazy" && GOTOOLCHAIN=local CGO_ENABLED=0 nice -n 5 timeout 600 go build -o "$tools/lazy" .) >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "the lazy puller could not be built"
    }
}

# install_debian TOOLS   the packages, and these commands.
install_debian() {
    local missing=() name other version
    while read -r name version; do
        [[ -n $name ]] || continue
        [[ $(dpkg_version "$name") ]] || missing+=("$name")
    done <<<"$DEBIAN_PACKAGES"
    while read -r name other; do
        [[ -n $name ]] || continue
        command -v "$name" >/dev/null || missing+=("$other")
    done <<<"$1"
    [[ -d /etc/ssl/certs ]] || missing+=(ca-certificates)
    if ((${#missing[@]})); then
        say "installing ${missing[*]}"
        apt_install "${missing[@]}"
    fi
    while read -r name version; do
        [[ -n $name ]] || continue
        other=$(dpkg_version "$name")
        [[ $other == "$version"* ]] || say "note: $name is ${other:-missing}, the tests were written for $version"
    done <<<"$DEBIAN_PACKAGES"
}

# Empty unless the package is installed.
dpkg_version() {
    dpkg-query --show --showformat='${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

# The packages bring services; none of them may start: the tests start their own.
apt_install() {
    local policy=/usr/sbin/policy-rc.d own=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        own=yes
    fi
    export DEBIAN_FRONTEND=noninteractive
    local get=(apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120)
    local install=("${get[@]}" install -y --no-install-recommends "$@")
    # The lists may be missing or old; they are fetched when the packages cannot be had without.
    if ! "${install[@]}" >"$work/logs/apt.log" 2>&1; then
        "${get[@]}" update >>"$work/logs/apt.log" 2>&1 || true
        "${install[@]}" >>"$work/logs/apt.log" 2>&1 || {
            tail -n 20 "$work/logs/apt.log" >&2
            [[ -z $own ]] || rm -f "$policy"
            die "apt-get could not install: $*"
        }
    fi
    [[ -z $own ]] || rm -f "$policy"
}

# install_azurite   by npm.
install_azurite() {
    local log=$work/logs/npm.log
    [[ $(jq -r .version "$azurite/node_modules/azurite/package.json" 2>/dev/null) == "$AZURITE" ]] && return
    say "installing azurite $AZURITE"
    nice -n 5 timeout 600 npm install --prefix "$azurite" --no-audit --no-fund --no-update-notifier "azurite@$AZURITE" \
        >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "npm could not install azurite@$AZURITE"
    }
}

# install_go TOOLS   a path of `.` is the module's own command.
install_go() {
    local module path version command log
    while read -r module path version; do
        [[ -n $module ]] || continue
        [[ $path != . ]] || path=
        path=$module${path:+/$path}
        command=$tools/${path##*/}
        [[ $(built_version "$command") == "$version" ]] && continue
        command -v go >/dev/null || die "go is needed to build $path@$version, and is not installed"
        say "building ${path##*/} $version"
        log=$work/logs/go-${path##*/}.log
        GOBIN=$tools GOTOOLCHAIN=local CGO_ENABLED=0 nice -n 5 \
            timeout 1500 go install "$path@$version" >"$log" 2>&1 || {
            tail -n 20 "$log" >&2
            die "go install $path@$version failed"
        }
    done <<<"$1"
}

# The version of the module that a Go command was built from.
built_version() {
    [[ -x $1 ]] || return 0
    go version -m "$1" 2>/dev/null | awk '$1 == "mod" { print $3 }'
}
