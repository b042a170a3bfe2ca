/* What `volume create -o` asks of the local driver: docker's keys type, device and o. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "volume/volume.h"

#define WORDS_MAX 32

/* Mount flags that a volume may have; everything else has to be known to the kind of volume. */
static bool is_flag(const char *word)
{
	static const char *const flags[] = { "ro",	"rw",	      "nosuid",	  "suid",
					     "nodev",	"dev",	      "noexec",	  "exec",
					     "noatime", "nodiratime", "relatime", "strictatime" };
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (streq(word, flags[i]))
			return true;
	return false;
}

static bool is_tmpfs_option(const char *word)
{
	static const char *const keys[] = { "size=", "nr_inodes=", "nr_blocks=", "mode=",
					    "uid=",  "gid=",	   "huge=" };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_after(word, keys[i]))
			return *str_after(word, keys[i]) != '\0';
	return false;
}

struct asked {
	const char *type, *device, *o, *size;
};

static int read_keys(const struct volume *volume, struct asked *ret, struct masu_error *err)
{
	for (size_t i = 0; i < volume->option_count; i++) {
		const char *key = volume->options[i].key, *value = volume->options[i].value;
		if (streq(key, "type"))
			ret->type = value;
		else if (streq(key, "device"))
			ret->device = value;
		else if (streq(key, "o"))
			ret->o = value;
		else if (streq(key, "size"))
			ret->size = value;
		else
			return error_set(err, -EINVAL, "invalid option: \"%.128s\"", key);
	}
	return 0;
}

static int split(struct arena *arena, const char *text, const char ***ret, struct masu_error *err)
{
	char *copy = arena_strdup(arena, text ? text : ""), *save = NULL;
	const char **words = arena_array(arena, const char *, WORDS_MAX + 1);
	size_t count = 0;
	if (!copy || !words)
		return error_set(err, -ENOMEM, "out of memory");
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (count == WORDS_MAX)
			return error_set(err, -E2BIG, "volume option \"o\": more than %d words",
					 WORDS_MAX);
		words[count++] = word;
	}
	*ret = words;
	return 0;
}

/* Takes "bind" and "rbind" out of the words. */
static bool take_bind(const char **words, bool *ret_recursive)
{
	bool found = false;
	size_t kept = 0;
	for (size_t i = 0; words[i]; i++) {
		bool recursive = streq(words[i], "rbind");
		if (recursive || streq(words[i], "bind")) {
			found = true;
			*ret_recursive |= recursive;
		} else {
			words[kept++] = words[i];
		}
	}
	words[kept] = NULL;
	return found;
}

static int check_words(const struct volume_source *source, struct masu_error *err)
{
	for (const char **word = source->words; *word; word++)
		if (!is_flag(*word) && !(source->kind == VOLUME_TMPFS && is_tmpfs_option(*word)))
			return error_set(err, -EINVAL, "volume option \"o\": \"%.64s\" is unknown",
					 *word);
	return 0;
}

static int read_size(const struct asked *asked, struct volume_source *ret, struct masu_error *err)
{
	if (!asked->size)
		return 0;
	if (asked->type || asked->device || asked->o)
		return error_set(err, -EINVAL,
				 "volume option \"size\" is for a volume of masu's own; with "
				 "type=tmpfs it is o=size=%.64s",
				 asked->size);
	if (str_to_bytes(asked->size, &ret->size) < 0 || ret->size == 0)
		return error_set(err, -EINVAL, "volume option \"size\": invalid size: '%.64s'",
				 asked->size);
	return 0;
}

int volume_source(struct arena *arena, const struct volume *volume, struct volume_source *ret,
		  struct masu_error *err)
{
	struct volume_source source = { .kind = VOLUME_DIRECTORY };
	struct asked asked = { 0 };
	int r = read_keys(volume, &asked, err);
	if (r == 0)
		r = read_size(&asked, &source, err);
	if (r == 0)
		r = split(arena, asked.o, &source.words, err);
	if (r < 0)
		return r;
	bool bind = take_bind(source.words, &source.recursive);
	if (!asked.type && !asked.device && !asked.o) {
		*ret = source;
		return 0;
	}
	if (!asked.device || !*asked.device)
		return error_set(err, -EINVAL, "missing required option: \"device\"");
	if (!asked.type || !*asked.type)
		return error_set(err, -EINVAL, "missing required option: \"type\"");
	if (bind) {
		if (*asked.device != '/')
			return error_set(err, -EINVAL,
					 "volume option \"device\": \"%.200s\" is not an absolute "
					 "path, as o=bind needs",
					 asked.device);
		source.kind = VOLUME_BIND;
		source.device = asked.device;
	} else if (streq(asked.type, "tmpfs")) {
		source.kind = VOLUME_TMPFS;
	} else {
		return error_set(err, -ENOTSUP,
				 "volume option \"type\": \"%.64s\" is not supported; mount it on "
				 "this machine and use type=none, o=bind and device=DIRECTORY",
				 asked.type);
	}
	r = check_words(&source, err);
	if (r == 0)
		*ret = source;
	return r;
}
