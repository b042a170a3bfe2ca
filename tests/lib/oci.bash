# Bundles for `masu oci`, and the runtimes that tests run them with.
source "$REPO/tests/lib/oracle.bash"

# One root for all tests of a file; each bundle binds it through a relative path.
oci_setup_file() {
	make_busybox_root "$BATS_FILE_TMPDIR/rootfs"
}

# A fresh bundle in $BUNDLE that runs the given shell text, and a state root for this test.
oci_bundle() { # shell text
	BUNDLE=$BATS_TEST_TMPDIR/bundle
	OCI_ROOT=$BATS_TEST_TMPDIR/state
	ID=t$$-$BATS_TEST_NUMBER
	mkdir -p "$BUNDLE/rootfs"
	mountpoint -q "$BUNDLE/rootfs" || mount --bind "$BATS_FILE_TMPDIR/rootfs" "$BUNDLE/rootfs"
	rm -f "$BUNDLE/config.json"
	"$MASU" oci spec -b "$BUNDLE"
	config --arg text "${1:-true}" '.process.args = ["/bin/sh", "-c", $text] | .process.terminal = false
		| .root.readonly = false | .process.capabilities = {} | .ociVersion = "1.0.2"' # crun 1.8 knows no later one
}

# Edits config.json by a jq filter.
config() { # jq arguments
	jq "$@" "$BUNDLE/config.json" >"$BUNDLE/new.json"
	mv "$BUNDLE/new.json" "$BUNDLE/config.json"
}

oci() {
	"$MASU" oci --root "$OCI_ROOT" "$@"
}

# The oracle.
oci_crun() {
	oracle_crun_ready
	crun --root "$BATS_TEST_TMPDIR/crun" "$@"
}

oci_teardown() {
	[ -z "${OCI_ROOT:-}" ] || [ ! -d "$OCI_ROOT" ] || for id in $(ls "$OCI_ROOT"); do
		oci delete -f "$id" || true
	done
	[ -z "${BUNDLE:-}" ] || ! mountpoint -q "$BUNDLE/rootfs" || umount "$BUNDLE/rootfs"
}

# Creates a container in the background of nothing: its stdio must not be bats's.
oci_create() { # id, options...
	local id=$1
	shift
	oci create -b "$BUNDLE" "$@" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&-
}

oci_status() {
	oci state "$1" | jq -r .status
}
