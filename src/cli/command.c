/* Dispatch and help from the command table. */
#include "cli/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/sealed.h"

#define PATH_TEXT_MAX	 256
#define HELP_OPTIONS_MAX 128

static bool has_alias(const struct cli_command *command, const char *name)
{
	size_t len = strlen(name);
	for (const char *p = command->aliases; p && *p && len; p += strspn(p, " ")) {
		size_t word = strcspn(p, " ");
		if (word == len && memcmp(p, name, len) == 0)
			return true;
		p += word;
	}
	return false;
}

/* Aliases are docker's, who has them only in the groups: "container ps", but no "remove". */
const struct cli_command *cli_subcommand(const struct cli_command *command, const char *name,
					 bool in_group)
{
	for (const struct cli_command *const *sub = command->subcommands; sub && *sub; sub++)
		if (streq((*sub)->name, name) || (in_group && has_alias(*sub, name)))
			return *sub;
	return NULL;
}

/* Levenshtein distance, for "did you mean"; names are short. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[64], len = strlen(b);
	if (len >= ARRAY_SIZE(row))
		return len;
	for (size_t k = 0; k <= len; k++)
		row[k] = k;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t k = 1; k <= len; k++) {
			size_t best = diagonal + (a[i - 1] != b[k - 1]);
			diagonal = row[k];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
		}
	}
	return row[len];
}

static int unknown_command(const struct cli_command *command, const char *path, const char *name)
{
	const struct cli_command *best = NULL;
	size_t best_distance = 3;
	for (const struct cli_command *const *sub = command->subcommands; *sub; sub++) {
		size_t distance = edit_distance(name, (*sub)->name);
		if (!(*sub)->hidden && distance < best_distance) {
			best_distance = distance;
			best = *sub;
		}
	}
	fprintf(stderr, "masu: '%s' is not a %s command", name, path);
	if (best)
		fprintf(stderr, "; did you mean '%s'?", best->name);
	fprintf(stderr, "\nSee '%s --help'\n", path);
	return 1;
}

static const char *option_metavar(const struct cli_option *option)
{
	if (option->kind == CLI_BOOL)
		return "";
	return option->metavar ? option->metavar : "string";
}

static int compare_options(const void *a, const void *b)
{
	return strcmp((*(const struct cli_option *const *)a)->name,
		      (*(const struct cli_option *const *)b)->name);
}

static void help_commands(const struct cli_command *command)
{
	size_t width = 0;
	for (const struct cli_command *const *sub = command->subcommands; sub && *sub; sub++)
		if (!(*sub)->hidden && strlen((*sub)->name) > width)
			width = strlen((*sub)->name);
	if (command->subcommands)
		printf("\nCommands:\n");
	for (const struct cli_command *const *sub = command->subcommands; sub && *sub; sub++)
		if (!(*sub)->hidden)
			printf("  %-*s   %s\n", (int)width, (*sub)->name, (*sub)->summary);
}

static void help_aliases(const struct cli_command *command, const char *path)
{
	const char *group = strrchr(path, ' ');
	/* At the top level there are none. */
	if (!command->aliases || !group || strchr(path, ' ') == group)
		return;
	printf("\nAliases:\n  %s", path);
	for (const char *p = command->aliases; *p; p += strspn(p, " ")) {
		size_t len = strcspn(p, " ");
		printf(", %.*s %.*s", (int)(group - path), path, (int)len, p);
		p += len;
	}
	putchar('\n');
}

/* By name, whatever the order of the table, as docker does. */
static void help_options(const struct cli_command *command)
{
	const struct cli_option *sorted[HELP_OPTIONS_MAX];
	size_t width = 0, count = 0;
	for (size_t i = 0; i < command->option_count && count < HELP_OPTIONS_MAX; i++) {
		const struct cli_option *option = &command->options[i];
		size_t w = strlen(option->name) + 1 + strlen(option_metavar(option));
		if (option->hidden)
			continue;
		sorted[count++] = option;
		width = w > width ? w : width;
	}
	qsort(sorted, count, sizeof(*sorted), compare_options);
	if (count)
		printf("\nOptions:\n");
	for (size_t i = 0; i < count; i++) {
		char left[PATH_TEXT_MAX], letter[8] = "    ";
		snprintf(left, sizeof(left), "%s %s", sorted[i]->name, option_metavar(sorted[i]));
		if (sorted[i]->letter)
			snprintf(letter, sizeof(letter), "-%c, ", sorted[i]->letter);
		printf("  %s--%-*s   %s\n", letter, (int)width, left, sorted[i]->help);
	}
}

