# syntax=docker/dockerfile:1
# The image of the program core: docker build --build-arg BUILD="$(git describe --tags --always --dirty)" -t chatcore .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG BUILD
ARG TARGETOS
ARG TARGETARCH
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH make build BIN=/out BUILD="$BUILD"

# It has certificate authorities, time zones and a user, and no shell: the program checks its own health.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/core /usr/bin/core
USER 65532:65532
ENV CHATCORE_LISTEN=0.0.0.0:7460 CHATCORE_ADMIN=0.0.0.0:7461 CHATCORE_LOG_FORMAT=json
EXPOSE 7460 7461
HEALTHCHECK --interval=10s --timeout=6s --start-period=15s --retries=3 CMD ["/usr/bin/core", "health"]
ENTRYPOINT ["/usr/bin/core"]
CMD ["serve"]
