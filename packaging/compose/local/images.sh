#!/bin/sh
# Makes the three images that packaging/compose/local.yml needs to be there, from
# Debian's packages and this machine's Go: no registry of images is asked.
# As root, on Debian. KEEP=DIR keeps the Debian tree for the next time.
set -eu
cd "$(dirname "$0")/../../.."

base=pollux-local/debian:bookworm golang=pollux-local/golang servers=pollux-local/servers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! docker image inspect "$base" >/dev/null 2>&1; then
	tree=${KEEP:-$work}/bookworm
	if ! [ -e "$tree.made" ]; then
		rm -rf "$tree"
		mkdir -p "$tree"
		debootstrap --variant=minbase --include=ca-certificates bookworm "$tree" >"$work/log" || { tail -20 "$work/log" >&2; exit 1; }
		touch "$tree.made"
	fi
	tar -C "$tree" --exclude=./var/cache/apt/archives/*.deb --exclude=./dev -c . | docker import --change 'CMD ["bash"]' - "$base" >/dev/null
fi

# The modules go along, so that a build needs no network: a proxy of files, of those in go.sum only.
mkdir "$work/modules" "$work/cache"
GOMODCACHE=$work/cache GOFLAGS=-modcacherw GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" go mod download
mv "$work/cache/cache/download" "$work/modules/download"
cat >"$work/Dockerfile" <<END
FROM $base
COPY go /usr/local/go
COPY modules /modules
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPROXY=file:///modules/download GOSUMDB=off GOTOOLCHAIN=local
END
tar -c -C "$work" Dockerfile modules -C "$(go env GOROOT)" --transform 's,^\./,go/,' --exclude=./test --exclude=./pkg/obj . |
	DOCKER_BUILDKIT=0 docker build --quiet --tag "$golang" - >/dev/null
# What apt-get says is shown only when it fails.
DOCKER_BUILDKIT=0 docker build --network host --tag "$servers" packaging/compose/local >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; exit 1; }
echo "made $base, $golang and $servers"