void cli_help(const struct cli_command *command, const char *path)
{
	printf("\nUsage:  %s %s\n\n%s\n", path, command->synopsis, command->summary);
	help_aliases(command, path);
	help_commands(command);
	help_options(command);
	if (command->subcommands)
		printf("\nRun '%s COMMAND --help' for more information on a command.\n", path);
}

/* Prints the one line a failure is reported by; the status to exit with. */
static int report(const struct cli_command *command, const struct masu_error *err)
{
	fprintf(stderr, "masu: %s\n", err->message[0] ? err->message : strerror(-err->code));
	if (err->exit_status)
		return err->exit_status;
	return command->failure_status ? command->failure_status : 1;
}

static int check_argument_count(const struct cli_command *command, const char *path, int argc,
				struct masu_error *err)
{
	bool few = argc < command->min_args;
	bool many = command->max_args >= 0 && argc > command->max_args;
	if (!few && !many)
		return 0;
	const char *bound = command->min_args == command->max_args ? "exactly"
			    : few				   ? "at least"
								   : "at most";
	int number = few ? command->min_args : command->max_args;
	error_set(err, -EINVAL, "\"%s\" requires %s %d argument%s.\nSee '%s --help'.", path, bound,
		  number, number == 1 ? "" : "s", path);
	return error_exit_status(err, 1);
}

static int run_leaf(struct cli_context *context, const struct cli_command *command,
		    const char *path, int argc, char **argv)
{
	struct masu_error err = { 0 };
	if (command->cold_program) {
		int words = command->cold_grouped ? 2 : 1;
		cli_exec_cold(context, command->cold_program, argc + words, argv - words, &err);
		return report(command, &err);
	}
	if (command->more) {
		cli_exec_more(context, &err);
		return report(command, &err);
	}
	void *options = arena_alloc(context->arena, command->options_size + 1);
	if (!options) {
		error_set(&err, -ENOMEM, "out of memory");
		return report(command, &err);
	}
	if (command->defaults)
		command->defaults(options);
	bool help = false;
	int count;
	char **positional;
	int r = 0;
	if (command->raw_arguments) {
		count = argc;
		positional = argv;
	} else {
		r = cli_parse(context->arena, command, path, argc, argv, options, &count,
			      &positional, &help, &err);
	}
	if (r == 0 && help) {
		cli_help(command, path);
		return 0;
	}
	if (r == 0)
		r = check_argument_count(command, path, count, &err);
	if (r == 0 && command->enters_container)
		r = sealed_ensure(context->self_path, context->argv, &err);
	if (r == 0)
		r = command->run(context, options, count, positional, &err);
	if (r < 0) {
		if (err.code == 0)
			error_errno(&err, r, "%s", command->name);
		return report(command, &err);
	}
	return r;
}

int cli_dispatch(struct cli_context *context, const struct cli_command *root, int argc, char **argv)
{
	const struct cli_command *command = root;
	char path[PATH_TEXT_MAX];
	str_format(path, sizeof(path), "%s", root->name);
	int at = 0;
	while (command->subcommands && !command->run) {
		if (at >= argc || streq(argv[at], "--help") || streq(argv[at], "-h") ||
		    streq(argv[at], "help")) {
			cli_help(command, path);
			return 0;
		}
		const struct cli_command *next = cli_subcommand(command, argv[at], at > 0);
		if (!next)
			return unknown_command(command, path, argv[at]);
		command = next;
		size_t used = strlen(path);
		str_format(path + used, sizeof(path) - used, " %s", command->name);
		at++;
	}
	return run_leaf(context, command, path, argc - at, argv + at);
}
