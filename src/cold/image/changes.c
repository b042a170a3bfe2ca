/* The Dockerfile instructions that `import --change` takes, with docker's syntax for each. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "cold/image/config.h"
#include "json/json.h"

#define LIST_LIMIT 4096

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* Copies a NULL-terminated list with one more item. */
static const char **list_with(struct arena *arena, const char *const *list, const char *item)
{
	size_t count = strv_length((char *const *)list);
	const char **grown =
		count < LIST_LIMIT ? arena_array(arena, const char *, count + 2) : NULL;
	if (!grown)
		return NULL;
	for (size_t i = 0; i < count; i++)
		grown[i] = list[i];
	grown[count] = item;
	return grown;
}

static int list_add(struct arena *arena, const char ***list, const char *item)
{
	const char **grown = item ? list_with(arena, *list, item) : NULL;
	if (!grown)
		return -ENOMEM;
	*list = grown;
	return 0;
}

/* As above, once. */
static int set_add(struct arena *arena, const char ***set, const char *item)
{
	for (const char *const *p = *set; p && *p; p++)
		if (item && streq(*p, item))
			return 0;
	return list_add(arena, set, item);
}

/* ["a","b"]: 1 and the list; anything else is not the JSON form: 0. */
static int json_form(struct arena *arena, const char *text, const char ***ret)
{
	const struct json *array;
	const char **list = NULL;
	if (*text != '[' || json_parse(arena, text, strlen(text), &array, NULL) < 0 ||
	    array->type != JSON_ARRAY)
		return 0;
	list = arena_array(arena, const char *, (size_t)array->count + 1);
	if (!list)
		return -ENOMEM;
	size_t at = 0;
	json_foreach (item, array) {
		if (!json_string(item, &list[at++]))
			return 0;
	}
	*ret = list;
	return 1;
}

/* The JSON form as it is, the shell form as an argument of /bin/sh -c; empty: none. */
static int command_form(struct arena *arena, const char *text, char ***ret)
{
	const char **list = NULL;
	int r = json_form(arena, text, &list);
	if (r == 0 && *text) {
		r = list_add(arena, &list, "/bin/sh");
		if (r == 0)
			r = list_add(arena, &list, "-c");
		if (r == 0)
			r = list_add(arena, &list, arena_strdup(arena, text));
	}
	if (r >= 0)
		*ret = (char **)list;
	return r < 0 ? r : 0;
}

/*
 * One word of "k=v k2=\"v 2\"": quotes group and vanish, a backslash takes the next character as
 * it is. Returns where it ended, or NULL on an open quote.
 */
static const char *next_word(const char *s, char *out)
{
	char quote = 0;
	for (; *s && (quote || (*s != ' ' && *s != '\t')); s++) {
		if (*s == '\\' && s[1] && quote != '\'')
			*out++ = *++s;
		else if (quote ? *s == quote : (*s == '"' || *s == '\''))
			quote = quote ? 0 : *s;
		else
			*out++ = *s;
	}
	*out = '\0';
	return quote ? NULL : s;
}

typedef int (*pair_setter)(struct config_builder *c, const char *key, const char *value);

/* "k=v …", or docker's old form "k v with blanks" for exactly one. */
static int pairs_form(struct config_builder *c, const char *text, pair_setter set)
{
	char *word = arena_alloc(c->arena, strlen(text) + 1);
	if (!word)
		return -ENOMEM;
	size_t first = strcspn(text, " \t=");
	if (text[first] != '=') {
		const char *value = skip_blanks(text + first);
		const char *key = arena_strndup(c->arena, text, first);
		return !*value || !first || !key ? -EINVAL : set(c, key, value);
	}
	while (*text) {
		text = next_word(text, word);
		char *equals = text ? strchr(word, '=') : NULL;
		if (!equals || equals == word)
			return -EINVAL;
		*equals = '\0';
		const char *key = arena_strdup(c->arena, word);
		const char *value = arena_strdup(c->arena, equals + 1);
		int r = key && value ? set(c, key, value) : -ENOMEM;
		if (r < 0)
			return r;
		text = skip_blanks(text);
	}
	return 0;
}

static int set_env(struct config_builder *c, const char *key, const char *value)
{
	const char *entry = arena_printf(c->arena, "%s=%s", key, value);
	size_t len = strlen(key);
	if (!entry)
		return -ENOMEM;
	for (char **p = c->config.env; p && *p; p++) {
		if (strncmp(*p, key, len) == 0 && (*p)[len] == '=') {
			*p = (char *)entry;
			return 0;
		}
	}
	return list_add(c->arena, (const char ***)&c->config.env, entry);
}

