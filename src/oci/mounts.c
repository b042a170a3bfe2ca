/* The "mounts" section and mount options, both ways. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "oci/field.h"
#include "sys/syscalls.h"

enum option_kind {
	OPTION_ATTR,	    /* MOUNT_ATTR_* of this mount */
	OPTION_REC_ATTR,    /* the same on the whole tree below */
	OPTION_SUPERBLOCK,  /* MS_* of the filesystem */
	OPTION_PROPAGATION, /* MS_SHARED … */
	OPTION_SWITCH,	    /* a bool of struct oci_mount at offset `set` */
	OPTION_NOTHING
};

struct option {
	const char *name;
	enum option_kind kind;
	bool written; /* the spelling that is written where others mean the same */
	uint64_t set, clear;
};

#define ATIME MOUNT_ATTR__ATIME
#define SWITCH(option_name, member, is_written)                                                    \
	{                                                                                          \
		option_name, OPTION_SWITCH, is_written, offsetof(struct oci_mount, member), 0      \
	}

/*
 * config.md, "Linux mount options". A name may have two rows. Access times are one group of the
 * kernel's: relatime is its default and what "atime", "norelatime" and "nostrictatime" lead back
 * to.
 */
static const struct option options[] = {
	{ "defaults", OPTION_NOTHING, false, 0, 0 },
	{ "ro", OPTION_ATTR, true, MOUNT_ATTR_RDONLY, 0 },
	{ "ro", OPTION_SUPERBLOCK, false, MS_RDONLY, 0 },
	{ "rw", OPTION_ATTR, true, 0, MOUNT_ATTR_RDONLY },
	{ "rw", OPTION_SUPERBLOCK, false, 0, MS_RDONLY },
	{ "nosuid", OPTION_ATTR, true, MOUNT_ATTR_NOSUID, 0 },
	{ "suid", OPTION_ATTR, true, 0, MOUNT_ATTR_NOSUID },
	{ "nodev", OPTION_ATTR, true, MOUNT_ATTR_NODEV, 0 },
	{ "dev", OPTION_ATTR, true, 0, MOUNT_ATTR_NODEV },
	{ "noexec", OPTION_ATTR, true, MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", OPTION_ATTR, true, 0, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", OPTION_ATTR, true, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow", OPTION_ATTR, true, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "nodiratime", OPTION_ATTR, true, MOUNT_ATTR_NODIRATIME, 0 },
	{ "diratime", OPTION_ATTR, true, 0, MOUNT_ATTR_NODIRATIME },
	{ "noatime", OPTION_ATTR, true, MOUNT_ATTR_NOATIME, ATIME },
	{ "strictatime", OPTION_ATTR, true, MOUNT_ATTR_STRICTATIME, ATIME },
	{ "relatime", OPTION_ATTR, true, MOUNT_ATTR_RELATIME, ATIME },
	{ "atime", OPTION_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "norelatime", OPTION_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "nostrictatime", OPTION_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "rro", OPTION_REC_ATTR, true, MOUNT_ATTR_RDONLY, 0 },
	{ "rrw", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_RDONLY },
	{ "rnosuid", OPTION_REC_ATTR, true, MOUNT_ATTR_NOSUID, 0 },
	{ "rsuid", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_NOSUID },
	{ "rnodev", OPTION_REC_ATTR, true, MOUNT_ATTR_NODEV, 0 },
	{ "rdev", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_NODEV },
	{ "rnoexec", OPTION_REC_ATTR, true, MOUNT_ATTR_NOEXEC, 0 },
	{ "rexec", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_NOEXEC },
	{ "rnosymfollow", OPTION_REC_ATTR, true, MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "rsymfollow", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "rnodiratime", OPTION_REC_ATTR, true, MOUNT_ATTR_NODIRATIME, 0 },
	{ "rdiratime", OPTION_REC_ATTR, true, 0, MOUNT_ATTR_NODIRATIME },
	{ "rnoatime", OPTION_REC_ATTR, true, MOUNT_ATTR_NOATIME, ATIME },
	{ "rstrictatime", OPTION_REC_ATTR, true, MOUNT_ATTR_STRICTATIME, ATIME },
	{ "rrelatime", OPTION_REC_ATTR, true, MOUNT_ATTR_RELATIME, ATIME },
	{ "ratime", OPTION_REC_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "rnorelatime", OPTION_REC_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "rnostrictatime", OPTION_REC_ATTR, false, MOUNT_ATTR_RELATIME, ATIME },
	{ "sync", OPTION_SUPERBLOCK, true, MS_SYNCHRONOUS, 0 },
	{ "async", OPTION_SUPERBLOCK, false, 0, MS_SYNCHRONOUS },
	{ "dirsync", OPTION_SUPERBLOCK, true, MS_DIRSYNC, 0 },
	{ "mand", OPTION_SUPERBLOCK, true, MS_MANDLOCK, 0 },
	{ "nomand", OPTION_SUPERBLOCK, false, 0, MS_MANDLOCK },
	{ "iversion", OPTION_SUPERBLOCK, true, MS_I_VERSION, 0 },
	{ "noiversion", OPTION_SUPERBLOCK, false, 0, MS_I_VERSION },
	{ "lazytime", OPTION_SUPERBLOCK, true, MS_LAZYTIME, 0 },
	{ "nolazytime", OPTION_SUPERBLOCK, false, 0, MS_LAZYTIME },
	{ "silent", OPTION_SUPERBLOCK, true, MS_SILENT, 0 },
	{ "loud", OPTION_SUPERBLOCK, false, 0, MS_SILENT },
	{ "private", OPTION_PROPAGATION, true, MS_PRIVATE, 0 },
	{ "rprivate", OPTION_PROPAGATION, true, MS_PRIVATE | MS_REC, 0 },
	{ "shared", OPTION_PROPAGATION, true, MS_SHARED, 0 },
	{ "rshared", OPTION_PROPAGATION, true, MS_SHARED | MS_REC, 0 },
	{ "slave", OPTION_PROPAGATION, true, MS_SLAVE, 0 },
	{ "rslave", OPTION_PROPAGATION, true, MS_SLAVE | MS_REC, 0 },
	{ "unbindable", OPTION_PROPAGATION, true, MS_UNBINDABLE, 0 },
	{ "runbindable", OPTION_PROPAGATION, true, MS_UNBINDABLE | MS_REC, 0 },
	SWITCH("bind", bind, false),
	SWITCH("rbind", bind, false),
	SWITCH("rbind", recursive_bind, true),
	SWITCH("remount", remount, true),
	SWITCH("tmpcopyup", copy_up, true),
	SWITCH("copy-symlink", copy_symlink, true),
	SWITCH("src-nofollow", source_nofollow, true),
	SWITCH("dest-nofollow", target_nofollow, true),
	SWITCH("idmap", idmap, false),
	SWITCH("ridmap", idmap, false),
	SWITCH("ridmap", idmap_recursive, true),
};

const char *oci_mount_option_name(size_t index)
{
	return index < ARRAY_SIZE(options) ? options[index].name : NULL;
}

static void apply(const struct option *option, struct oci_mount *mount)
{
	switch (option->kind) {
	case OPTION_ATTR:
		mount->attr_set = (mount->attr_set & ~option->clear) | option->set;
		mount->attr_clear = (mount->attr_clear & ~option->set) | option->clear;
		break;
	case OPTION_REC_ATTR:
		mount->rec_attr_set = (mount->rec_attr_set & ~option->clear) | option->set;
		mount->rec_attr_clear = (mount->rec_attr_clear & ~option->set) | option->clear;
		break;
	case OPTION_SUPERBLOCK:
		mount->sb_flags = (mount->sb_flags & ~option->clear) | option->set;
		break;
	case OPTION_PROPAGATION:
		mount->propagation = option->set;
		break;
	case OPTION_SWITCH:
		*((bool *)mount + option->set) = true;
		break;
	case OPTION_NOTHING:
		break;
	}
}

static bool is_mapping(const char *option)
{
	return str_after(option, "idmap=") || str_after(option, "ridmap=");
}

static bool apply_by_name(const char *name, struct oci_mount *mount)
{
	bool known = false;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (streq(options[i].name, name)) {
			apply(&options[i], mount);
			known = true;
		}
	}
	return known;
}

