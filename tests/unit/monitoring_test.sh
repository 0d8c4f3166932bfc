#!/bin/sh
# deploy/prometheus and deploy/grafana name only metrics, labels' values and places in the documents that there are, and
# promtool takes them.
#   monitoring_test.sh <source root>
set -eu
cd "$1"
rules=deploy/prometheus/alerts.yml board=deploy/grafana/jidpost.json page=docs/operations.md wrong=0

known=$(sed -n 's/^ *\[METRIC_[A-Z_]*\] = [A-Z_]*(\([A-Z]*, \)\{0,1\}"\([a-z0-9_]*\)".*/\2/p' base/metrics.c)
count=$(echo "$known" | wc -l)
[ "$count" -gt 30 ] || { echo "$count metrics in base/metrics.c: it is read no longer"; exit 1; }

# names <file>: every metric of ours in it, without what a histogram's samples have at their end
names() {
    grep -oE '\b(jidpost|process)_[a-z0-9_]+' "$1" | sort -u | sed 's/_\(bucket\|sum\|count\)$//' | sort -u
}
for file in $rules $board tests/monitoring/alerts_test.yml $page; do
    found=$(names "$file")
    [ -n "$found" ] || { echo "$file names no metric"; wrong=1; }
    for name in $found; do
        echo "$known" | grep -qx "$name" || { echo "$file: there is no metric $name"; wrong=1; }
    done
done
# All that the program tells of itself is on the board, but for what is told elsewhere on it.
for name in $known; do
    case $name in
    jidpost_draining | jidpost_leases_held | jidpost_transfer_size_bytes | process_virtual_memory_bytes) ;;
    *) names $board | grep -qx "$name" || { echo "$board lacks $name"; wrong=1; } ;;
    esac
done

# Each alert says where to read on, and there is such a heading.
[ "$(grep -c '^ *- alert: ' $rules)" = "$(grep -c "^ *runbook: $page#" $rules)" ] ||
    { echo "$rules: an alert without a runbook"; wrong=1; }
# shellcheck disable=SC2013 # one word a line
for anchor in $(sed -n "s|^ *runbook: $page#||p" $rules | sort -u); do
    grep '^##* ' $page | sed 's/^##* //' | tr 'A-Z ' 'a-z-' | tr -d ',`' | grep -qx "$anchor" ||
        { echo "$rules: $page has no $anchor"; wrong=1; }
done

# The board's queries as rules, so that promtool reads them; JSON is YAML.
queries=$(mktemp)
trap 'rm -f "$queries"' EXIT
python3 - $board >"$queries" <<'END'
import json, re, sys
board = json.load(open(sys.argv[1]))
asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
asked += [annotation["expr"] for annotation in board["annotations"]["list"]]
assert len(asked) > 30, asked
plain = [re.sub(r"\$[a-z]+", ".*", query.replace("$__rate_interval", "5m")) for query in asked]
json.dump({"groups": [{"name": "board", "rules": [{"record": f"q:{n}", "expr": query} for n, query in enumerate(plain)]}]},
          sys.stdout)
END

if command -v promtool >/dev/null; then
    promtool check rules --lint-fatal "$queries" && promtool check rules --lint-fatal $rules || wrong=1
    promtool test rules tests/monitoring/alerts_test.yml || wrong=1
    promtool check config --syntax-only deploy/prometheus/prometheus.yml || wrong=1
else
    echo "without promtool (scripts/install-packages test): the rules were not tried"
fi
exit $wrong