static int set_label(struct config_builder *c, const char *key, const char *value)
{
	struct image_config *config = &c->config;
	for (size_t i = 0; i < config->label_count; i++) {
		if (streq(config->labels[i].key, key)) {
			config->labels[i].value = value;
			return 0;
		}
	}
	if (config->label_count >= LIST_LIMIT)
		return -E2BIG;
	struct oci_label *grown = arena_array(c->arena, struct oci_label, config->label_count + 1);
	if (!grown)
		return -ENOMEM;
	if (config->label_count)
		memcpy(grown, config->labels, config->label_count * sizeof(*grown));
	grown[config->label_count++] = (struct oci_label) { .key = key, .value = value };
	config->labels = grown;
	return 0;
}

static int change_env(struct config_builder *c, const char *text)
{
	return pairs_form(c, text, set_env);
}

static int change_label(struct config_builder *c, const char *text)
{
	return pairs_form(c, text, set_label);
}

static int change_cmd(struct config_builder *c, const char *text)
{
	return command_form(c->arena, text, &c->config.cmd);
}

static int change_entrypoint(struct config_builder *c, const char *text)
{
	return command_form(c->arena, text, &c->config.entrypoint);
}

/* "80", "80/udp", "8000-8003/tcp" */
static int expose(struct config_builder *c, const char *word)
{
	char range[32];
	const char *protocol = strchr(word, '/');
	size_t len = protocol ? (size_t)(protocol - word) : strlen(word);
	protocol = protocol ? protocol + 1 : "tcp";
	if (len == 0 || len >= sizeof(range) ||
	    (!streq(protocol, "tcp") && !streq(protocol, "udp") && !streq(protocol, "sctp")))
		return -EINVAL;
	memcpy(range, word, len);
	range[len] = '\0';
	char *dash = strchr(range, '-');
	uint32_t first, last;
	if (dash)
		*dash = '\0';
	if (str_to_u32(range, &first) < 0 || str_to_u32(dash ? dash + 1 : range, &last) < 0 ||
	    first == 0 || last > 65535 || first > last || last - first >= LIST_LIMIT)
		return -EINVAL;
	int r = 0;
	for (uint32_t port = first; port <= last && r == 0; port++)
		r = set_add(c->arena, &c->config.exposed_ports,
			    arena_printf(c->arena, "%u/%s", port, protocol));
	return r;
}

static int volume(struct config_builder *c, const char *word)
{
	return *word ? set_add(c->arena, &c->config.volumes, arena_strdup(c->arena, word))
		     : -EINVAL;
}

/* Blank-separated words, at least one. */
static int words_form(struct config_builder *c, const char *text,
		      int (*use)(struct config_builder *, const char *))
{
	if (!*text)
		return -EINVAL;
	while (*text) {
		size_t len = strcspn(text, " \t");
		const char *word = arena_strndup(c->arena, text, len);
		int r = word ? use(c, word) : -ENOMEM;
		if (r < 0)
			return r;
		text = skip_blanks(text + len);
	}
	return 0;
}

static int change_expose(struct config_builder *c, const char *text)
{
	return words_form(c, text, expose);
}

static int change_volume(struct config_builder *c, const char *text)
{
	const char **list;
	int r = json_form(c->arena, text, &list);
	if (r == 0)
		return words_form(c, text, volume);
	for (; r > 0 && *list; list++)
		r = volume(c, *list) < 0 ? -EINVAL : 1;
	return r < 0 ? r : 0;
}

static int set_text(struct config_builder *c, const char **field, const char *text)
{
	const char *copy = *text ? arena_strdup(c->arena, text) : NULL;
	if (!copy)
		return *text ? -ENOMEM : -EINVAL;
	*field = copy;
	return 0;
}

static int change_user(struct config_builder *c, const char *text)
{
	return set_text(c, &c->config.user, text);
}

static int change_stopsignal(struct config_builder *c, const char *text)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint32_t number;
	if (str_to_u32(text, &number) == 0)
		return number > 0 && number < 65 ? set_text(c, &c->config.stop_signal, text)
						 : -EINVAL;
	for (const char *p = name; *p; p++)
		if (!name_char_valid(*p) && *p != '+')
			return -EINVAL;
	return *name ? set_text(c, &c->config.stop_signal, text) : -EINVAL;
}

/* A relative one continues the one before. */
static int change_workdir(struct config_builder *c, const char *text)
{
	const char *before = c->config.working_dir;
	if (*text == '/')
		return set_text(c, &c->config.working_dir, text);
	if (!*text)
		return -EINVAL;
	const char *joined = arena_printf(c->arena, "%s%s%s", before,
					  str_ends_with(before, "/") ? "" : "/", text);
	return joined ? set_text(c, &c->config.working_dir, joined) : -ENOMEM;
}

static int change_onbuild(struct config_builder *c, const char *text)
{
	if (!*text || strncasecmp(text, "ONBUILD", 7) == 0 || strncasecmp(text, "FROM", 4) == 0 ||
	    strncasecmp(text, "MAINTAINER", 10) == 0)
		return -EINVAL;
	return list_add(c->arena, &c->on_build, arena_strdup(c->arena, text));
}

