/* -v, --mount and --tmpfs. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/parse.h"

#define VOLUME_FLAG "-v, --volume"
#define MOUNT_FLAG  "--mount"
#define TMPFS_FLAG  "--tmpfs"

int parse_refuse(struct masu_error *err, const char *flag, const char *value, const char *fmt, ...)
{
	char what[MASU_ERROR_MAX / 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	error_set(err, -EINVAL, "invalid argument \"%.200s\" for \"%s\" flag: %s", value, flag,
		  what);
	error_exit_status(err, 125);
	return -EINVAL;
}

static int no_memory(struct masu_error *err)
{
	return error_set(err, -ENOMEM, "out of memory");
}

const char *parse_clean_path(struct arena *arena, const char *path)
{
	size_t len = strlen(path), used = 0;
	char *clean = arena_alloc(arena, len + 2);
	if (!clean)
		return NULL;
	while (*path) {
		path += strspn(path, "/");
		size_t part = strcspn(path, "/");
		if (part == 0 || (part == 1 && path[0] == '.')) {
			path += part;
			continue;
		}
		if (part == 2 && memcmp(path, "..", 2) == 0) {
			while (used > 0 && clean[--used] != '/')
				;
		} else {
			clean[used++] = '/';
			memcpy(clean + used, path, part);
			used += part;
		}
		path += part;
	}
	if (used == 0)
		clean[used++] = '/';
	clean[used] = '\0';
	return clean;
}

/* The mount point as docker wants it: absolute and not the root. */
static int clean_target(struct arena *arena, const char *flag, const char *value,
			const char *target, const char **ret, struct masu_error *err)
{
	if (*target != '/')
		return parse_refuse(err, flag, value,
				    "invalid mount path: '%.200s' mount path must be absolute",
				    target);
	const char *clean = parse_clean_path(arena, target);
	if (!clean)
		return no_memory(err);
	if (streq(clean, "/"))
		return parse_refuse(err, flag, value,
				    "invalid specification: destination can't be '/'");
	if (strlen(clean) >= PATH_MAX)
		return parse_refuse(err, flag, value, "the destination's path is too long");
	*ret = clean;
	return 0;
}

static bool is_propagation(const char *word)
{
	static const char *const names[] = { "private", "rprivate", "shared",
					     "rshared", "slave",    "rslave" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(word, names[i]))
			return true;
	return false;
}

static bool selinux_enabled(void)
{
	return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

enum mode_group {
	MODE_ACCESS,
	MODE_LABEL,
	MODE_PROPAGATION,
	MODE_COPY,
	MODE_CONSISTENCY,
	MODE_GROUPS
};

/* One word of -v's third part; -1: unknown. Consistency words have no meaning on Linux hosts. */
static int mode_group(const char *word)
{
	if (streq(word, "rw") || streq(word, "ro"))
		return MODE_ACCESS;
	if (streq(word, "z") || streq(word, "Z"))
		return MODE_LABEL;
	if (is_propagation(word))
		return MODE_PROPAGATION;
	if (streq(word, "nocopy"))
		return MODE_COPY;
	if (streq(word, "consistent") || streq(word, "cached") || streq(word, "delegated"))
		return MODE_CONSISTENCY;
	return -1;
}

/* True where @modes is a comma-separated list that could be -v's third part. */
static bool modes_valid(struct arena *arena, const char *modes)
{
	bool seen[MODE_GROUPS] = { 0 };
	char *copy = arena_strdup(arena, modes), *save = NULL;
	if (!copy || !*copy || *modes == ',' || modes[strlen(modes) - 1] == ',' ||
	    strstr(modes, ",,"))
		return false;
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int group = mode_group(word);
		if (group < 0 || seen[group])
			return false;
		seen[group] = true;
	}
	return true;
}

