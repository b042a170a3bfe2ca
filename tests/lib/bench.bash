# What tests of masu bench share.

bench() {
	"$MASU" bench -q --scratch "$BATS_FILE_TMPDIR" "$@" 3>&- 4>&-
}

cell() { # results, workload.metric, column, filter
	jq -r --arg row "$2" --arg column "$3" \
		".rows[] | select(.workload + \".\" + .metric == \$row) | .cells[] | select(.column == \$column) | $4" "$1/results.json"
}
