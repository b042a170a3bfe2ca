/*
 * containers-registries.conf(5), version 2. TOML has no small library in Debian's C world; the file
 * uses little of it: [[registry]] and [[registry.mirror]] tables, strings, booleans, comments.
 */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cold/registry/registry.h"

enum table { TABLE_TOP, TABLE_REGISTRY, TABLE_MIRROR, TABLE_OTHER };

struct parser {
	const char *name;
	struct arena *arena;
	struct registry_rule *rule;
	enum table table;
	struct registry_rule here; /* the [[registry]] being read */
	const char *prefix;
};

/* "a.example/b" is for that and what is below it, "*.example" for all hosts that end so. */
static bool prefix_matches(const char *prefix, const char *name)
{
	size_t len = strlen(prefix), host = strcspn(name, "/");
	if (strncmp(prefix, "*.", 2) == 0)
		return host > len - 1 && strncmp(name + host - (len - 1), prefix + 1, len - 1) == 0;
	return strncmp(name, prefix, len) == 0 && (name[len] == '\0' || name[len] == '/');
}

/*
 * The end of a [[registry]]: it counts where its prefix, or without one its location, matches. Of
 * several the longest is meant, and of two that are equal the later, which may be in a file that
 * is to change the one before.
 */
static void close_registry(struct parser *p)
{
	const char *prefix = p->prefix ? p->prefix : p->here.location;
	if (prefix && *prefix && prefix_matches(prefix, p->name) &&
	    (!p->rule->found || strlen(prefix) >= strlen(p->rule->prefix))) {
		*p->rule = p->here;
		p->rule->prefix = prefix;
		p->rule->found = true;
	}
	p->here = (struct registry_rule) { 0 };
	p->prefix = NULL;
}

static const char *skip_space(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	return s;
}

static bool ends_line(const char *s, const char *end)
{
	s = skip_space(s, end);
	return s == end || *s == '#';
}

/* A basic or literal string on one line. */
static int take_string(struct parser *p, const char *s, const char *end, const char **ret)
{
	char quote = *s++;
	const char *close = s;
	if (quote != '"' && quote != '\'')
		return -EBADMSG;
	while (close < end && *close != quote)
		close += quote == '"' && *close == '\\' ? 2 : 1;
	if (close >= end || !ends_line(close + 1, end))
		return -EBADMSG;
	/* Escapes do not occur in names of hosts. */
	if (memchr(s, '\\', (size_t)(close - s)))
		return -EBADMSG;
	*ret = arena_strndup(p->arena, s, (size_t)(close - s));
	return *ret ? 0 : -ENOMEM;
}

static int take_bool(const char *s, const char *end, bool *ret)
{
	size_t len = (size_t)(end - s);
	if (len >= 4 && strncmp(s, "true", 4) == 0 && ends_line(s + 4, end))
		*ret = true;
	else if (len >= 5 && strncmp(s, "false", 5) == 0 && ends_line(s + 5, end))
		*ret = false;
	else
		return -EBADMSG;
	return 0;
}

static bool is_key(const char *key, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(key, name, len) == 0;
}

static int take_use(struct parser *p, const char *s, const char *end, enum registry_use *ret)
{
	static const char *const names[] = { [REGISTRY_FOR_ALL] = "all",
					     [REGISTRY_FOR_DIGESTS] = "digest-only",
					     [REGISTRY_FOR_TAGS] = "tag-only" };
	const char *value;
	int r = take_string(p, s, end, &value);
	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
		if (streq(value, names[i])) {
			*ret = (enum registry_use)i;
			return 0;
		}
	return r < 0 ? r : -EBADMSG;
}

static int mirror_value(struct parser *p, const char *key, size_t len, const char *s,
			const char *end)
{
	struct registry_rule *here = &p->here;
	if (here->mirror_count == 0)
		return -EBADMSG;
	size_t at = here->mirror_count - 1;
	if (is_key(key, len, "location"))
		return take_string(p, s, end, &here->mirrors[at]);
	if (is_key(key, len, "insecure"))
		return take_bool(s, end, &here->mirror_insecure[at]);
	if (is_key(key, len, "pull-from-mirror"))
		return take_use(p, s, end, &here->mirror_use[at]);
	return 0;
}

static int registry_value(struct parser *p, const char *key, size_t len, const char *s,
			  const char *end)
{
	if (is_key(key, len, "prefix"))
		return take_string(p, s, end, &p->prefix);
	if (is_key(key, len, "location"))
		return take_string(p, s, end, &p->here.location);
	if (is_key(key, len, "insecure"))
		return take_bool(s, end, &p->here.insecure);
	if (is_key(key, len, "mirror-by-digest-only"))
		return take_bool(s, end, &p->here.digests_only);
	if (is_key(key, len, "blocked"))
		return take_bool(s, end, &p->here.blocked);
	return 0;
}

static int read_table(struct parser *p, const char *s, const char *end)
{
	const char *close = memchr(s, ']', (size_t)(end - s));
	if (!close)
		return -EBADMSG;
	const char *name = s + strspn(s, "[");
	size_t len = (size_t)(close - name);
	bool array = s[1] == '[';
	if (array && is_key(name, len, "registry.mirror")) {
		if (p->table != TABLE_REGISTRY && p->table != TABLE_MIRROR)
			return -EBADMSG;
		if (p->here.mirror_count == REGISTRY_ENDPOINTS_MAX - 2)
			return -E2BIG;
		p->here.mirror_count++;
		p->table = TABLE_MIRROR;
		return 0;
	}
	close_registry(p);
	p->table = array && is_key(name, len, "registry") ? TABLE_REGISTRY : TABLE_OTHER;
	return 0;
}

static int read_line(struct parser *p, const char *s, const char *end)
{
	s = skip_space(s, end);
	if (ends_line(s, end))
		return 0;
	if (*s == '[')
		return read_table(p, s, end);
	const char *equals = memchr(s, '=', (size_t)(end - s));
	if (!equals)
		/* The rest of an array over several lines, which only tables have that do not
		 * count. */
		return p->table == TABLE_TOP || p->table == TABLE_OTHER ? 0 : -EBADMSG;
	size_t len = (size_t)(equals - s);
	while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	const char *value = skip_space(equals + 1, end);
	if (value == end)
		return -EBADMSG;
	if (p->table == TABLE_REGISTRY)
		return registry_value(p, s, len, value, end);
	if (p->table == TABLE_MIRROR)
		return mirror_value(p, s, len, value, end);
	return 0;
}

int registries_conf_parse(const char *text, size_t len, const char *name, struct arena *arena,
			  struct registry_rule *rule, struct masu_error *err)
{
	struct parser parser = { .name = name, .arena = arena, .rule = rule };
	const char *end = text + len;
	unsigned number = 1;
	for (const char *line = text; line < end; number++) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *stop = newline ? newline : end;
		int r = read_line(&parser, line, stop);
		if (r < 0)
			return error_set(err, r, "line %u is not understood", number);
		line = newline ? newline + 1 : end;
	}
	close_registry(&parser);
	return 0;
}
