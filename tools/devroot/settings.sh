# Shared by `enter` and `build`: where the devroot is, and how they speak.
# shellcheck shell=bash disable=SC2034

# Exported for tests, which build a small root from a list of their own.
readonly packages=${SLIPWAY_DEVROOT_PACKAGES:-$here/packages.txt}
# Bazel's tests have no HOME; this is then the one of the user database.
readonly home=${HOME:-~}
readonly cache=${XDG_CACHE_HOME:-$home/.cache}/slipway/devroot

# Whatever goes into a root is part of its name: a change makes another one.
id=$(cat "$packages" "$here/excluded.txt" "$here/build" | sha256sum)
readonly id=${id:0:16}
readonly devroot=$cache/$id

say() {
    printf 'devroot: %s\n' "$*" >&2
}

# fail WHAT WHY WHAT_TO_DO
fail() {
    printf 'devroot: %s\n  why:   %s\n  to do: %s\n' "$@" >&2
    exit 125
}

require_namespaces() {
    local why
    if ((EUID)); then
        why=$(unshare --user --mount /bin/true 2>&1) && return
        fail "cannot enter the root file system: user $EUID may not make user namespaces" "$why" \
            "allow them as root (sysctl -w user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1), work as root, or install Bazelisk"
    fi
    why=$(unshare --mount /bin/true 2>&1) && return
    fail "cannot enter the root file system: this root user may not make a mount namespace" "$why" \
        "in a container, start it with CAP_SYS_ADMIN (docker run --privileged); or install Bazelisk"
}
