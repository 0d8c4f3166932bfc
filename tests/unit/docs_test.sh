#!/bin/sh
# docs/operations.md names every error code that a caller can meet, and every key that SIGHUP applies.
# docs/configuration.md has only keys that there are, with their defaults, and every key of a token and of a webhook.
# Each folder's README names every file of its C.
# docs/security.md names only tests and files that there are; so do all links of the README and the pages.
# tests/peer/rows.md names only tests that there are.
#   docs_test.sh <source root> <jidpost>
set -eu
cd "$1"
jidpost=$2
page=docs/operations.md missing=0

# names <what>: each line of the input has to stand between backquotes
names() {
    while read -r name; do
        [ -n "$name" ] || continue
        count=$((count + 1))
        grep -q "\`$name\`" $page || { echo "$page lacks the $1 $name"; missing=1; }
    done
}

count=0
names code <<EOF
$(sed -n 's/^ *X(ERR_[A-Z_]*, *"\([a-z_]*\)".*/\1/p' base/error.h | grep -vx 'none\|config\|system')
EOF
[ $count -gt 40 ] || { echo "$count codes in base/error.h: it is read no longer"; exit 1; }

# A key's row may be of several lines.
count=0
names key <<EOF
$(sed -n '/^static const struct key rows/,/^};/p' gateway/config_keys.c | tr -d '\n' | sed 's/KEY(/\n/g' |
    sed -n 's/^\([a-z0-9]*\), \([a-z0-9_]*\),.*\.live = true.*/\1.\2/p')
EOF
[ $count -gt 5 ] || { echo "$count live keys in gateway/config_keys.c: it is read no longer"; exit 1; }

# A row begins with `[section] key`, `key`; its defaults, in that order, are compared where they are figures or between
# backquotes. The rows of a [token ID] or [webhook NAME] have no section in them; the head of the table has it.
"$jidpost" config keys >"${TMPDIR:-/tmp}/docs_test.$$"
awk '
    function bad(what) { print FILENAME ": " what; wrong = 1 }
    function row(cell, value,    names, values, n, m, i, key) {
        if (match(cell, /\[[a-zA-Z0-9 ]+\] /))
            section = substr(cell, RSTART + 1, RLENGTH - 3)
        gsub(/`|^ +| +$|\[[a-zA-Z0-9 ]+\] /, "", cell)
        gsub(/^ +| +$/, "", value)
        n = split(cell, names, ", ")
        m = split(value, values, ", ")
        for (i = 1; i <= n; i++) {
            key = section " " names[i]
            count++
            told[key] = 1
            if (!(key in is))
                bad("there is no key [" section "] " names[i])
            else if (section !~ /^(token|webhook) / && n == m && values[i] ~ /^[0-9]|^`[^<]*`$/) {
                gsub(/`/, "", values[i])
                if (is[key] != values[i])
                    bad("[" section "] " names[i] " is " is[key] ", and not " values[i])
            }
        }
    }
    NR == FNR && /^\[/ { of = substr($0, 2, length($0) - 2); next }
    NR == FNR && /^; \[[a-z]+ [A-Z]+\]/ { match($0, /\[[^]]*/); of = substr($0, RSTART + 1, RLENGTH - 1); next }
    NR == FNR && /^;[a-z0-9_]+ =/ { name = substr($1, 2); sub(/^[^=]*= ?/, ""); is[of " " name] = $0; next }
    NR == FNR && of ~ / / && /^; [a-z0-9_]+ =/ { is[of " " $2] = ""; must[of " " $2] = 1; next }
    NR == FNR { next }
    /^\| key of `\[/ { match($0, /\[[^]]*/); section = substr($0, RSTART + 1, RLENGTH - 1); inside = 1; next }
    /^\| key / { inside = 1; next }
    !/^\|/ { inside = 0 }
    inside && /^\| `/ && !/^\| `\[[a-z]+ [A-Z]+\]`/ { split($0, cells, "|"); row(cells[2], cells[3]) }
    END {
        for (key in must) {
            if (!(key in told)) {
                print "docs: no table has " key
                wrong = 1
            }
        }
        if (count < 60)
            bad(count " keys: they are read no longer")
        exit wrong
    }' "${TMPDIR:-/tmp}/docs_test.$$" docs/configuration.md docs/webhooks.md || missing=1
rm -f "${TMPDIR:-/tmp}/docs_test.$$"

for folder in base socks5 gateway xmpp api cli; do
    for file in "$folder"/*.[ch]; do
        name=$(basename "$file")
        grep -qF -e "\`$name\`" -e "\`${name%.?}.[ch]\`" $folder/README.md ||
            { echo "$folder/README.md lacks $name"; missing=1; }
    done
done

# The last two columns of its rows with four: the files of the control, and the tests.
page=docs/security.md count=0
rows=$(grep '^| [A-Z ]* | .* | .* |.*|$' $page)
tests=$(cat tests/unit/*_test.c tests/e2e/test_*.py tests/peer/test_*.py tests/image/test_*.py |
    sed -n 's/^static void \([a-z0-9_]*\)(void \*\*state)$/\1/p; s/^    def \(test_[a-z0-9_]*\)(self).*/\1/p')
for name in $(echo "$rows" | awk -F'|' '{print $(NF-1)}' | tr '`' '\n' | grep -o '^[a-z0-9_][a-z0-9_]*$'); do
    count=$((count + 1))
    echo "$tests" | grep -qx "$name" || { echo "$page: there is no test $name"; missing=1; }
done
[ $count -gt 80 ] || { echo "$count tests in $page: it is read no longer"; exit 1; }
for file in $(tr '`' '\n' <$page | grep -oE '^[A-Za-z0-9_./-]+[.][a-z]+$|^(scripts|tests)/[a-z-]+$|^Dockerfile$'); do
    [ -e "$file" ] || { echo "$page: there is no file $file"; missing=1; }
done

# Rows of five columns: the last has the tests. Those of three have their number in a test's name.
page=tests/peer/rows.md count=0
for name in $(awk -F'|' 'NF == 7 {print $6}' $page | tr '`' '\n' | grep -o '^[a-z0-9_][a-z0-9_]*$'); do
    count=$((count + 1))
    echo "$tests" | grep -qx "$name" || { echo "$page: there is no test $name"; missing=1; }
done
[ $count -gt 40 ] || { echo "$count tests in $page: it is read no longer"; exit 1; }
for row in $(awk -F'|' 'NF == 5 && $2 ~ /^ [0-9]+ $/ {print $2}' $page); do
    echo "$tests" | grep -q "^test_row_\([0-9]*_\)*$row\_" || { echo "$page: no test has row_$row in its name"; missing=1; }
done

count=0
for page in README.md CONTRIBUTING.md docs/*.md deploy/*/*.md; do
    [ -e "$page" ] || continue
    for link in $(grep -oE '\]\([^) ]+' "$page" | cut -c 3- | grep -v '^[a-z]*:'); do
        count=$((count + 1))
        file=${link%%#*}
        if [ -n "$file" ]; then file=$(dirname "$page")/$file; else file=$page; fi
        [ -e "$file" ] || { echo "$page: there is nothing at $link"; missing=1; continue; }
        case $link in
        *.md\#* | \#*) # a heading, as GitHub names it
            sed -n 's/^##* //p' "$file" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-' | grep -qx -e "${link#*#}" ||
                { echo "$page: $link is no heading there"; missing=1; } ;;
        esac
    done
done
[ $count -gt 60 ] || { echo "$count links: they are read no longer"; exit 1; }
exit $missing
