#!/bin/sh
# docs/operations.md names every error code that a caller can meet, and every key that SIGHUP applies.
# docs/security.md names only tests and files that there are; so do all links of the README and the pages.
#   docs_test.sh <source root>
set -eu
cd "$1"
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

count=0
for page in README.md CONTRIBUTING.md docs/*.md deploy/*/*.md; do
    [ -e "$page" ] || continue
    for link in $(grep -oE '\]\([^)# ]+' "$page" | cut -c 3- | grep -v '^[a-z]*:'); do
        count=$((count + 1))
        [ -e "$(dirname "$page")/$link" ] || { echo "$page: there is nothing at $link"; missing=1; }
    done
done
[ $count -gt 20 ] || { echo "$count links: they are read no longer"; exit 1; }
exit $missing
