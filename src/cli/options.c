/* Option parsing: docker's (pflag) syntax over a command's table. */
#include "cli/command.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

const struct cli_option *cli_option_long(const struct cli_command *command, const char *name,
					 size_t len)
{
	for (size_t i = 0; i < command->option_count; i++) {
		const struct cli_option *option = &command->options[i];
		if (strlen(option->name) == len && memcmp(option->name, name, len) == 0)
			return option;
	}
	return NULL;
}

const struct cli_option *cli_option_letter(const struct cli_command *command, char letter)
{
	for (size_t i = 0; i < command->option_count; i++)
		if (letter && command->options[i].letter == letter)
			return &command->options[i];
	return NULL;
}

/* Room is a power of two above the count, so that adding is cheap and needs no field of its own. */
int cli_list_add(struct arena *arena, struct cli_list *list, const char *item)
{
	size_t room = list->count + 1;
	if ((room & (room - 1)) == 0) {
		const char **items = arena_array(arena, const char *, room * 2);
		if (!items)
			return -ENOMEM;
		if (list->count)
			memcpy(items, list->items, list->count * sizeof(*items));
		list->items = items;
	}
	list->items[list->count++] = item;
	return 0;
}

static int parse_bool(const char *value, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (streq(value, yes[i])) {
			*ret = true;
			return 0;
		}
		if (streq(value, no[i])) {
			*ret = false;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_bytes(const char *value, int64_t *ret)
{
	uint64_t bytes;
	if (streq(value, "-1")) {
		*ret = -1;
		return 0;
	}
	int r = str_to_bytes(value, &bytes);
	if (r == 0 && bytes > INT64_MAX)
		r = -ERANGE;
	if (r == 0)
		*ret = (int64_t)bytes;
	return r;
}

static int store(struct arena *arena, const struct cli_option *option, void *options,
		 const char *value, struct masu_error *err)
{
	void *field = (char *)options + option->offset;
	int r = 0;
	switch (option->kind) {
	case CLI_BOOL:
		r = parse_bool(value, field);
		break;
	case CLI_STRING:
	case CLI_TRISTATE:
		*(const char **)field = value;
		break;
	case CLI_LIST:
		r = cli_list_add(arena, field, value);
		break;
	case CLI_INT:
		r = str_to_i64(value, field);
		break;
	case CLI_BYTES:
		r = parse_bytes(value, field);
		break;
	}
	if (r == 0 || r == -ENOMEM)
		return r < 0 ? error_set(err, r, "out of memory") : 0;
	const char *reason = r == -ERANGE ? "value out of range" : "invalid syntax";
	if (option->letter)
		return error_set(err, r, "invalid argument \"%.200s\" for \"-%c, --%s\" flag: %s",
				 value, option->letter, option->name, reason);
	return error_set(err, r, "invalid argument \"%.200s\" for \"--%s\" flag: %s", value,
			 option->name, reason);
}

bool cli_option_takes_value(const struct cli_option *option)
{
	return option->kind != CLI_BOOL && option->kind != CLI_TRISTATE;
}

struct parse_state {
	struct arena *arena;
	const struct cli_command *command;
	int argc;
	char **argv;
	int at;
	void *options;
	bool help;
};

static int parse_long(struct parse_state *state, struct masu_error *err)
{
	const char *name = state->argv[state->at] + 2;
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct cli_option *option = cli_option_long(state->command, name, len);
	if (!option && len == 4 && memcmp(name, "help", 4) == 0) {
		state->help = true;
		return 0;
	}
	if (!option)
		return error_set(err, -EINVAL, "unknown flag: --%.*s", (int)len, name);
	const char *value = equals ? equals + 1 : "true";
	if (!equals && cli_option_takes_value(option)) {
		if (state->at + 1 >= state->argc)
			return error_set(err, -EINVAL, "flag needs an argument: --%s",
					 option->name);
		value = state->argv[++state->at];
	}
	return store(state->arena, option, state->options, value, err);
}

static int parse_letters(struct parse_state *state, struct masu_error *err)
{
	const char *group = state->argv[state->at];
	for (const char *p = group + 1; *p; p++) {
		const struct cli_option *option = cli_option_letter(state->command, *p);
		if (!option && *p == 'h') {
			state->help = true;
			return 0;
		}
		if (!option)
			return error_set(err, -EINVAL, "unknown shorthand flag: '%c' in %s", *p,
					 group);
		const char *value = "true";
		bool last = false;
		if (p[1] == '=') {
			value = p + 2;
			last = true;
		} else if (cli_option_takes_value(option)) {
			last = true;
			if (p[1])
				value = p + 1;
			else if (state->at + 1 < state->argc)
				value = state->argv[++state->at];
			else
				return error_set(err, -EINVAL, "flag needs an argument: '%c' in %s",
						 *p, group);
		}
		int r = store(state->arena, option, state->options, value, err);
		if (r < 0 || last)
			return r;
	}
	return 0;
}

int cli_parse(struct arena *arena, const struct cli_command *command, const char *path, int argc,
	      char **argv, void *options, int *ret_argc, char ***ret_argv, bool *ret_help,
	      struct masu_error *err)
{
	struct parse_state state = { arena, command, argc, argv, 0, options, false };
	char **positional = arena_array(arena, char *, (size_t)argc + 1);
	if (!positional)
		return error_set(err, -ENOMEM, "out of memory");
	int count = 0, r = 0;
	bool options_end = false;
	for (; state.at < argc && r == 0; state.at++) {
		char *word = argv[state.at];
		if (options_end || word[0] != '-' || word[1] == '\0') {
			positional[count++] = word;
			options_end |= command->stop_at_positional;
		} else if (streq(word, "--")) {
			options_end = true;
		} else if (word[1] == '-') {
			r = parse_long(&state, err);
		} else {
			r = parse_letters(&state, err);
		}
	}
	*ret_help = state.help;
	*ret_argc = count;
	*ret_argv = positional;
	if (r < 0 && !state.help) {
		if (err && r != -ENOMEM) {
			size_t used = strlen(err->message);
			str_format(err->message + used, sizeof(err->message) - used,
				   "\nSee '%s --help'.", path);
		}
		error_exit_status(err, 125);
		return r;
	}
	return 0;
}
