/*
 * Inflates gzip files and throws the bytes away: what isa-l can do on this machine, for
 * tools/bench-image.
 */
#include <isa-l/igzip_lib.h>
#include <stdio.h>

static unsigned char in[256 << 10], out[256 << 10];

static int inflate_file(FILE *file)
{
	struct inflate_state state;
	isal_inflate_init(&state);
	state.crc_flag = ISAL_GZIP;
	while (state.block_state != ISAL_BLOCK_FINISH) {
		if (state.avail_in == 0) {
			state.next_in = in;
			state.avail_in = (unsigned)fread(in, 1, sizeof(in), file);
			if (state.avail_in == 0)
				return -1;
		}
		state.next_out = out;
		state.avail_out = sizeof(out);
		if (isal_inflate(&state) != ISAL_DECOMP_OK)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		if (!file || inflate_file(file) < 0) {
			fprintf(stderr, "inflate: %s: not a whole gzip file\n", argv[i]);
			return 1;
		}
		fclose(file);
	}
	return 0;
}
