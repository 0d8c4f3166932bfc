#!/bin/sh
# The arrows between the folders: which may include which, and where each foreign library stays at home.
#   includes_test.sh <source root>
# Prints every #include that points the wrong way and then exits 1. First it proves itself on a tree of its own.
set -eu
root=$1

# check <root>: prints "file:line: header: why" for each offence; fails when there is one, or nothing to check.
check() {
    (
        cd "$1" || exit 1
        find base socks5 gateway xmpp api cli -name '*.[ch]' 2>/dev/null | LC_ALL=C sort >"$scratch/files"
        [ -s "$scratch/files" ] || { echo "$1: no sources"; exit 1; }
        # shellcheck disable=SC2016 # awk's own variables
        xargs awk '
            BEGIN {
                # folder -> our own headers it may include, beside its own
                may["base"]   = "^$"
                may["socks5"] = "^base/"
                may["gateway"] = "^base/"
                may["xmpp"]   = "^(base/.*|gateway/(method|carrier|reception|relay|network|record|http_put)[.]h)$"
                may["api"]    = "^(base/.*|gateway/(gateway|record|network|events)[.]h)$"
                # a program of its own that calls the gateway; and the doctor tries the parts by themselves
                may["cli"]    = "^(base/.*|gateway/[a-z0-9_]+[.]h|socks5/handshake[.]h|xmpp/(xmpp|dns)[.]h|api/(tls|problem)[.]h)$"
                # foreign header -> the files it stays in
                home["strophe.h"]    = "^xmpp/"
                home["expat.h"]      = "^xmpp/stanza_limit[.]c$"
                home["microhttpd.h"] = "^api/"
                home["gnutls/gnutls.h"]   = "^api/tls[.]c$"
                home["gnutls/x509.h"]     = "^api/tls[.]c$"
                home["gnutls/abstract.h"] = "^api/tls[.]c$"
                home["jansson.h"]    = "^(api|cli)/"
                home["sqlite3.h"]    = "^gateway/store_sqlite(_[a-z]+)?[.][ch]$"
                home["libpq-fe.h"]   = "^gateway/store_postgres[.]c$"
                home["ini.h"]        = "^gateway/config[.]c$"
                home["curl/curl.h"]  = "^(gateway/(http_(loop|put|post|get)[.][ch]|source_url[.]c|healthcheck[.]c)|cli/client[.]c)$"
                home["openssl/ssl.h"] = "^cli/doctor_tls[.]c$"
                home["magic.h"]      = "^gateway/"
                home["seccomp.h"]    = "^base/sandbox_calls[.]c$"
                home["linux/landlock.h"] = "^base/sandbox_files[.]c$"
                home["idna.h"]       = "^(base/jid|xmpp/dns)[.]c$"
                home["stringprep.h"] = "^base/jid[.]c$"
            }
            function offence(why) {
                print FILENAME ":" FNR ": " header ": " why
                bad = 1
            }
            function ours(folder, target) {
                if (FILENAME == "gateway/main.c" || target == folder || header ~ may[folder])
                    return
                if (FILENAME ~ /^gateway\/socks5_carrier[.][ch]$/ && header == "socks5/socks5.h")
                    return
                offence("not for " folder "/ to include")
            }
            /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
                quoted = $0 ~ /include[ \t]*"/
                header = $0
                sub(/^[^<"]*[<"]/, "", header)
                sub(/[>"].*$/, "", header)
                folder = FILENAME
                sub(/\/.*$/, "", folder)
                target = header
                sub(/\/.*$/, "", target)
                if (target in may)
                    ours(folder, target)
                else if (quoted)
                    offence("not written from the root")
                else if (header in home && FILENAME !~ home[header])
                    offence("a foreign library away from home")
            }
            END { exit bad }' <"$scratch/files"
    )
}

# expect <ok|offence> <file> <include line>: what check says about a tree of that one file
expect() {
    tree=$scratch/tree
    rm -rf "$tree"
    mkdir -p "$tree/${2%/*}"
    printf '/* a file */\n%s\n' "$3" >"$tree/$2"
    if check "$tree" >"$scratch/said"; then got=ok; else got=offence; fi
    if [ "$got" = offence ] && ! grep -q "^$2:2: " "$scratch/said"; then got="no line of $2"; fi
    [ "$got" = "$1" ] || { echo "self-check: $2 with $3: $got, not $1"; exit 1; }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

expect ok base/log.c '#include "base/clock.h"'
expect ok base/jid.c '#include <stringprep.h>'
expect ok socks5/engine.c '#include "base/log.h"'
expect ok gateway/socks5_carrier.c '#include "socks5/socks5.h"'
expect ok gateway/main.c '#include "api/server.h"'
expect ok gateway/main.c '#include "xmpp/xmpp.h"'
expect ok gateway/config.c '#include <ini.h>'
expect ok gateway/http_put.c '#include <curl/curl.h>'
expect ok xmpp/link.c '#include "gateway/http_put.h"'
expect ok xmpp/si.c '#include "gateway/method.h"'
expect ok xmpp/client.h '#include <strophe.h>'
expect ok api/json.c '#include <jansson.h>'
expect ok api/tls.c '#include <gnutls/x509.h>'
expect ok api/server.c '#include "gateway/gateway.h"'
expect ok api/server.c '#include <sys/socket.h>'
expect ok cli/local.c '#include "gateway/config.h"'
expect ok cli/show.c '#include <jansson.h>'
expect ok cli/client.c '#include <curl/curl.h>'
expect ok gateway/main.c '#include "cli/cli.h"'
expect offence base/log.c '#include "gateway/config.h"'
expect offence base/log.c '#include <gateway/config.h>'
expect offence base/log.c '#include "clock.h"'
expect offence base/log.c '#  include "socks5/socks5.h"'
expect offence socks5/engine.c '#include "gateway/carrier.h"'
expect offence socks5/engine.c '#include "xmpp/ns.h"'
expect offence gateway/core.c '#include "socks5/socks5.h"'
expect offence gateway/socks5_carrier.c '#include "socks5/wire.h"'
expect offence gateway/core.c '#include "xmpp/xmpp.h"'
expect offence gateway/gateway.c '#include "api/server.h"'
expect offence gateway/core.c '#include <strophe.h>'
expect offence gateway/store.c '#include <sqlite3.h>'
expect offence gateway/core.c '#include <ini.h>'
expect offence gateway/core.c '#include <curl/curl.h>'
expect offence xmpp/si.c '#include "gateway/transfer.h"'
expect offence xmpp/si.c '#include "socks5/socks5.h"'
expect offence xmpp/si.c '#include "api/json.h"'
expect offence xmpp/si.c '#include <magic.h>'
expect offence xmpp/session.c '#include <expat.h>'
expect offence api/json.c '#include "gateway/store.h"'
expect offence api/json.c '#include "xmpp/xmpp.h"'
expect offence api/json.c '#include <sqlite3.h>'
expect offence api/server.c '#include <gnutls/gnutls.h>'
expect offence base/buf.c '#include <jansson.h>'
expect offence gateway/core.c '#include "cli/cli.h"'
expect offence cli/send.c '#include "api/json.h"'
expect offence cli/send.c '#include <curl/curl.h>'
expect offence cli/client.c '#include <openssl/ssl.h>'
mkdir -p "$scratch/empty"
if check "$scratch/empty" >"$scratch/said"; then
    echo "self-check: a tree without sources passed"
    exit 1
fi

check "$root" || exit 1
