/* Limits of single block devices <-> Docker's JSON: five lists of {Path, Rate} or {Path, Weight}.
 */
#include <errno.h>

#include "base/str.h"
#include "engine/config.h"

static const struct {
	const char *list, *member;
} blkio_names[BLKIO_LIMIT_COUNT] = {
	[BLKIO_WEIGHT] = { "BlkioWeightDevice", "Weight" },
	[BLKIO_READ_BPS] = { "BlkioDeviceReadBps", "Rate" },
	[BLKIO_WRITE_BPS] = { "BlkioDeviceWriteBps", "Rate" },
	[BLKIO_READ_IOPS] = { "BlkioDeviceReadIOps", "Rate" },
	[BLKIO_WRITE_IOPS] = { "BlkioDeviceWriteIOps", "Rate" },
};

static void list_write(struct json_writer *w, const struct container_config *config,
		       enum blkio_limit limit)
{
	json_key(w, blkio_names[limit].list);
	json_begin_array(w);
	for (size_t i = 0; i < config->blkio_device_count; i++) {
		const struct blkio_device_config *device = &config->blkio_devices[i];
		if (device->limit != limit)
			continue;
		json_begin_object(w);
		json_field_string(w, "Path", device->path);
		json_field_u64(w, blkio_names[limit].member, device->value);
		json_end_object(w);
	}
	json_end_array(w);
}

void blkio_list_write(struct json_writer *w, const struct container_config *config,
		      const char *name)
{
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT; limit++)
		if (streq(blkio_names[limit].list, name))
			list_write(w, config, (enum blkio_limit)limit);
}

void blkio_devices_write(struct json_writer *w, const struct container_config *config)
{
	if (!config->blkio_device_count)
		return;
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT; limit++)
		list_write(w, config, (enum blkio_limit)limit);
}

static int list_read(const struct json *array, enum blkio_limit limit,
		     struct container_config *config)
{
	json_foreach (item, array) {
		struct blkio_device_config *device =
			&config->blkio_devices[config->blkio_device_count++];
		device->limit = limit;
		if (!json_string(json_get(item, "Path"), &device->path) ||
		    !json_u64(json_get(item, blkio_names[limit].member), &device->value))
			return -EBADMSG;
	}
	return 0;
}

int blkio_devices_read(struct arena *arena, const struct json *host,
		       struct container_config *config)
{
	size_t count = 0;
	int r = 0;
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT; limit++) {
		const struct json *array = json_get(host, blkio_names[limit].list);
		if (array && array->type == JSON_ARRAY)
			count += array->count;
	}
	if (!count)
		return 0;
	config->blkio_devices = arena_array(arena, struct blkio_device_config, count);
	if (!config->blkio_devices)
		return -ENOMEM;
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT && r == 0; limit++) {
		const struct json *array = json_get(host, blkio_names[limit].list);
		if (array && array->type == JSON_ARRAY)
			r = list_read(array, (enum blkio_limit)limit, config);
	}
	return r;
}
