/* Runs a fuzz target on every file of a directory, and on every truncation of small files. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "fuzz.h"
#include "sys/fs.h"

#define TRUNCATE_MAX 4096

/* A copy of exactly that size, so that ASan sees a read past the end. */
static void run_one(const char *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

int main(int argc, char **argv)
{
	int dirfd_ = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	_cleanup_closedir_ DIR *dir = dirfd_ < 0 ? NULL : fdopendir(dirfd_);
	unsigned files = 0;
	if (!dir) {
		fprintf(stderr, "usage: replay DIRECTORY\n");
		return 2;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		_cleanup_buf_ struct buf text = { 0 };
		if (entry->d_name[0] == '.')
			continue;
		if (fs_read_at(dirfd(dir), entry->d_name, 16u << 20, &text) < 0) {
			fprintf(stderr, "cannot read %s\n", entry->d_name);
			return 1;
		}
		run_one(text.data, text.len);
		for (size_t len = 0; text.len <= TRUNCATE_MAX && len < text.len; len++)
			run_one(text.data, len);
		files++;
	}
	printf("%u files\n", files);
	return files ? 0 : 1;
}
