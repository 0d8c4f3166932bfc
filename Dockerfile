# jidpost as an image: docker build -t jidpost . - see docker-compose.yml for one that works with a server of its own.
FROM debian:bookworm-slim AS build
WORKDIR /src
COPY scripts/install-packages scripts/
RUN scripts/install-packages build
COPY . .
RUN cmake --preset release \
    && cmake --build --preset release --parallel "$(nproc)" \
    && install -s -D build/release/jidpost /out/jidpost

FROM debian:bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="jidpost" \
      org.opencontainers.image.description="Delivers files to XMPP addresses for programs that do not speak XMPP" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates libcurl4 libgnutls30 \
        libidn12 libinih1 libjansson4 libmagic1 libmicrohttpd12 libseccomp2 libsqlite3-0 libssl3 libstrophe0 \
        libuv1 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10000 -g 10000 -m 700 /var/lib/jidpost \
    && install -d -o 10000 -g 10000 -m 755 /run/jidpost
COPY --from=build /out/jidpost /usr/local/bin/jidpost

# A number, so that runAsNonRoot can be checked without asking the image. The root may be read-only; only the state
# folder is written, and /run/jidpost, where a volume is mounted there for a socket: [http] unix. Beyond loopback the gateway starts with a token only: JIDPOST_HTTP_TOKEN or _FILE.
USER 10000:10000
WORKDIR /var/lib/jidpost
ENV JIDPOST_HTTP_LISTEN=0.0.0.0:8080 \
    JIDPOST_SOCKS5_LISTEN=0.0.0.0:5086 \
    JIDPOST_SERVER_STATE_DIR=/var/lib/jidpost \
    JIDPOST_LOG_FORMAT=json
EXPOSE 8080 5086
VOLUME /var/lib/jidpost
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["/usr/local/bin/jidpost", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/jidpost"]
CMD ["serve"]
