# Shared by the scripts of this folder.
STATICCHECK=v0.8.2 # 2026.2
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
export CGO_ENABLED="${CGO_ENABLED:-1}" # the race detector needs it
ran=()

# step runs one check, times it, and ends the script when it fails.
step() {
	local name=$1 start=$SECONDS
	shift
	echo "=== $name: $*"
	if ! "$@"; then
		echo "--- FAILED after $((SECONDS - start)) s: $name" >&2
		exit 1
	fi
	ran+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

# no_output fails when a command prints anything: gofmt -l names files and exits 0.
no_output() {
	local said
	said=$("$@") || return 1
	[ -z "$said" ] || { echo "$said"; return 1; }
}

# need_packages installs Debian packages that are not there.
need_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -eq 0 ] && return
	echo "=== installing: ${missing[*]}"
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
}

summary() {
	echo "=== green in $SECONDS s:"
	printf '%s\n' "${ran[@]}"
}
