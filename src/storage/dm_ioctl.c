#include "storage/dm_ioctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

/* What all that is used here was there in (Linux 3.13); the kernel tells its own. */
static const uint32_t interface[3] = { 4, 27, 0 };

uint64_t dm_encode_dev(dev_t dev)
{
	unsigned maj = major(dev), min = minor(dev);
	return (min & 0xff) | ((uint64_t)maj << 8) | ((uint64_t)(min & ~0xffu) << 12);
}

dev_t dm_decode_dev(uint64_t dev)
{
	return makedev((unsigned)((dev & 0xfff00) >> 8),
		       (unsigned)((dev & 0xff) | ((dev >> 12) & 0xfff00)));
}

int dm_request_init(struct dm_request *request, const struct dm_target *target, unsigned flags)
{
	memset(request, 0, sizeof(*request));
	struct dm_ioctl *header = &request->header;
	memcpy(header->version, interface, sizeof(interface));
	header->data_size = sizeof(request->bytes);
	header->data_start = sizeof(*header);
	header->flags = flags;
	if (target && target->name)
		return str_format(header->name, sizeof(header->name), "%s", target->name) < 0
			       ? -EINVAL
			       : 0;
	if (target)
		header->dev = dm_encode_dev(target->dev);
	return 0;
}

int dm_request_table(struct dm_request *request, uint64_t sectors, const char *type,
		     const char *params)
{
	struct dm_target_spec spec = { .length = sectors };
	size_t at = sizeof(request->header), len = strlen(params) + 1;
	if (str_format(spec.target_type, sizeof(spec.target_type), "%s", type) < 0 ||
	    len > sizeof(request->bytes) - at - sizeof(spec))
		return -EINVAL;
	/* Where the next one would be. */
	spec.next = (uint32_t)(sizeof(spec) + ((len + 7) & ~7u));
	memcpy(request->bytes + at, &spec, sizeof(spec));
	memcpy(request->bytes + at + sizeof(spec), params, len);
	request->header.target_count = 1;
	return 0;
}

int dm_request_message(struct dm_request *request, const char *message)
{
	const struct dm_target_msg head = { .sector = 0 };
	size_t at = sizeof(request->header), len = strlen(message) + 1;
	if (len > sizeof(request->bytes) - at - sizeof(head))
		return -EINVAL;
	memcpy(request->bytes + at, &head, sizeof(head));
	memcpy(request->bytes + at + sizeof(head), message, len);
	return 0;
}

const char *dm_request_line(struct dm_request *request, const char *type, uint64_t *ret_sectors)
{
	struct dm_target_spec spec;
	size_t at = request->header.data_start;
	if (request->header.target_count != 1 || (request->header.flags & DM_BUFFER_FULL_FLAG) ||
	    at > sizeof(request->bytes) - sizeof(spec) - 1)
		return NULL;
	memcpy(&spec, request->bytes + at, sizeof(spec));
	spec.target_type[sizeof(spec.target_type) - 1] = '\0';
	if (!streq(spec.target_type, type))
		return NULL;
	request->bytes[sizeof(request->bytes) - 1] = '\0';
	*ret_sectors = spec.length;
	return (const char *)request->bytes + at + sizeof(spec);
}

int dm_open_control(void)
{
	int fd = open(DM_CONTROL, O_RDWR | O_CLOEXEC); /* lint: ok */
	return fd < 0 ? -errno : fd;
}

static int call(int control, unsigned long what, struct dm_request *request)
{
	return ioctl(control, what, request) < 0 ? -errno : 0;
}

static int simply(int control, unsigned long what, const struct dm_target *target, unsigned flags)
{
	struct dm_request request;
	int r = dm_request_init(&request, target, flags);
	return r < 0 ? r : call(control, what, &request);
}

int dm_has_target(int control, const char *type)
{
	const struct dm_target target = { .name = type };
	int r = simply(control, DM_GET_TARGET_VERSION, &target, 0);
	/* Older than Linux 5.5: it is found out when it is used. */
	return r == -ENOTTY ? 0 : r;
}

int dm_create(int control, const char *name)
{
	const struct dm_target target = { .name = name };
	struct dm_request request;
	int r = dm_request_init(&request, &target, 0);
	/* Two roots cannot meet in it, whatever renames devices. */
	if (r == 0)
		r = str_format(request.header.uuid, sizeof(request.header.uuid), "MASU-%s", name);
	return r < 0 ? r : call(control, DM_DEV_CREATE, &request);
}

