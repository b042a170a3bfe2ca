# What the files on direct ports start from: busybox:local with programs of tests/integration/src, and a
# neighbour (lan.bash). In setup_file: direct_root, whatever is to be in "$root", direct_ready.
source "$REPO/tests/lib/oracle.bash"
source "$REPO/tests/lib/lan.bash"

# direct_root [PROGRAM...]: sets $root.
direct_root() {
	local program
	export MASU_ROOT=$BATS_FILE_TMPDIR/lib MASU_RUNROOT=$BATS_FILE_TMPDIR/run
	root=$BATS_FILE_TMPDIR/rootfs
	mkdir "$root"
	make_busybox_root "$root"
	for program; do
		cc -O1 -D_GNU_SOURCE -static -o "$root/bin/$program" "$REPO/tests/integration/src/$program.c"
	done
}

# Debian's programs, from the host, with -v /usr:/usr:ro.
direct_host_programs() {
	mkdir "$root/usr"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
}

direct_ready() {
	tar -C "$root" -c . | "$MASU" import - busybox:local
	lan_make 6
}
