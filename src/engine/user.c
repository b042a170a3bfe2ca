/*
 * Users and groups by the container's own /etc/passwd and /etc/group (passwd(5), group(5)). The
 * files are the image's or the container's: read inside the root, regular files only, with a cap.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "engine/internal.h"
#include "sys/fs.h"

#define ACCOUNT_FILE_MAX (1u << 20)
#define ID_MAX		 INT32_MAX
#define GROUPS_MAX	 4096
#define FIELDS_MAX	 7

struct account_files {
	struct buf passwd, group;
};

static void account_files_free(struct account_files *files)
{
	buf_free(&files->passwd);
	buf_free(&files->group);
}

static void account_files_read(int root_fd, struct account_files *files)
{
	buf_init(&files->passwd, ACCOUNT_FILE_MAX + 1);
	buf_init(&files->group, ACCOUNT_FILE_MAX + 1);
	if (root_fd < 0 || fs_read_in(root_fd, "/etc/passwd", ACCOUNT_FILE_MAX, &files->passwd) < 0)
		buf_reset(&files->passwd);
	if (root_fd < 0 || fs_read_in(root_fd, "/etc/group", ACCOUNT_FILE_MAX, &files->group) < 0)
		buf_reset(&files->group);
}

struct account_line {
	struct {
		const char *at;
		size_t len;
	} field[FIELDS_MAX];
	size_t count;
};

/* Splits the next line at colons; false at the end. Comment and empty lines have one field. */
static bool next_line(const char **cursor, const char *end, struct account_line *line)
{
	if (*cursor >= end)
		return false;
	const char *eol = memchr(*cursor, '\n', (size_t)(end - *cursor));
	const char *stop = eol ? eol : end, *at = *cursor;
	line->count = 0;
	while (line->count < FIELDS_MAX) {
		const char *colon =
			line->count == FIELDS_MAX - 1 ? NULL : memchr(at, ':', (size_t)(stop - at));
		line->field[line->count].at = at;
		line->field[line->count++].len = (size_t)((colon ? colon : stop) - at);
		if (!colon)
			break;
		at = colon + 1;
	}
	*cursor = eol ? eol + 1 : end;
	return true;
}

static bool field_is(const struct account_line *line, size_t n, const char *text, size_t len)
{
	return n < line->count && line->field[n].len == len &&
	       memcmp(line->field[n].at, text, len) == 0;
}

static bool field_number(const struct account_line *line, size_t n, uint32_t *ret)
{
	char digits[12];
	return n < line->count &&
	       str_format(digits, sizeof(digits), "%.*s", (int)line->field[n].len,
			  line->field[n].at) == 0 &&
	       line->field[n].len < sizeof(digits) && str_to_u32(digits, ret) == 0;
}

/* The passwd line of a name, or of @uid where @name is NULL. */
static bool find_user(const struct buf *passwd, const char *name, uint32_t uid,
		      struct account_line *ret)
{
	const char *cursor = buf_str(passwd), *end = cursor + passwd->len;
	uint32_t number;
	while (next_line(&cursor, end, ret)) {
		if (ret->count < 4 || !field_number(ret, 2, &number) || number > ID_MAX)
			continue;
		if (name ? field_is(ret, 0, name, strlen(name)) : number == uid)
			return true;
	}
	return false;
}

static bool find_group(const struct buf *group, const char *name, uint32_t *ret_gid)
{
	const char *cursor = buf_str(group), *end = cursor + group->len;
	struct account_line line;
	while (next_line(&cursor, end, &line))
		if (line.count >= 3 && field_is(&line, 0, name, strlen(name)) &&
		    field_number(&line, 2, ret_gid) && *ret_gid <= ID_MAX)
			return true;
	return false;
}

static bool list_has(const char *list, size_t len, const char *name, size_t name_len)
{
	const char *end = list + len;
	while (list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		const char *stop = comma ? comma : end;
		if ((size_t)(stop - list) == name_len && memcmp(list, name, name_len) == 0)
			return true;
		list = stop + 1;
	}
	return false;
}

static int add_group(struct user_identity *user, uint32_t gid)
{
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == gid)
			return 0;
	if (user->group_count == GROUPS_MAX)
		return -E2BIG;
	user->groups[user->group_count++] = gid;
	return 0;
}

