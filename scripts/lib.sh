# What several commands need; sourced at the root of the repository.
# shellcheck shell=bash

# The archive that Go links on this machine, as scripts/build-archive.sh makes it.
case $(uname -m) in
aarch64) archive=go/internal/lib/linux_arm64/libcgoheap.a ;;
*) archive=go/internal/lib/linux_amd64/libcgoheap.a ;;
esac

# install_if_we_may PACKAGE...: as root on Debian and its kin; says on stderr what it installs. Fails where we may not, or apt can't.
install_if_we_may() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "${0##*/}: installing $*" >&2
    apt-get update -q >/dev/null || true # a stale list may do
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@" >/dev/null
}

# need THING:PACKAGES...: what is missing is installed if we may. Otherwise one line says what to install, and the command ends.
# A thing is a command in PATH, an absolute path, or a library that gcc finds (libNAME.a, libNAME.so.N).
need() {
    local pair thing missing=()
    # shellcheck disable=SC2206  # one word per package
    for pair; do
        thing=${pair%:*}
        case $thing in
        lib*.a | lib*.so*) [[ $(gcc -print-file-name="$thing") == /* ]] ;;
        /*) [ -e "$thing" ] ;;
        *) command -v "$thing" >/dev/null ;;
        esac || missing+=(${pair##*:})
    done
    [ ${#missing[@]} -eq 0 ] && return
    install_if_we_may "${missing[@]}" && return
    echo "${0##*/}: missing: install the packages ${missing[*]} (Debian: sudo apt-get install ${missing[*]})" >&2
    exit 1
}

# need_browser: a Chromium, by whatever name it goes.
need_browser() { command -v chromium-browser google-chrome >/dev/null || need "chromium:chromium fonts-liberation"; }
