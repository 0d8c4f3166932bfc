#!/bin/sh
# What the program prints of its table is sound to those who read it, as far as they are installed: the manual page to
# man and mandoc, the completions to their shells.
#   told_test.sh <jidpost>
set -eu
jidpost=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bad=0

# silent <what> <command ...>: says nothing and ends with 0
silent() {
    what=$1
    shift
    command -v "$1" >/dev/null || return 0
    if ! "$@" >"$scratch/said" 2>&1 </dev/null || [ -s "$scratch/said" ]; then
        echo "$what: $*"
        cat "$scratch/said"
        bad=1
    fi
}

"$jidpost" help --man >"$scratch/jidpost.1"
for shell in bash zsh fish; do
    "$jidpost" completion $shell >"$scratch/$shell"
    silent "completion for $shell" $shell -n "$scratch/$shell"
done
silent "manual page" mandoc -T lint -W warning "$scratch/jidpost.1"
silent "manual page" groff -man -Tutf8 -ww -z "$scratch/jidpost.1"

# What bash offers behind a line: completes <line> <a word that is offered>
completes() {
    command -v bash >/dev/null || return 0
    # shellcheck disable=SC2016 # bash's own variables
    bash -c '. "$1"; COMP_WORDS=($2); [ "${2% }" = "$2" ] || COMP_WORDS+=(""); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _jidpost 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' bash "$scratch/bash" "$1" >"$scratch/said"
    grep -qx -- "$2" "$scratch/said" || {
        echo "bash offers no $2 behind '$1', but: $(tr '\n' ' ' <"$scratch/said")"
        bad=1
    }
}
completes "jidpost se" serve
completes "jidpost token " revoke
completes "jidpost --config x token cr" create
completes "jidpost token create --sc" --scopes
completes "jidpost completion " fish
exit $bad
