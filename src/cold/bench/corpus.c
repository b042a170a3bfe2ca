#include "cold/bench/corpus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/stats.h"
#include "sys/fs.h"

int corpus_write_file(const char *path, const char *text, size_t len)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fs_write_all(fd, text, len);
}

/* Words of a made-up language, frequent ones more often, in lines. */
int corpus_write(const char *path, size_t size)
{
	_cleanup_buf_ struct buf text;
	uint64_t state = 1;
	char words[512][12];
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = 2 + stats_below(&state, 8);
		for (size_t k = 0; k < len; k++)
			words[i][k] = (char)('a' + stats_below(&state, 26));
		words[i][len] = '\0';
	}
	buf_init(&text, size + 64);
	for (size_t n = 1; text.len < size && !buf_error(&text); n++) {
		size_t rank = stats_below(&state, ARRAY_SIZE(words));
		buf_puts(&text,
			 words[rank * stats_below(&state, ARRAY_SIZE(words)) / ARRAY_SIZE(words)]);
		buf_putc(&text, n % 12 ? ' ' : '\n');
	}
	return buf_error(&text) ? buf_error(&text) : corpus_write_file(path, text.data, size);
}

int corpus_write_hpcc(const char *path, unsigned n)
{
	char text[1024];
	/* The lines of the package's own example, hpccinf.txt(5): sizes, blocks, a 1 x 1 grid. */
	int r = str_format(
		text, sizeof(text),
		"HPLinpack benchmark input file\nmasu bench\nHPL.out\n8\n"
		"1 # of problems sizes (N)\n%u Ns\n1 # of NBs\n80 NBs\n0 PMAP\n"
		"1 # of process grids\n1 Ps\n1 Qs\n16.0 threshold\n"
		"1 # of panel fact\n2 PFACTs\n1 # of recursive stopping criterium\n4 NBMINs\n"
		"1 # of panels in recursion\n2 NDIVs\n1 # of recursive panel fact.\n1 RFACTs\n"
		"1 # of broadcast\n1 BCASTs\n1 # of lookahead depth\n1 DEPTHs\n2 SWAP\n"
		"64 swapping threshold\n0 L1\n0 U\n1 Equilibration\n8 alignment\n"
		"##### This line (no. 32) is ignored.\n0 Number of additional problem sizes for "
		"PTRANS\n"
		"1200 values of N\n0 number of additional blocking sizes for PTRANS\n40 values of "
		"NB\n",
		n);
	return r < 0 ? r : corpus_write_file(path, text, strlen(text));
}