static int apply_modes(struct arena *arena, const char *value, const char *modes,
		       struct mount_config *mount, struct masu_error *err)
{
	char *copy = arena_strdup(arena, modes), *save = NULL;
	if (!copy)
		return no_memory(err);
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int group = mode_group(word);
		if (group == MODE_ACCESS)
			mount->readonly = streq(word, "ro");
		else if (group == MODE_PROPAGATION)
			mount->propagation = word;
		else if (group == MODE_COPY)
			mount->nocopy = true;
		else if (group == MODE_LABEL && selinux_enabled())
			return parse_refuse(err, VOLUME_FLAG, value,
					    "SELinux relabelling (%s) is not supported", word);
	}
	if (mount->nocopy && mount->kind == MOUNT_BIND)
		return parse_refuse(err, VOLUME_FLAG, value, "invalid mode: %.100s", modes);
	if (mount->propagation && mount->kind != MOUNT_BIND)
		return parse_refuse(err, VOLUME_FLAG, value, "invalid mode: %.100s", modes);
	return 0;
}

/* A volume's name, or that of a snapshot of one. */
static bool volume_name_valid(struct arena *arena, const char *name)
{
	const char *at = strchr(name, '@');
	if (!at)
		return name_valid(name);
	const char *volume = arena_strndup(arena, name, (size_t)(at - name));
	return volume && name_valid(volume) && name_valid(at + 1);
}

/* A host path, which may be given relative to the working directory, or a volume's name. */
static int volume_source(struct arena *arena, const char *value, const char *source,
			 struct mount_config *mount, struct masu_error *err)
{
	char cwd[PATH_MAX];
	if (*source == '.' && (source[1] == '/' || !source[1] || str_after(source, ".."))) {
		if (!getcwd(cwd, sizeof(cwd)))
			return error_errno(err, -errno, "cannot tell the working directory");
		source = arena_printf(arena, "%s/%s", cwd, source);
		if (!source)
			return no_memory(err);
	}
	mount->create_source = true;
	if (*source == '/') {
		mount->kind = MOUNT_BIND;
		mount->source = parse_clean_path(arena, source);
		if (!mount->source)
			return no_memory(err);
		return strlen(mount->source) < PATH_MAX
			       ? 0
			       : parse_refuse(err, VOLUME_FLAG, value,
					      "the source's path is too long");
	}
	mount->kind = MOUNT_VOLUME;
	mount->source = source;
	if (!volume_name_valid(arena, source))
		return parse_refuse(
			err, VOLUME_FLAG, value,
			"\"%.200s\" includes invalid characters for a local volume name, only "
			"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a "
			"host directory, use absolute path",
			source);
	return 0;
}

int parse_volume(struct arena *arena, const char *value, struct mount_config *ret,
		 struct masu_error *err)
{
	struct mount_config mount = { .kind = MOUNT_VOLUME };
	char *parts[4], *copy = arena_strdup(arena, value), *rest = copy;
	size_t count = 0;
	if (!copy)
		return no_memory(err);
	if (!*value)
		return parse_refuse(err, VOLUME_FLAG, value, "invalid empty volume spec");
	while (rest && count < ARRAY_SIZE(parts)) {
		parts[count++] = rest;
		rest = strchr(rest, ':');
		if (rest)
			*rest++ = '\0';
	}
	for (size_t i = 0; i < count; i++)
		if (!*parts[i])
			return parse_refuse(err, VOLUME_FLAG, value,
					    "invalid spec: %.200s: empty section between colons",
					    value);
	if (rest || count > 3 || (count == 2 && modes_valid(arena, parts[1])))
		return parse_refuse(err, VOLUME_FLAG, value,
				    "invalid volume specification: '%.200s'", value);
	if (count == 3 && !modes_valid(arena, parts[2]))
		return parse_refuse(err, VOLUME_FLAG, value, "invalid mode: %.100s", parts[2]);
	int r = count > 1 ? volume_source(arena, value, parts[0], &mount, err) : 0;
	if (r == 0)
		r = clean_target(arena, VOLUME_FLAG, value, parts[count > 1], &mount.target, err);
	if (r == 0 && count == 3)
		r = apply_modes(arena, value, parts[2], &mount, err);
	if (r == 0)
		*ret = mount;
	return r;
}