int oci_mount_options(struct arena *arena, const char *const *list, size_t count,
		      struct oci_mount *mount, struct masu_error *err)
{
	size_t room = (mount->data ? strlen(mount->data) : 0) + 1;
	for (size_t i = 0; i < count; i++)
		room += strlen(list[i]) + 1;
	char *data = arena_alloc(arena, room);
	if (!data)
		return error_set(err, -ENOMEM, "out of memory for mount options");
	size_t used = 0;
	if (mount->data && *mount->data) {
		used = strlen(mount->data);
		memcpy(data, mount->data, used);
	}
	for (size_t i = 0; i < count; i++) {
		if (is_mapping(list[i]))
			return error_set(err, -EINVAL,
					 "mount option \"%.100s\": mappings are given as "
					 "uidMappings and gidMappings",
					 list[i]);
		if (apply_by_name(list[i], mount) || !*list[i])
			continue;
		size_t len = strlen(list[i]);
		if (used)
			data[used++] = ',';
		memcpy(data + used, list[i], len);
		used += len;
	}
	mount->data = data;
	return 0;
}

static int parse_options(const struct oci_parser *p, const struct oci_path *path,
			 const struct json *value, void *object)
{
	char **list;
	int r = oci_strings_parse(p, path, value, &list);
	if (r < 0)
		return r;
	struct masu_error why = { 0 };
	r = oci_mount_options(p->arena, (const char *const *)list, value->count, object, &why);
	if (r == -EINVAL)
		return oci_refuse(p, path, "%s", why.message);
	return r < 0 ? oci_no_memory(p) : 0;
}

