/* `masu search`: Docker's search (version 1 of its index API), which docker.io has and few others.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/image_options.h"
#include "cold/image/search.h"
#include "cold/image/unpack.h"
#include "cold/image/verbs.h"
#include "cold/registry/fetch.h"
#include "cold/registry/remote.h"

#define LIMIT_DEFAULT	  25
#define LIMIT_MAX	  100
#define TERM_MAX	  256
#define DESCRIPTION_SHOWN 45
#define ANSWER_MEMORY	  (64u << 20)

/* ---- in the sandbox ---- */

/* One line, whatever is in the text. */
static char *one_line(struct arena *arena, const struct json *value)
{
	const char *text = "";
	json_string(value, &text);
	char *copy = arena_strdup(arena, text);
	for (char *p = copy; p && *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
	if (copy)
		str_make_printable(copy, false);
	return copy;
}

int search_describe(void *opaque, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const struct search_answer *answer = opaque;
	const struct json *document;
	arena_init(&arena, ANSWER_MEMORY);
	if (json_parse(&arena, answer->text, answer->len, &document, NULL) < 0)
		return error_set(err, -EOPNOTSUPP, "no search");
	const struct json *results = json_get(document, "results");
	if (!results || (results->type != JSON_ARRAY && results->type != JSON_NULL))
		return error_set(err, -EOPNOTSUPP, "no search");
	json_foreach (item, results) {
		uint64_t stars = 0;
		bool official = false, automated = false;
		const char *name = one_line(&arena, json_get(item, "name"));
		const char *description = one_line(&arena, json_get(item, "description"));
		json_u64(json_get(item, "star_count"), &stars);
		json_bool(json_get(item, "is_official"), &official);
		json_bool(json_get(item, "is_automated"), &automated);
		if (!name || !description)
			return error_set(err, -ENOMEM, "out of memory");
		buf_printf(out, "%llu\t%d\t%d\t%s\t%s\n", (unsigned long long)stars, official,
			   automated, name, description);
	}
	return buf_error(out);
}

/* ---- what is asked ---- */

struct search {
	struct arena *arena;
	const struct search_options *options;
	const char *domain, *term;
	struct masu_error *err;
	int64_t min_stars;
	int official, automated; /* 0, 1; -1: either */
	const struct json *rows[LIMIT_MAX];
	size_t count;
};

/* "registry.example/term" is asked there, as in a reference; "term" and "user/term" at docker.io.
 */
static int split_term(struct search *s, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	if (strstr(text, "://"))
		return error_set(s->err, -EINVAL,
				 "invalid repository name: repository name (%.200s) should not "
				 "have a scheme",
				 text);
	if (!*text || strlen(text) > TERM_MAX)
		return error_set(s->err, -EINVAL, "search: a term of 1 to %d characters is needed",
				 TERM_MAX);
	bool named = slash && (memchr(text, '.', len) || memchr(text, ':', len) ||
			       (len == strlen("localhost") && memcmp(text, "localhost", len) == 0));
	s->domain = named ? arena_strndup(s->arena, text, len) : "docker.io";
	s->term = named ? slash + 1 : text;
	if (!s->domain)
		return error_set(s->err, -ENOMEM, "out of memory");
	if (streq(s->domain, "index.docker.io"))
		s->domain = "docker.io";
	if (streq(s->domain, "docker.io") && str_after(s->term, "library/"))
		s->term += strlen("library/");
	return 0;
}

static int read_bool(const char *value, int *ret)
{
	bool yes = streq(value, "true") || streq(value, "1");
	if (!yes && !streq(value, "false") && !streq(value, "0"))
		return -EINVAL;
	*ret = yes;
	return 0;
}

static int read_filters(struct search *s)
{
	s->official = s->automated = -1;
	for (size_t i = 0; i < s->options->filter.count; i++) {
		const char *text = s->options->filter.items[i], *value;
		uint64_t stars = 0;
		int r;
		if ((value = str_after(text, "is-official=")))
			r = read_bool(value, &s->official);
		else if ((value = str_after(text, "is-automated=")))
			r = read_bool(value, &s->automated);
		else if ((value = str_after(text, "stars=")))
			r = str_to_u64(value, &stars) < 0 || stars > INT32_MAX ? -EINVAL : 0;
		else
			r = -EINVAL;
		if (r < 0)
			return error_set(s->err, r, "invalid filter '%.100s'", text);
		if ((int64_t)stars > s->min_stars)
			s->min_stars = (int64_t)stars;
	}
	return 0;
}

static int64_t limit_of(const struct search *s)
{
	return s->options->limit ? s->options->limit : LIMIT_DEFAULT;
}

static int write_path(const struct search *s, char *ret, size_t size)
{
	char term[3 * TERM_MAX + 1];
	size_t at = 0;
	for (const char *p = s->term; *p; p++) {
		bool plain = isalnum((unsigned char)*p) || strchr("-_.~", *p);
		str_format(term + at, sizeof(term) - at, plain ? "%c" : "%%%02X",
			   (unsigned char)*p);
		at += plain ? 1 : 3;
	}
	term[at] = '\0';
	return str_format(ret, size, "/v1/search?q=%s&n=%lld", term, (long long)limit_of(s));
}

/* ---- what is shown ---- */

static bool is_wanted(const struct search *s, uint64_t stars, bool official, bool automated)
{
	return stars >= (uint64_t)s->min_stars && (s->official < 0 || s->official == official) &&
	       (s->automated < 0 || s->automated == automated);
}

/* The first @most characters, the last of them an ellipsis where there are more. */
static const char *shorten(struct arena *arena, const char *text, size_t most)
{
	size_t characters = 0, at = 0, cut = 0;
	for (; text[at]; characters++) {
		if (characters == most - 1)
			cut = at;
		size_t len = str_utf8_length(text + at, strlen(text + at));
		at += len ? len : 1;
	}
	return characters > most ? arena_printf(arena, "%.*s…", (int)cut, text) : text;
}

/* A line of the description; -EPROTO where it is none. */
static int add_row(struct search *s, char *line)
{
	char *fields[5], *save = line;
	uint64_t stars;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!(fields[i] = strsep(&save, "\t")))
			return -EPROTO;
	bool official = streq(fields[1], "1"), automated = streq(fields[2], "1");
	if (save || str_to_u64(fields[0], &stars) < 0)
		return -EPROTO;
	/* The box is not believed what it says of its text. */
	str_make_printable(fields[3], false);
	str_make_printable(fields[4], false);
	if (s->count == ARRAY_SIZE(s->rows) || !is_wanted(s, stars, official, automated))
		return 0;
	struct json_builder row;
	json_builder_init(&row, s->arena, JSON_OBJECT);
	json_build_string(&row, "Description",
			  s->options->no_trunc ? fields[4]
					       : shorten(s->arena, fields[4], DESCRIPTION_SHOWN));
	json_build_string(&row, "IsAutomated", automated ? "[OK]" : "");
	json_build_string(&row, "IsOfficial", official ? "[OK]" : "");
	json_build_string(&row, "Name", fields[3]);
	json_build_string(&row, "StarCount", fields[0]);
	s->rows[s->count++] = row.value;
	return row.value ? 0 : -ENOMEM;
}