int parse_csv(struct arena *arena, const char *line, struct cli_list *ret)
{
	struct cli_list fields = { 0 };
	const char *p = line;
	do {
		char *field = arena_alloc(arena, strlen(p) + 1), *out = field;
		if (!field)
			return -ENOMEM;
		if (*p == '"') {
			for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
				p += *p == '"';
				*out++ = *p;
			}
			if (*p++ != '"')
				return -EINVAL;
		} else {
			while (*p && *p != ',' && *p != '"')
				*out++ = *p++;
		}
		if (*p && *p != ',')
			return -EINVAL;
		if (cli_list_add(arena, &fields, field) < 0)
			return -ENOMEM;
	} while (*p++ == ',');
	*ret = fields;
	return 0;
}

/* ---- --mount ---- */

struct mount_state {
	struct arena *arena;
	const char *value;
	struct mount_config mount;
	const char *type, *source, *target;
	bool volume_options, tmpfs_options, bind_options;
	struct masu_error *err;
};

static int add_pair(struct arena *arena, struct oci_pair **pairs, size_t *count, const char *text)
{
	struct oci_pair *grown = arena_array(arena, struct oci_pair, *count + 1);
	const char *equals = strchr(text, '=');
	if (!grown)
		return -ENOMEM;
	if (*count)
		memcpy(grown, *pairs, *count * sizeof(*grown));
	grown[*count].key = equals ? arena_strndup(arena, text, (size_t)(equals - text)) : text;
	grown[*count].value = equals ? equals + 1 : "";
	if (!grown[*count].key)
		return -ENOMEM;
	*pairs = grown;
	(*count)++;
	return 0;
}

static int mount_bool(struct mount_state *s, const char *key, const char *value, bool *ret)
{
	if (!value || streq(value, "1") || streq(value, "true"))
		*ret = true;
	else if (streq(value, "0") || streq(value, "false"))
		*ret = false;
	else
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "invalid value for %s: %.100s",
				    key, value);
	return 0;
}

static int bind_key(struct mount_state *s, const char *key, const char *value)
{
	s->bind_options = true;
	if (streq(key, "bind-propagation")) {
		if (!is_propagation(value))
			return parse_refuse(s->err, MOUNT_FLAG, s->value,
					    "invalid propagation mode: %.100s", value);
		s->mount.propagation = value;
		return 0;
	}
	if (streq(key, "bind-nonrecursive"))
		return mount_bool(s, key, value, &s->mount.nonrecursive);
	if (streq(key, "bind-create-src"))
		return mount_bool(s, key, value, &s->mount.create_mountpoint);
	if (streq(key, "bind-recursive")) {
		if (streq(value, "enabled"))
			return 0;
		if (streq(value, "disabled")) {
			s->mount.nonrecursive = true;
			return 0;
		}
		if (streq(value, "writable") || streq(value, "readonly")) {
			s->mount.recursive = value;
			return 0;
		}
	}
	return parse_refuse(s->err, MOUNT_FLAG, s->value, "invalid value for %s: %.100s", key,
			    value);
}

static int volume_key(struct mount_state *s, const char *key, const char *value)
{
	int r = 0;
	s->volume_options = true;
	if (streq(key, "volume-nocopy"))
		return mount_bool(s, key, value, &s->mount.nocopy);
	if (streq(key, "volume-driver"))
		s->mount.volume_driver = value;
	else if (streq(key, "volume-subpath"))
		s->mount.subpath = *value ? value : NULL;
	else if (streq(key, "volume-label"))
		r = add_pair(s->arena, &s->mount.volume_labels, &s->mount.volume_label_count,
			     value);
	else if (streq(key, "volume-opt"))
		r = add_pair(s->arena, &s->mount.volume_options, &s->mount.volume_option_count,
			     value);
	else
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "%s is not supported", key);
	return r < 0 ? no_memory(s->err) : 0;
}

static int tmpfs_key(struct mount_state *s, const char *key, const char *value)
{
	uint64_t bytes;
	s->tmpfs_options = true;
	if (streq(key, "tmpfs-size")) {
		if (str_to_bytes(value, &bytes) < 0 || bytes > INT64_MAX)
			return parse_refuse(s->err, MOUNT_FLAG, s->value,
					    "invalid value for %s: %.100s", key, value);
		s->mount.tmpfs_size = (int64_t)bytes;
		return 0;
	}
	if (str_to_mode(value, &s->mount.tmpfs_mode) < 0)
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "invalid value for %s: %.100s",
				    key, value);
	return 0;
}

