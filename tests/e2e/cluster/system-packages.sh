#!/usr/bin/env bash
# Install what a cluster on this machine needs of the system, where it has apt-get; with kind and docker it needs nothing.
set -euo pipefail

missing=()
need() { [ -e "$1" ] || command -v "$1" >/dev/null || PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || missing+=("$2"); }
need openssl openssl
need etcd etcd-server
need ip iproute2
need nft nftables
need iptables iptables
need ipset ipset
need /usr/lib/cni/bridge containernetworking-plugins
need gcc gcc
need pkg-config pkg-config
need /usr/include/seccomp.h libseccomp-dev
need buildah buildah
need debootstrap debootstrap
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "a cluster needs ${missing[*]}: install them with this system's package manager" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
