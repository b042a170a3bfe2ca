/*
 * Which driver a root has: <root>/storage.json, written once, when the first image comes or by
 * `masu storage migrate`. A root without one has overlay.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define STORAGE_CONFIG	    "storage.json"
#define STORAGE_NAME_MAX    24
#define STORAGE_REASON_MAX  200
#define STORAGE_OPTIONS_MAX 1024

struct storage_config {
	bool recorded;			/* else all is as without a record */
	char driver[STORAGE_NAME_MAX];	/* that new layers and containers get */
	char leaving[STORAGE_NAME_MAX]; /* that some may still have: `migrate` is not through */
	char reason[STORAGE_REASON_MAX];
	char options[STORAGE_OPTIONS_MAX]; /* the driver's own, KEY=VALUE, one a line */
};

/* -EBADMSG where the record is damaged. */
int storage_config_read(int root_fd, struct storage_config *ret, struct masu_error *err);

/* Durable. */
int storage_config_write(int root_fd, const struct storage_config *config, struct masu_error *err);

/* The value of a driver's option, in @ret; false: it is not set. */
bool storage_config_option(const struct storage_config *config, const char *key, char *ret,
			   size_t size);

/*
 * What a driver needs before the record says that the root has it, with its options (@options:
 * KEY=VALUE, one a line), which are noted in @config. Not in the hot program.
 */
int storage_set_up(int root_fd, const char *options, struct storage_config *config,
		   struct masu_error *err);

/* Where who asks for a driver says its options: as in storage_set_up(). */
#define STORAGE_OPTIONS_VARIABLE "MASU_STORAGE_OPTS"

/*
 * The driver that is wanted (NULL: none in particular) as the root's: its own, where it has one and
 * nothing else is wanted (-EEXIST); else what is wanted, or the first that works here, which is
 * recorded with the reason. The options of a wanted driver are in the environment
 * (STORAGE_OPTIONS_VARIABLE); they are the root's, once and for all. Not in the hot program.
 */
int storage_choose(int root_fd, const char *wanted, struct storage_config *ret,
		   struct masu_error *err);
/* As storage_choose() without a wish, and nothing is recorded. */
int storage_would_choose(int root_fd, struct storage_config *ret, struct masu_error *err);
