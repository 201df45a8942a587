# A static binary on an empty image. Where no image can be pulled, `make image`
# builds the binary outside and takes deploy/image/Dockerfile instead.
ARG GO_IMAGE=golang:1.26
ARG BASE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN mkdir -p /image/state && CGO_ENABLED=0 go build -pgo=cmd/handprint/release.pgo -trimpath -ldflags '-s -w' -o /image/handprint ./cmd/handprint

FROM ${BASE}
# make image fills these in.
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="handprint" \
      org.opencontainers.image.description="Tells which attackers are the same hands" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /image/handprint /usr/bin/handprint
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /image/state /var/lib/handprint
USER 65532:65532
ENV HANDPRINT_STATE_DIR=/var/lib/handprint HANDPRINT_ADMIN_LISTEN=0.0.0.0:9464
VOLUME /var/lib/handprint
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/bin/handprint", "healthcheck"]
ENTRYPOINT ["/usr/bin/handprint"]
CMD ["run"]