int dm_load(int control, const struct dm_target *target, uint64_t sectors, const char *type,
	    const char *params, bool readonly)
{
	struct dm_request request;
	int r = dm_request_init(&request, target, readonly ? DM_READONLY_FLAG : 0);
	if (r == 0)
		r = dm_request_table(&request, sectors, type, params);
	return r < 0 ? r : call(control, DM_TABLE_LOAD, &request);
}

int dm_resume(int control, const struct dm_target *target)
{
	return simply(control, DM_DEV_SUSPEND, target, 0);
}

int dm_remove(int control, const struct dm_target *target, bool when_unused)
{
	return simply(control, DM_DEV_REMOVE, target, when_unused ? DM_DEFERRED_REMOVE : 0);
}

int dm_status(int control, const struct dm_target *target, dev_t *ret_dev, bool *ret_live)
{
	struct dm_request request;
	int r = dm_request_init(&request, target, 0);
	if (r == 0)
		r = call(control, DM_DEV_STATUS, &request);
	if (r < 0)
		return r;
	*ret_dev = dm_decode_dev(request.header.dev);
	*ret_live = (request.header.flags & DM_ACTIVE_PRESENT_FLAG) &&
		    !(request.header.flags & DM_SUSPEND_FLAG);
	return 0;
}

int dm_find_or_create(int control, const struct dm_target *target, dev_t *ret_dev)
{
	bool live;
	int r = dm_status(control, target, ret_dev, &live);
	if (r == 0 && live)
		return 1;
	if (r == 0) /* whoever made it was killed */
		dm_remove(control, target, false);
	return dm_create(control, target->name);
}

int dm_line(int control, const struct dm_target *target, const char *type, bool table,
	    uint64_t *ret_sectors, char *ret)
{
	struct dm_request request;
	int r = dm_request_init(&request, target, table ? DM_STATUS_TABLE_FLAG : DM_NOFLUSH_FLAG);
	if (r == 0)
		r = call(control, DM_TABLE_STATUS, &request);
	if (r < 0)
		return r;
	const char *line = dm_request_line(&request, type, ret_sectors);
	return line ? str_format(ret, DM_PARAMS_MAX, "%s", line) : -ENODEV;
}

int dm_message(int control, const struct dm_target *target, const char *message)
{
	struct dm_request request;
	int r = dm_request_init(&request, target, 0);
	if (r == 0)
		r = dm_request_message(&request, message);
	return r < 0 ? r : call(control, DM_TARGET_MSG, &request);
}

static int is_open(int control, const char *name)
{
	const struct dm_target target = { .name = name };
	struct dm_request request;
	int r = dm_request_init(&request, &target, 0);
	if (r == 0)
		r = call(control, DM_DEV_STATUS, &request);
	return r < 0 ? 0 : request.header.open_count > 0;
}

int dm_any_open(int control, const char *prefix, const char *besides)
{
	const struct dm_target target = { .name = prefix };
	struct dm_name_list entry;
	struct dm_request list;
	/* Kernels before 5.13 tell of all of them. */
	int r = dm_request_init(&list, &target, 0);
	if (r == 0)
		r = call(control, DM_LIST_DEVICES, &list);
	if (r < 0)
		return r;
	if (list.header.flags & DM_BUFFER_FULL_FLAG)
		return 1;
	list.bytes[sizeof(list.bytes) - 1] = '\0';
	for (size_t at = list.header.data_start; at + sizeof(entry) < sizeof(list.bytes);) {
		memcpy(&entry, list.bytes + at, sizeof(entry));
		const char *name =
			(const char *)list.bytes + at + offsetof(struct dm_name_list, name);
		if (!entry.dev)
			break;
		if (str_after(name, prefix) && !streq(name, besides) && is_open(control, name) == 1)
			return 1;
		if (!entry.next)
			break;
		at += entry.next;
	}
	return 0;
}

const char *dm_node(dev_t dev, char ret[DM_NODE_MAX])
{
	str_format(ret, DM_NODE_MAX, "/dev/dm-%u", minor(dev));
	return ret;
}

int dm_open_node(dev_t dev, int flags)
{
	char path[DM_NODE_MAX];
	struct stat st;
	_cleanup_close_ int fd = open(dm_node(dev, path), flags | O_CLOEXEC); /* lint: ok */
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Another one's by now. */
	return S_ISBLK(st.st_mode) && st.st_rdev == dev ? take_fd(&fd) : -ENXIO;
}
