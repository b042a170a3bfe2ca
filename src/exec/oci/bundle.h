/* What another OCI runtime is given to read, and what it writes. Private to src/exec/oci. */
#pragma once

#include "base/arena.h"
#include "exec/exec.h"

struct oci_dir {
	struct arena arena;
	const char *path; /* "<state_dir>/oci": the bundle, the runtime's state, its log */
	int fd;
	char short_path[32]; /* the same through /proc: fits where a socket's path must */
};

int oci_dir_open(const char *state_dir, struct oci_dir *ret, struct masu_error *err);
void oci_dir_close(struct oci_dir *dir);

/* Writes config.json for @request with its root at @root. */
int bundle_write(struct oci_dir *dir, const struct exec_request *request, const char *root,
		 struct masu_error *err);
/* Writes the process document to @name. */
int bundle_write_process(struct oci_dir *dir, const struct oci_process *process, const char *name,
			 struct masu_error *err);
/*
 * What the runtime has logged as its failure, on one line, as the error of @verb, with docker's
 * exit status for a program that is not there (127) or cannot be run (126).
 */
int bundle_failure(struct oci_dir *dir, const char *driver, const char *verb,
		   struct masu_error *err);
