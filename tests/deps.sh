#!/bin/sh
# Installs the Debian packages that a group of make targets needs and that
# are missing: deps.sh build|check. Does nothing, quickly, when none is.
# Wants root or sudo only when something has to be installed.
set -eu

# What the list of a group says is also the documentation of what is needed.
case ${1:-} in
build)
	want='gcc libc6-dev pkg-config
	clang-14 libclang-rt-14-dev llvm-14 clang-tidy-14 clang-format-14
	libevent-dev libssl-dev libunbound-dev libsqlite3-dev libjansson-dev
	libsystemd-dev libidn2-dev libconfig-dev libcurl4-openssl-dev
	libcrypt-dev libseccomp-dev libgmime-3.0-dev libopendkim-dev libspf2-dev libopendmarc-dev zlib1g-dev
	nettle-dev'
	;;
check)
	want='libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-dnspython
	python3-cryptography python3-yaml python3-spf python3-html5lib nsd ldnsutils postfix swaks openssl strace procps iproute2 python3-dkim opendkim-tools
	sqlite3 systemd curl mandoc
	patch mount e2fsprogs xfsprogs tnef ytnef-tools unrtf
	python3-gi gir1.2-gmime-3.0 gnupg'
	;;
*)
	echo "usage: deps.sh build|check" >&2
	exit 2
	;;
esac

missing() {
	# shellcheck disable=SC2086
	have=$(dpkg-query -W -f '=${db:Status-Status}=${Package}=' $want \
		2>/dev/null || :)
	for p in $want; do
		case $have in
		*"=installed=$p="*) ;;
		*) printf ' %s' "$p" ;;
		esac
	done
}

need=$(missing)
[ -n "$need" ] || exit 0

# Two makes at once: the second waits, and then finds nothing left to do.
exec 9<"$0"
flock 9
need=$(missing)
[ -n "$need" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "deps: neither root nor sudo; please install:$need" >&2
		exit 1
	fi
	root='sudo -E'
fi

echo "deps: installing$need"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{
	# Tests bring their own configuration; the package must not start one.
	echo 'postfix postfix/main_mailer_type select No configuration' |
		$root debconf-set-selections &&
	$root apt-get -q update &&
	$root apt-get -q -y -o DPkg::Lock::Timeout=600 \
		install --no-install-recommends $need
} 9<&- >"$log" 2>&1 </dev/null || {
	tail -n 30 "$log" >&2
	echo "deps: could not install:$need" >&2
	exit 1
}