/* The groups whose member list names the user; those past the maximum are left out. */
static void add_memberships(const struct buf *group, const char *name, size_t name_len,
			    struct user_identity *user)
{
	const char *cursor = buf_str(group), *end = cursor + group->len;
	struct account_line line;
	uint32_t gid;
	while (next_line(&cursor, end, &line))
		if (line.count >= 4 && field_number(&line, 2, &gid) && gid <= ID_MAX &&
		    list_has(line.field[3].at, line.field[3].len, name, name_len) &&
		    add_group(user, gid) < 0)
			return;
}

static int parse_id(const char *text, uint32_t *ret)
{
	int r = str_to_u32(text, ret);
	return r == 0 && *ret > ID_MAX ? -ERANGE : r;
}

static int out_of_range(struct masu_error *err, const char *text)
{
	return error_set(err, -ERANGE, "\"%.64s\": uids and gids must be in range 0-2147483647",
			 text);
}

static int resolve_group(const struct buf *group, const char *text, uint32_t *ret,
			 struct masu_error *err)
{
	if (find_group(group, text, ret))
		return 0;
	int r = parse_id(text, ret);
	if (r == -ERANGE)
		return out_of_range(err, text);
	if (r < 0)
		return error_set(err, -EINVAL,
				 "unable to find group %.64s: no matching entries in group file",
				 text);
	return 0;
}

/* The user part: by name first, then as a number, which need not be in the file. */
static int resolve_user(const struct account_files *files, const char *text,
			struct user_identity *user, struct masu_error *err)
{
	struct account_line line;
	uint32_t uid = 0;
	bool known = *text && find_user(&files->passwd, text, 0, &line);
	if (!known) {
		int r = *text ? parse_id(text, &uid) : 0;
		if (r == -ERANGE)
			return out_of_range(err, text);
		if (r < 0)
			return error_set(
				err, -EINVAL,
				"unable to find user %.64s: no matching entries in passwd file",
				text);
		known = find_user(&files->passwd, NULL, uid, &line);
	}
	user->uid = uid;
	if (!known)
		return 0;
	if (!field_number(&line, 2, &user->uid) || !field_number(&line, 3, &user->gid) ||
	    user->gid > ID_MAX)
		return error_set(err, -EINVAL,
				 "/etc/passwd: the entry of user \"%.64s\" is damaged", text);
	add_memberships(&files->group, line.field[0].at, line.field[0].len, user);
	return 0;
}

/*
 * The primary group is a supplementary one as well, so that a process which gives it up by
 * setgid(2) does not pass rules that deny it (CVE-2022-36109); as Docker since 20.10.18.
 */
static void add_primary_first(struct user_identity *user)
{
	size_t rest = user->group_count < GROUPS_MAX ? user->group_count : GROUPS_MAX - 1;
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == user->gid)
			return;
	memmove(user->groups + 1, user->groups, rest * sizeof(*user->groups));
	user->groups[0] = user->gid;
	user->group_count = rest + 1;
}

int user_resolve(struct arena *arena, int root_fd, const char *user, const char *const *group_add,
		 struct user_identity *ret, struct masu_error *err)
{
	struct user_identity identity = { 0 };
	struct account_files files __attribute__((cleanup(account_files_free)));
	account_files_read(root_fd, &files);
	identity.groups = arena_array(arena, uint32_t, GROUPS_MAX);
	char *name = arena_strdup(arena, user ? user : "");
	if (!identity.groups || !name)
		return error_set(err, -ENOMEM, "out of memory");
	char *group = strchr(name, ':');
	if (group)
		*group++ = '\0';
	int r = resolve_user(&files, name, &identity, err);
	if (r == 0 && group && *group) {
		r = resolve_group(&files.group, group, &identity.gid, err);
		/* As with docker, a group that was asked for replaces the memberships. */
		identity.group_count = 0;
	}
	add_primary_first(&identity);
	for (; r == 0 && group_add && *group_add; group_add++) {
		uint32_t gid;
		r = resolve_group(&files.group, *group_add, &gid, err);
		if (r == 0 && add_group(&identity, gid) < 0)
			r = error_set(err, -E2BIG, "--group-add: too many groups");
	}
	if (r == 0)
		*ret = identity;
	return r;
}