/* @value is NULL for the keys that may stand alone. */
static int mount_key(struct mount_state *s, const char *key, const char *value)
{
	static const char *const consistency[] = { "consistent", "cached", "delegated", "default" };
	if (streq(key, "type")) {
		s->type = value;
	} else if (streq(key, "source") || streq(key, "src")) {
		s->source = value;
	} else if (streq(key, "target") || streq(key, "dst") || streq(key, "destination")) {
		s->target = value;
	} else if (streq(key, "readonly") || streq(key, "ro")) {
		return mount_bool(s, key, value, &s->mount.readonly);
	} else if (streq(key, "consistency")) {
		for (size_t i = 0; i < ARRAY_SIZE(consistency); i++)
			if (streq(value, consistency[i]))
				return 0;
		return parse_refuse(s->err, MOUNT_FLAG, s->value,
				    "invalid value for consistency: %.100s", value);
	} else if (str_after(key, "bind-")) {
		return bind_key(s, key, value);
	} else if (str_after(key, "volume-")) {
		return volume_key(s, key, value);
	} else if (streq(key, "tmpfs-size") || streq(key, "tmpfs-mode")) {
		return tmpfs_key(s, key, value);
	} else {
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "unexpected key '%.100s'", key);
	}
	return 0;
}

static int mount_field(struct mount_state *s, const char *field)
{
	const char *equals = strchr(field, '=');
	if (!equals) {
		bool alone = streq(field, "readonly") || streq(field, "ro") ||
			     streq(field, "volume-nocopy") || streq(field, "bind-nonrecursive") ||
			     streq(field, "bind-create-src");
		if (alone)
			return mount_key(s, field, NULL);
		return parse_refuse(s->err, MOUNT_FLAG, s->value,
				    "invalid field '%.100s' must be a key=value pair", field);
	}
	char *key = arena_strndup(s->arena, field, (size_t)(equals - field));
	if (!key)
		return no_memory(s->err);
	for (char *c = key; *c; c++)
		*c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
	return mount_key(s, key, equals + 1);
}

/* By its words alone: relative, and never above where it begins. */
static bool is_within(const char *path)
{
	int depth = 0;
	if (*path == '/')
		return false;
	while (*path && depth >= 0) {
		size_t len = strcspn(path, "/");
		if (len == 2 && path[0] == '.' && path[1] == '.')
			depth--;
		else if (len && !(len == 1 && *path == '.'))
			depth++;
		path += len + (path[len] == '/');
	}
	return depth >= 0;
}

/* Source and type go together; options of another type are refused. */
static int mount_check(struct mount_state *s)
{
	struct mount_config *m = &s->mount;
	bool bind = s->type && streq(s->type, "bind"), tmpfs = s->type && streq(s->type, "tmpfs");
	bool volume = !s->type || streq(s->type, "volume");
	if (!s->target || !*s->target)
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "target is required");
	if (!bind && !tmpfs && !volume)
		return parse_refuse(s->err, MOUNT_FLAG, s->value, "mount type unknown: \"%.100s\"",
				    s->type);
	const char *foreign = s->volume_options && !volume ? "volume"
			      : s->bind_options && !bind   ? "bind"
			      : s->tmpfs_options && !tmpfs ? "tmpfs"
							   : NULL;
	if (foreign)
		return parse_refuse(s->err, MOUNT_FLAG, s->value,
				    "cannot mix '%s-*' options with mount type '%s'", foreign,
				    s->type ? s->type : "volume");
	m->kind = bind ? MOUNT_BIND : tmpfs ? MOUNT_TMPFS : MOUNT_VOLUME;
	if (tmpfs && s->source && *s->source)
		return parse_refuse(
			s->err, MOUNT_FLAG, s->value,
			"invalid mount config for type \"tmpfs\": field Source must not be "
			"specified");
	if (bind && (!s->source || *s->source != '/'))
		return parse_refuse(
			s->err, MOUNT_FLAG, s->value,
			"invalid mount config for type \"bind\": invalid mount path: '%.200s' "
			"mount path must be absolute",
			s->source ? s->source : "");
	if (volume && s->source && *s->source && !volume_name_valid(s->arena, s->source))
		return parse_refuse(
			s->err, MOUNT_FLAG, s->value,
			"\"%.200s\" includes invalid characters for a local volume name, only "
			"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed",
			s->source);
	if (m->subpath && !(s->source && *s->source))
		return parse_refuse(
			s->err, MOUNT_FLAG, s->value,
			"invalid mount config for type \"volume\": must not set Subpath when using "
			"anonymous volumes");
	if (m->subpath && !is_within(m->subpath))
		return parse_refuse(
			s->err, MOUNT_FLAG, s->value,
			"invalid mount config for type \"volume\": subpath must be a relative path "
			"within the volume");
	if (m->recursive && !m->readonly)
		return parse_refuse(s->err, MOUNT_FLAG, s->value,
				    "option 'bind-recursive=%s' requires 'readonly' to be "
				    "specified in conjunction",
				    m->recursive);
	if (streq_null(m->recursive, "readonly") && !streq_null(m->propagation, "rprivate"))
		return parse_refuse(s->err, MOUNT_FLAG, s->value,
				    "option 'bind-recursive=readonly' requires "
				    "'bind-propagation=rprivate' to be specified in conjunction");
	m->source = s->source && *s->source ? s->source : NULL;
	if (bind && !(m->source = parse_clean_path(s->arena, s->source)))
		return no_memory(s->err);
	return clean_target(s->arena, MOUNT_FLAG, s->value, s->target, &m->target, s->err);
}

