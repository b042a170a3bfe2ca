/* What the engine's verbs share: the opened engine, loops over containers, relayed attachments. */
#pragma once

#include "cli/command.h"
#include "cli/terminal.h"
#include "engine/engine.h"

/* Opens the engine that the global flags name; closed by engine_close(). */
int session_open(struct cli_context *context, struct engine *ret, struct masu_error *err);
#define _cleanup_engine_ __attribute__((cleanup(engine_close)))
/* What an engine is before session_open(), safe to close. */
#define ENGINE_CLOSED                                                                              \
	{                                                                                          \
		.root_fd = -1, .run_fd = -1, .storage_driver = ""                                  \
	}

/* session_open(), and the id of the container that @name is. */
int session_resolve(struct cli_context *context, const char *name, struct engine *engine,
		    char ret_id[65], struct masu_error *err);
/* … and the container; it holds no files open. */
int session_container(struct cli_context *context, const char *name, struct engine *engine,
		      struct container *ret, struct masu_error *err);

/*
 * Calls @fn for each of @argv with the container's id. What succeeded is printed as it was typed
 * (where @print), a failure is reported on stderr; the result is the program's exit status, 1 where
 * anything failed.
 */
typedef int (*session_fn)(struct engine *engine, struct arena *arena, const char *id, void *opaque,
			  struct masu_error *err);
int session_each(struct cli_context *context, int argc, char **argv, bool print, session_fn fn,
		 void *opaque, struct masu_error *err);

/*
 * For the verbs that take several containers at once: *ret has one target for each of @argv; what
 * does not exist has its error already.
 */
int session_targets(struct cli_context *context, struct engine *engine, int argc, char **argv,
		    struct engine_target **ret, struct masu_error *err);
/* Prints what became of a target: its name as it was typed, or its error. 1 where it failed; one
 * that does not exist is nothing to tell where @ignore_missing. */
int session_result(const struct engine_target *target, const char *name, bool ignore_missing);

/* Prints "masu: <message>" on stderr, as a verb that goes on after a failure needs to. */
void session_report(const struct masu_error *err);

struct attach_options {
	bool tty, stdin_, proxy;
	const char *detach_keys; /* NULL: docker's */
};

/* Blocks what will be forwarded, and fills in the terminal's size; before the container starts. */
int attach_prepare(const struct attach_options *options, struct detach_keys *ret_keys,
		   struct engine_attach *attach, struct masu_error *err);

/*
 * Relays until the container has ended or the caller detached; *ret_detached tells which,
 * *ret_status is the container's exit status. Closes the attachment.
 */
int attach_relay(struct engine *engine, struct arena *arena, const char *id,
		 const struct attach_options *options, struct detach_keys *keys,
		 struct engine_attach *attach, bool *ret_detached, int *ret_status,
		 struct masu_error *err);
