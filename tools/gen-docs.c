/*
 * Writes the manual pages' sources (scdoc) from the command table.
 * Usage: gen-docs man DIRECTORY. Run by tools/gen-man.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/commands.h"

#define PATH_TEXT_MAX 256

/* scdoc's own characters are taken literally. */
static void put_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("_*\\[]#~<>`", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
}

static int compare_options(const void *a, const void *b)
{
	return strcmp((*(const struct cli_option *const *)a)->name,
		      (*(const struct cli_option *const *)b)->name);
}

/* The options that help shows, by name; *ret is malloc'ed. */
static size_t visible_options(const struct cli_command *command, const struct cli_option ***ret)
{
	size_t count = 0;
	*ret = calloc(command->option_count + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < command->option_count; i++)
		if (!command->options[i].hidden)
			(*ret)[count++] = &command->options[i];
	if (*ret)
		qsort(*ret, count, sizeof(**ret), compare_options);
	return count;
}

static void put_options(FILE *out, const struct cli_command *command)
{
	_cleanup_free_ const struct cli_option **options = NULL;
	size_t count = visible_options(command, &options);
	if (count)
		fprintf(out, "\n# OPTIONS\n");
	for (size_t i = 0; i < count; i++) {
		const struct cli_option *option = options[i];
		fputc('\n', out);
		if (option->letter)
			fprintf(out, "*-%c*, ", option->letter);
		fprintf(out, "*--%s*", option->name);
		if (option->kind != CLI_BOOL) {
			fputs(" _", out);
			fputs(option->metavar ? option->metavar : "string", out);
			fputc('_', out);
		}
		fputs("\n\t", out);
		put_text(out, option->help ? option->help : "");
		fputs(".\n", out);
	}
}

static void put_commands(FILE *out, const struct cli_command *command, const char *path)
{
	if (!command->subcommands)
		return;
	fprintf(out, "\n# COMMANDS\n");
	for (const struct cli_command *const *sub = command->subcommands; *sub; sub++) {
		if ((*sub)->hidden)
			continue;
		fprintf(out, "\n*%s-%s*(1)\n\t", path, (*sub)->name);
		put_text(out, (*sub)->summary);
		fputs(".\n", out);
	}
}

/* One page and those of the commands below. @path: "masu-volume-create". */
static int write_page(const char *directory, const struct cli_command *command, const char *path)
{
	char file[4096], words[PATH_TEXT_MAX];
	if (str_format(file, sizeof(file), "%s/%s.1.scd", directory, path) < 0 ||
	    str_format(words, sizeof(words), "%s", path) < 0)
		return -ENAMETOOLONG;
	for (char *p = words; *p; p++)
		*p = *p == '-' ? ' ' : *p;
	_cleanup_fclose_ FILE *out = fopen(file, "we");
	if (!out)
		return -errno;
	fprintf(out, "%s(1)\n\n# NAME\n\n%s - ", path, path);
	put_text(out, command->summary);
	fprintf(out, "\n\n# SYNOPSIS\n\n*%s* ", words);
	put_text(out, command->synopsis);
	fputc('\n', out);
	put_commands(out, command, path);
	put_options(out, command);
	fprintf(out, "\n# SEE ALSO\n\n*masu*(1)\n");
	for (const struct cli_command *const *sub = command->subcommands; sub && *sub; sub++) {
		char below[PATH_TEXT_MAX];
		if ((*sub)->hidden)
			continue;
		int r = str_format(below, sizeof(below), "%s-%s", path, (*sub)->name);
		if (r == 0)
			r = write_page(directory, *sub, below);
		if (r < 0)
			return r;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 3 || !streq(argv[1], "man")) {
		fprintf(stderr, "usage: gen-docs man DIRECTORY\n");
		return 2;
	}
	int r = write_page(argv[2], &root_command, "masu");
	if (r < 0)
		fprintf(stderr, "gen-docs: %s: %s\n", argv[2], strerror(-r));
	return r < 0;
}
