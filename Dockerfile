# Pollux and RRDCached as container images; the guide is docs/how-to/compose.md.
# It builds with BuildKit and with the classic builder.
#
#   docker build --target pollux -t pollux .
#   docker build --target rrdcached -t pollux-rrdcached .
ARG GO_IMAGE=golang:1.26-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim

# RRDCached, of which there is no official image. docs/install.md says why each option.
FROM ${DEBIAN_IMAGE} AS rrdcached
RUN apt-get update \
 && apt-get install -y --no-install-recommends rrdcached rrdtool \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 10001 -g 10001 -m 0755 /var/lib/pollux-rrd
USER 10001:10001
WORKDIR /tmp
# Before -l stands what the address after it allows.
ENTRYPOINT ["rrdcached", "-g", "-P", "UPDATE,BATCH,CREATE,FLUSH,FORGET,FETCH,LAST,INFO,STATS,PING", "-l", "0.0.0.0:42217", "-p", "/tmp/rrdcached.pid", "-b", "/var/lib/pollux-rrd", "-B", "-R", "-F"]
CMD ["-w", "900", "-z", "300", "-f", "1800", "-t", "1"]
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/42217 && echo PING >&3 && read -r -t 5 answer <&3 && [[ $answer == '0 PONG' ]] || { echo 'rrdcached does not answer'; exit 1; }"]

FROM ${GO_IMAGE} AS build
WORKDIR /src
# Where modules come from, when it is not where Go looks by itself.
ARG GOPROXY
# Modules first, and what takes long to compile: a change of the code does neither again.
COPY go.mod go.sum ./
RUN go mod download
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/asynqmon github.com/hibiken/asynqmon/cmd/asynqmon \
 && CGO_ENABLED=0 go build -trimpath -tags gosnmp_nodebug modernc.org/sqlite
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -tags gosnmp_nodebug -ldflags "-s -w -X main.version=${VERSION}" -o /out/pollux ./cmd/pollux

# The roles and the commands, and asynqmon. It runs on a read-only file system,
# writes only below /tmp, and needs no capability: ICMP goes by the sysctl of
# docker-compose.yml.
FROM ${DEBIAN_IMAGE} AS pollux
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/pollux /out/asynqmon /usr/local/bin/
COPY packaging/compose/asynqmon.sh packaging/compose/demo.sh /usr/local/share/pollux/
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["pollux"]
HEALTHCHECK --interval=10s --timeout=15s --start-period=30s --retries=3 CMD ["pollux", "healthcheck"]
