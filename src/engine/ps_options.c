/* The options of ps(1) that are understood, in UNIX and BSD style. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "engine/ps.h"

#define WORDS_MAX 64

static const char full[] = "UID,pid,ppid,c,stime,tname,time,cmd";
static const char extra_full[] = "UID,pid,ppid,c,sz,rss,psr,stime,tname,time,cmd";
static const char plain[] = "pid,tname,time,ucmd";
static const char bsd_plain[] = "pid,tname,stat,bsdtime,args";
static const char bsd_user[] = "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args";

struct options {
	struct arena *arena;
	const char *words[WORDS_MAX];
	size_t count, at;
	const char *layout; /* of -f, -F, u; NULL: none was asked for */
	bool bsd;
	struct ps_layout *out;
};

static int refuse(const char *option, struct masu_error *err)
{
	return error_set(err, -ENOTSUP,
			 "ps option \"%.100s\" is not supported; use -ef, aux or -o with a list of "
			 "columns",
			 option);
}

/* "pid,comm", "pid comm"; "user:20" asks for a width, which the table has anyway. */
static int add_columns(struct ps_layout *layout, const char *list, struct masu_error *err)
{
	for (const char *p = list; *p; p += strspn(p, ", ")) {
		size_t len = strcspn(p, ", "), name = strcspn(p, ":, ");
		if (memchr(p, '=', len))
			return error_set(err, -ENOTSUP,
					 "ps option \"-o %.100s\": headings of one's own are not "
					 "supported",
					 p);
		const struct ps_column *column = ps_column_find(p, name);
		if (!column || p[0] == 'U')
			return error_set(err, -EINVAL,
					 "error: unknown user-defined format specifier \"%.*s\"",
					 (int)(len > 100 ? 100 : len), p);
		if (strspn(p + name, ":0123456789") != len - name)
			return error_set(err, -EINVAL, "error: bad width in \"%.*s\"",
					 (int)(len > 100 ? 100 : len), p);
		if (layout->count == PS_COLUMNS_MAX)
			return error_set(err, -E2BIG, "more than %d columns", PS_COLUMNS_MAX);
		layout->columns[layout->count++] = column;
		p += len;
	}
	return 0;
}

/* The list that follows an option: the rest of its word, or the next one. */
static int take_list(struct options *o, const char *rest, struct masu_error *err)
{
	if (!*rest && o->at < o->count)
		rest = o->words[o->at++];
	if (!*rest)
		return error_set(err, -EINVAL, "error: format specification must follow -o");
	return add_columns(o->out, rest, err);
}

static int parse_unix(struct options *o, const char *word, struct masu_error *err)
{
	for (const char *p = word + 1; *p; p++) {
		switch (*p) {
		case 'e':
		case 'A':
		case 'a':
		case 'w':
			break; /* all there are, in full, is what is shown in any case */
		case 'f':
			o->layout = full;
			break;
		case 'F':
			o->layout = extra_full;
			break;
		case 'o':
			return take_list(o, p + 1, err);
		default:
			return refuse(word, err);
		}
	}
	return 0;
}

static int parse_bsd(struct options *o, const char *word, struct masu_error *err)
{
	o->bsd = true;
	for (const char *p = word; *p; p++) {
		switch (*p) {
		case 'a':
		case 'x':
		case 'w':
			break;
		case 'u':
			o->layout = bsd_user;
			break;
		case 'o':
			return take_list(o, p + 1, err);
		default:
			return refuse(word, err);
		}
	}
	return 0;
}

static int parse_word(struct options *o, const char *word, struct masu_error *err)
{
	const char *list = str_after(word, "--format");
	if (list && (*list == '=' || !*list))
		return take_list(o, *list ? list + 1 : list, err);
	/* As procps, unless there is a user x. */
	if (streq(word, "-aux"))
		return parse_bsd(o, word + 1, err);
	if (word[0] == '-' && word[1] && word[1] != '-')
		return parse_unix(o, word, err);
	return word[0] == '-' ? refuse(word, err) : parse_bsd(o, word, err);
}

/* docker hands ps the words of all arguments together. */
static int split(struct options *o, char *const *argv, struct masu_error *err)
{
	for (; *argv; argv++) {
		char *rest = arena_strdup(o->arena, *argv), *word;
		if (!rest)
			return error_set(err, -ENOMEM, "out of memory");
		while ((word = strsep(&rest, " \t\n"))) {
			if (!*word)
				continue;
			if (o->count == WORDS_MAX)
				return error_set(err, -E2BIG, "more than %d ps options", WORDS_MAX);
			o->words[o->count++] = word;
		}
	}
	return 0;
}

int ps_layout_parse(struct arena *arena, char *const *argv, struct ps_layout *ret,
		    struct masu_error *err)
{
	struct ps_layout layout = { .count = 0 };
	struct options o = { .arena = arena, .out = &layout };
	int r = split(&o, argv, err);
	while (r == 0 && o.at < o.count) {
		const char *word = o.words[o.at++];
		r = parse_word(&o, word, err);
	}
	if (r == 0 && layout.count && o.layout)
		return error_set(err, -EINVAL, "error: conflicting format options");
	if (r == 0 && !layout.count) {
		const char *columns = o.layout	     ? o.layout
				      : o.count == 0 ? full
				      : o.bsd	     ? bsd_plain
						     : plain;
		/* One of the layouts has a column that cannot be asked for. */
		if (columns[0] == 'U') {
			layout.columns[layout.count++] = ps_column_find("UID", 3);
			columns = strchr(columns, ',') + 1;
		}
		r = add_columns(&layout, columns, err);
	}
	if (r == 0)
		*ret = layout;
	return r;
}