int parse_mount(struct arena *arena, const char *value, struct mount_config *ret,
		struct masu_error *err)
{
	struct mount_state state = { .arena = arena, .value = value, .err = err };
	struct cli_list fields;
	int r = parse_csv(arena, value, &fields);
	if (r == -EINVAL)
		return parse_refuse(err, MOUNT_FLAG, value, "parse error: bare or missing quote");
	for (size_t i = 0; r == 0 && i < fields.count; i++)
		r = mount_field(&state, fields.items[i]);
	if (r == 0)
		r = mount_check(&state);
	if (r == 0)
		*ret = state.mount;
	return r == -ENOMEM ? no_memory(err) : r;
}

/* ---- --tmpfs ---- */

/* What docker lets through to a tmpfs: mount flags, and the filesystem's own options. */
static bool tmpfs_option_valid(const char *word)
{
	static const char *const flags[] = {
		"defaults", "ro",	  "rw",		 "suid",
		"nosuid",   "dev",	  "nodev",	 "exec",
		"noexec",   "sync",	  "async",	 "dirsync",
		"mand",	    "nomand",	  "atime",	 "noatime",
		"diratime", "nodiratime", "bind",	 "rbind",
		"private",  "rprivate",	  "shared",	 "rshared",
		"slave",    "rslave",	  "unbindable",	 "runbindable",
		"relatime", "norelatime", "strictatime", "nostrictatime",
	};
	static const char *const values[] = { "mode=",	    "uid=",	  "gid=", "size=",
					      "nr_inodes=", "nr_blocks=", "mpol=" };
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (streq(word, flags[i]))
			return strstr(word, "bind") == NULL;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (str_after(word, values[i]))
			return *str_after(word, values[i]) != '\0';
	return false;
}

int parse_tmpfs(struct arena *arena, const char *value, struct mount_config *ret,
		struct masu_error *err)
{
	struct mount_config mount = { .kind = MOUNT_TMPFS };
	const char *colon = strchr(value, ':');
	char *target = arena_strndup(arena, value, colon ? (size_t)(colon - value) : strlen(value));
	char *words = arena_strdup(arena, colon ? colon + 1 : ""), *save = NULL;
	if (!target || !words)
		return no_memory(err);
	int r = clean_target(arena, TMPFS_FLAG, value, target, &mount.target, err);
	if (r < 0)
		return r;
	for (char *word = strtok_r(words, ",", &save); word; word = strtok_r(NULL, ",", &save))
		if (!tmpfs_option_valid(word))
			return parse_refuse(err, TMPFS_FLAG, value,
					    "invalid tmpfs option \"%.100s\"", word);
	mount.tmpfs_options = colon && colon[1] ? colon + 1 : NULL;
	*ret = mount;
	return 0;
}