/* Go's durations as far as health checks use them: "1h30m", "5s", "500ms". */
static int parse_duration(const char *text, int64_t *ret)
{
	static const struct {
		const char *unit;
		int64_t ns;
	} units[] = { { "ns", 1 },	   { "us", 1000 },	 { "ms", 1000000 },
		      { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 } };
	int64_t total = 0;
	if (!*text)
		return -EINVAL;
	while (*text) {
		size_t digits = strspn(text, "0123456789"),
		       len = strcspn(text + digits, "0123456789");
		char number[16];
		uint32_t value;
		size_t i = 0;
		if (digits == 0 || digits >= sizeof(number))
			return -EINVAL;
		memcpy(number, text, digits);
		number[digits] = '\0';
		while (i < ARRAY_SIZE(units) && (strlen(units[i].unit) != len ||
						 strncmp(units[i].unit, text + digits, len) != 0))
			i++;
		int64_t part;
		if (i == ARRAY_SIZE(units) || str_to_u32(number, &value) < 0 ||
		    __builtin_mul_overflow((int64_t)value, units[i].ns, &part) ||
		    __builtin_add_overflow(total, part, &total))
			return -EINVAL;
		text += digits + len;
	}
	*ret = total;
	return 0;
}

static int healthcheck_option(const char *word, struct image_healthcheck *check)
{
	uint32_t retries;
	const char *value;
	if ((value = str_after(word, "--interval=")))
		return parse_duration(value, &check->interval_ns);
	if ((value = str_after(word, "--timeout=")))
		return parse_duration(value, &check->timeout_ns);
	if ((value = str_after(word, "--start-period=")))
		return parse_duration(value, &check->start_period_ns);
	if ((value = str_after(word, "--start-interval=")))
		return parse_duration(value, &check->start_interval_ns);
	if ((value = str_after(word, "--retries=")) && str_to_u32(value, &retries) == 0 &&
	    retries <= INT32_MAX) {
		check->retries = (int)retries;
		return 0;
	}
	return -EINVAL;
}

static int change_healthcheck(struct config_builder *c, const char *text)
{
	struct image_healthcheck check = { .present = true };
	const char **test = NULL, **list = NULL;
	while (str_after(text, "--")) {
		size_t len = strcspn(text, " \t");
		const char *word = arena_strndup(c->arena, text, len);
		int r = word ? healthcheck_option(word, &check) : -ENOMEM;
		if (r < 0)
			return r;
		text = skip_blanks(text + len);
	}
	int r = 0;
	if (strcasecmp(text, "NONE") == 0) {
		r = list_add(c->arena, &test, "NONE");
	} else if (strncasecmp(text, "CMD", 3) == 0 && (text[3] == ' ' || text[3] == '\t')) {
		text = skip_blanks(text + 3);
		r = json_form(c->arena, text, &list);
		if (r < 0)
			return r;
		bool exec = r > 0;
		r = list_add(c->arena, &test, exec ? "CMD" : "CMD-SHELL");
		for (; exec && r == 0 && *list; list++)
			r = list_add(c->arena, &test, *list);
		if (!exec && r == 0)
			r = *text ? list_add(c->arena, &test, arena_strdup(c->arena, text))
				  : -EINVAL;
	} else {
		r = -EINVAL;
	}
	check.test = (char **)test;
	if (r == 0)
		c->config.healthcheck = check;
	return r;
}

static const struct {
	const char *name;
	int (*apply)(struct config_builder *c, const char *text);
} instructions[] = {
	{ "CMD", change_cmd },	       { "ENTRYPOINT", change_entrypoint },
	{ "ENV", change_env },	       { "EXPOSE", change_expose },
	{ "LABEL", change_label },     { "HEALTHCHECK", change_healthcheck },
	{ "ONBUILD", change_onbuild }, { "STOPSIGNAL", change_stopsignal },
	{ "USER", change_user },       { "VOLUME", change_volume },
	{ "WORKDIR", change_workdir },
};

int image_config_change(struct config_builder *c, const char *instruction, struct masu_error *err)
{
	const char *text = skip_blanks(instruction);
	size_t len = strcspn(text, " \t");
	const char *rest = skip_blanks(text + len);
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		if (strlen(instructions[i].name) != len ||
		    strncasecmp(instructions[i].name, text, len) != 0)
			continue;
		int r = instructions[i].apply(c, rest);
		if (r == -ENOMEM)
			return error_set(err, r, "out of memory");
		if (r < 0)
			return error_set(err, r, "--change \"%.200s\": not a valid %s instruction",
					 instruction, instructions[i].name);
		return 0;
	}
	return error_set(
		err, -EINVAL,
		"--change \"%.200s\": \"%.*s\" is not one of CMD, ENTRYPOINT, ENV, EXPOSE, "
		"HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR",
		instruction, (int)(len < 40 ? len : 40), text);
}
