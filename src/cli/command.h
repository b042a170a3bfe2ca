/*
 * The command table. One table a program: dispatch, --help, shell completion and the man pages'
 * option lists all come from it. Option syntax is docker's (pflag): --name value, --name=value,
 * -n value, -nvalue, grouped booleans (-it), --bool=false, "--" ends options.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct cli_list {
	const char **items; /* NULL-terminated */
	size_t count;
};

enum cli_kind {
	CLI_BOOL,     /* bool */
	CLI_STRING,   /* const char *: last one wins */
	CLI_LIST,     /* struct cli_list: every occurrence, in order */
	CLI_INT,      /* int64_t, decimal */
	CLI_BYTES,    /* int64_t, docker's size syntax, -1 allowed */
	CLI_TRISTATE, /* const char *: like STRING, but the bare flag means "true" (--format=,
			 --init) */
};

struct cli_option {
	const char *name; /* without dashes */
	char letter;	  /* 0: none */
	enum cli_kind kind;
	size_t offset;	     /* of the field in the command's own option struct */
	const char *metavar; /* "bytes", "list", "string"; NULL for booleans */
	const char *help;    /* one line */
	bool hidden;
};

#define CLI_OPT(type, field, opt_name, opt_letter, opt_kind, opt_metavar, opt_help)                \
	{                                                                                          \
		.name = (opt_name), .letter = (opt_letter), .kind = (opt_kind),                    \
		.offset = offsetof(type, field), .metavar = (opt_metavar), .help = (opt_help)      \
	}

/*
 * Verbs that no container waits for run in a second program with the whole command table, so that
 * the first stays small: `.name = "cp", CLI_MORE(cp_run), …`. The hot program hands its whole
 * command line over (cli_exec_more()).
 */
#ifdef MASU_HOT
#define CLI_MORE(function) .run = false ? (function) : NULL, .more = true
#define CLI_IS_HOT	   true
#else
#define CLI_MORE(function) .run = (function)
#define CLI_IS_HOT	   false
#endif

/* What every command gets: the global flags, and memory that lives as long as the program. */
struct cli_context {
	struct arena *arena;
	const char *root;	    /* --root / MASU_ROOT / /var/lib/masu */
	const char *runroot;	    /* --runroot / MASU_RUNROOT / /run/masu */
	const char *storage_driver; /* --storage-driver / MASU_STORAGE_DRIVER / NULL: the root's */
	const char *program;	    /* "masu" or "masu-oci" */
	const char *self_path; /* absolute path of this program, before it was re-executed sealed */
	char **argv;	       /* the whole command line, for sealed_ensure() */
	bool debug;
	bool trace_timing;
};

struct cli_command {
	const char *name;     /* "run" */
	const char *aliases;  /* other names in a group, with a blank between them; NULL: none */
	const char *synopsis; /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
	const char *summary;  /* one line, as in docker's help */
	const struct cli_option *options;
	size_t option_count;
	size_t options_size;		 /* sizeof the option struct; zeroed before parsing */
	void (*defaults)(void *options); /* may be NULL */
	/*
	 * Runs the command; returns its exit status, or a negative errno with *err set: then the
	 * line "masu: <message>" is printed and err->exit_status (or @failure_status) is the
	 * status.
	 */
	int (*run)(struct cli_context *context, void *options, int argc, char **argv,
		   struct masu_error *err);
	/* NULL-terminated; NULL: a leaf. With run() set too, run() takes its own flags off and
	 * calls them itself. */
	const struct cli_command *const *subcommands;
	const char
		*cold_program;	/* libexec program that takes over with the same argv; NULL: here */
	bool cold_grouped;	/* and with the word before: "container prune", "image prune" */
	int min_args, max_args; /* positionals; max -1: any */
	bool stop_at_positional; /* run, create, exec: options end at the first positional */
	bool raw_arguments;	 /* no word is an option: all are positionals */
	bool enters_container;	 /* run from a sealed copy (CVE-2019-5736), see main.c */
	int failure_status;	 /* exit status of a failure without its own; 0 means 1 */
	bool more;		 /* here only its table: it runs in libexec/masu/masu-more */
	bool hidden;
};

/*
 * Parses @argv (without the command's own name) against the command. Positionals end up, in order,
 * in *ret_argv (in the arena, NULL-terminated). -EINVAL with docker's wording for what it does not
 * know; the error's exit_status is 125. *ret_help is set by -h/--help.
 */
int cli_parse(struct arena *arena, const struct cli_command *command, const char *path, int argc,
	      char **argv, void *options, int *ret_argc, char ***ret_argv, bool *ret_help,
	      struct masu_error *err);

/* The option of this name or letter, or NULL. */
const struct cli_option *cli_option_long(const struct cli_command *command, const char *name,
					 size_t len);
const struct cli_option *cli_option_letter(const struct cli_command *command, char letter);
/* Whether the next word is its value. */
bool cli_option_takes_value(const struct cli_option *option);

/* The command of this name, or in a group of this alias; NULL: there is none. */
const struct cli_command *cli_subcommand(const struct cli_command *command, const char *name,
					 bool in_group);

/* Finds the command for argv (descending into subcommands) and runs it; the program's exit status.
 */
int cli_dispatch(struct cli_context *context, const struct cli_command *root, int argc,
		 char **argv);

/* Help as docker prints it. @path: "masu container run". */
void cli_help(const struct cli_command *command, const char *path);

/* Appends to a list option's value (defaults, tests). 0 or -ENOMEM. */
int cli_list_add(struct arena *arena, struct cli_list *list, const char *item);

/* Replaces this process by libexec/masu/<program> with @argv. Only returns on failure. */
int cli_exec_cold(struct cli_context *context, const char *program, int argc, char **argv,
		  struct masu_error *err);

/* Replaces this process by libexec/masu/masu-more with the whole command line. */
int cli_exec_more(struct cli_context *context, struct masu_error *err);

/* The libexec directory: beside the program (build tree) or ../libexec/masu (installed), or
 * MASU_LIBEXEC. */
int cli_libexec_dir(const struct cli_context *context, char *ret, size_t size);