static int print(struct search *s)
{
	static const struct format_heading headings[] = {
		{ "Description", "DESCRIPTION" }, { "IsAutomated", "AUTOMATED" },
		{ "IsOfficial", "OFFICIAL" },	  { "Name", "NAME" },
		{ "StarCount", "STARS" },	  { 0 },
	};
	return format_rows(s->arena, s->options->format,
			   "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", headings,
			   s->rows, s->count, s->err);
}

static int read_answer(struct search *s, const struct remote_document *document)
{
	_cleanup_buf_ struct buf lines;
	struct search_answer answer = { document->text, document->len };
	char *save = NULL;
	buf_init(&lines, 2 * FETCH_DOCUMENT_MAX);
	int r = sandboxed_run(search_describe, &answer, FETCH_DOCUMENT_MAX, &lines, s->err);
	char *text = r == 0 ? arena_strdup(s->arena, buf_str(&lines)) : NULL;
	if (r == 0 && !text)
		r = error_set(s->err, -ENOMEM, "out of memory");
	for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		r = add_row(s, line);
		if (r < 0)
			error_errno(s->err, r, "the decoder's answer about the search");
	}
	return r;
}

/* docker.io is searched at another host than it is pulled from, with the same credentials. */
static int open_index(struct search *s, struct remote *remote)
{
	const struct image_reference reference = { .domain = s->domain, .path = "search" };
	const struct image_reference whole = { .domain = s->domain };
	*remote = (struct remote) { .arena = s->arena, .reference = reference };
	int r = registry_open(s->arena, &whole, &remote->registry, s->err);
	if (r < 0)
		return r;
	registry_drop_mirrors(&remote->registry);
	struct registry_endpoint *first = &remote->registry.endpoints[0];
	if (streq(first->base, "https://registry-1.docker.io"))
		first->base = "https://index.docker.io";
	return fetcher_open(&remote->registry, &remote->fetcher, s->err);
}

static int no_search(const struct search *s)
{
	return error_set(s->err, -EOPNOTSUPP,
			 "%s offers no search: docker.io does, and few other registries",
			 s->domain);
}

static int ask(struct search *s)
{
	char path[FETCH_PATH_MAX];
	struct remote_document document;
	_cleanup_remote_ struct remote remote = { 0 };
	int r = write_path(s, path, sizeof(path));
	if (r < 0)
		return error_errno(s->err, r, "search");
	r = open_index(s, &remote);
	if (r == 0)
		r = remote_get_path(&remote, path, "application/json", &document, s->err);
	if (r == -ENOENT)
		return no_search(s);
	if (r == 0)
		r = read_answer(s, &document);
	return r == -EOPNOTSUPP ? no_search(s) : r;
}

static int run(struct cli_context *context, void *data, int argc, char **argv,
	       struct masu_error *err)
{
	const struct search_options *o = data;
	struct search search = { .arena = context->arena, .options = o, .err = err };
	int r = split_term(&search, argv[0]);
	if (r == 0 && (o->limit < 0 || o->limit > LIMIT_MAX))
		r = error_set(err, -EINVAL, "Limit %lld is outside the range of [1, %d]",
			      (long long)o->limit, LIMIT_MAX);
	if (r == 0)
		r = read_filters(&search);
	if (r == 0)
		r = ask(&search);
	if (r == 0)
		r = print(&search);
	fflush(stdout);
	return r;
}

const struct cli_command search_command = { SEARCH_COMMAND, .run = run };