static bool attributes_match(const struct option *option, uint64_t set, uint64_t clear)
{
	return (set & (option->set | option->clear)) == option->set &&
	       (clear & option->clear) == option->clear;
}

static bool option_is_set(const struct option *option, const struct oci_mount *mount)
{
	switch (option->kind) {
	case OPTION_ATTR:
		return attributes_match(option, mount->attr_set, mount->attr_clear);
	case OPTION_REC_ATTR:
		return attributes_match(option, mount->rec_attr_set, mount->rec_attr_clear);
	case OPTION_SUPERBLOCK:
		return (mount->sb_flags & option->set) != 0;
	case OPTION_PROPAGATION:
		return mount->propagation == option->set;
	case OPTION_SWITCH:
		return *((const bool *)mount + option->set);
	case OPTION_NOTHING:
		break;
	}
	return false;
}

/* True where the text between two commas would be understood as an option of its own. */
static bool data_is_ambiguous(const char *data)
{
	while (*data) {
		char piece[32] = "";
		size_t len = strcspn(data, ",");
		struct oci_mount scratch = { 0 };
		memcpy(piece, data, len < sizeof(piece) ? len : sizeof(piece) - 1);
		if (is_mapping(piece) || (len < sizeof(piece) && apply_by_name(piece, &scratch)))
			return true;
		data += len + (data[len] == ',');
	}
	return false;
}

static void write_data(struct json_writer *w, const char *data)
{
	if (data_is_ambiguous(data)) {
		json_put_string(w, data);
		return;
	}
	while (*data) {
		size_t len = strcspn(data, ",");
		if (len)
			json_put_string_len(w, data, len);
		data += len + (data[len] == ',');
	}
}

static void write_options(struct json_writer *w, const char *name, const void *object)
{
	const struct oci_mount *mount = object;
	json_key(w, name);
	json_begin_array(w);
	if (mount->bind && !mount->recursive_bind)
		json_put_string(w, "bind");
	if (mount->idmap && !mount->idmap_recursive)
		json_put_string(w, "idmap");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].written && option_is_set(&options[i], mount))
			json_put_string(w, options[i].name);
	write_data(w, mount->data ? mount->data : "");
	json_end_array(w);
}

static int check_id_mapping(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_id_mapping *mapping = object;
	if (mapping->size == 0 || mapping->container_id > UINT32_MAX - mapping->size ||
	    mapping->host_id > UINT32_MAX - mapping->size)
		return oci_refuse(p, path, "the range of ids is empty or passes 2^32-2");
	return 0;
}

static const struct oci_field id_mapping_fields[] = {
	{ "containerID", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_id_mapping, container_id), OCI_RANGE(0, UINT32_MAX) },
	{ "hostID", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_id_mapping, host_id), OCI_RANGE(0, UINT32_MAX) },
	{ "size", OCI_INT, .required = true, .always = true, OCI_AT(struct oci_id_mapping, size),
	  OCI_RANGE(0, UINT32_MAX) },
};
const struct oci_table oci_id_mapping_table =
	OCI_TABLE(struct oci_id_mapping, id_mapping_fields, .check = check_id_mapping);

static int check_mount(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	struct oci_mount *mount = object;
	if (!mount->data)
		mount->data = "";
	if (streq_null(mount->type, "bind"))
		mount->bind = true;
	/* config.md: relative ones are deprecated and relative to "/". */
	if (*mount->destination != '/') {
		mount->destination = arena_printf(p->arena, "/%s", mount->destination);
		if (!mount->destination)
			return oci_no_memory(p);
	}
	if (!mount->mappings.uid_count != !mount->mappings.gid_count)
		return oci_refuse(p, path, "uidMappings and gidMappings go together");
	if (mount->mappings.uid_count)
		mount->idmap = true;
	if (mount->bind && !mount->source)
		return oci_refuse(p, path, "a bind mount needs a source");
	if (!mount->type && !mount->bind && !mount->remount && !mount->propagation)
		return oci_refuse(p, path, "needs a type, or the option bind or rbind");
	return 0;
}

static const struct oci_field mount_fields[] = {
	{ "destination", OCI_STRING, .required = true, OCI_AT(struct oci_mount, destination) },
	{ "type", OCI_STRING, OCI_AT(struct oci_mount, type) },
	{ "source", OCI_STRING, OCI_AT(struct oci_mount, source) },
	{ "options", OCI_CUSTOM, .parse = parse_options, .write = write_options },
	{ "uidMappings", OCI_LIST, .table = &oci_id_mapping_table,
	  OCI_AT(struct oci_mount, mappings.uid), OCI_COUNT(struct oci_mount, mappings.uid_count) },
	{ "gidMappings", OCI_LIST, .table = &oci_id_mapping_table,
	  OCI_AT(struct oci_mount, mappings.gid), OCI_COUNT(struct oci_mount, mappings.gid_count) },
};
const struct oci_table oci_mount_table =
	OCI_TABLE(struct oci_mount, mount_fields, .check = check_mount);
