/* Limits and weights of single block devices. */
#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "cli/parse.h"

#define WEIGHT_MIN 10
#define WEIGHT_MAX 1000

static const char *const flags[BLKIO_LIMIT_COUNT] = {
	[BLKIO_WEIGHT] = "--blkio-weight-device",   [BLKIO_READ_BPS] = "--device-read-bps",
	[BLKIO_WRITE_BPS] = "--device-write-bps",   [BLKIO_READ_IOPS] = "--device-read-iops",
	[BLKIO_WRITE_IOPS] = "--device-write-iops",
};

static int parse_value(enum blkio_limit limit, const char *argument, const char *path,
		       const char *text, uint64_t *ret, struct masu_error *err)
{
	const char *flag = flags[limit];
	if (limit == BLKIO_WEIGHT) {
		int r = str_to_u64(text, ret);
		if (r == 0 && (*ret == 0 || (*ret >= WEIGHT_MIN && *ret <= WEIGHT_MAX)))
			return 0;
		return parse_refuse(err, flag, argument, "invalid weight for device: %.200s",
				    argument);
	}
	if (limit == BLKIO_READ_BPS || limit == BLKIO_WRITE_BPS) {
		if (str_to_bytes(text, ret) == 0)
			return 0;
		return parse_refuse(err, flag, argument,
				    "invalid rate for device: %.200s. The correct format is "
				    "<device-path>:<number>[<unit>]. Number must be a positive "
				    "integer. Unit is optional and can be kb, mb, or gb",
				    argument);
	}
	if (str_to_u64(text, ret) == 0)
		return 0;
	return parse_refuse(err, flag, argument,
			    "invalid rate for device: %.200s. The correct format is "
			    "<device-path>:<number>. Number must be a positive integer",
			    argument);
}

int parse_blkio_device(enum blkio_limit limit, struct arena *arena, const char *value,
		       struct blkio_device_config *ret, struct masu_error *err)
{
	const char *colon = strchr(value, ':');
	if (!colon || colon == value)
		return parse_refuse(err, flags[limit], value, "bad format: %.200s", value);
	const char *path = arena_strndup(arena, value, (size_t)(colon - value));
	if (!path)
		return error_set(err, -ENOMEM, "out of memory");
	if (!str_after(path, "/dev/"))
		return parse_refuse(err, flags[limit], value, "bad format for device path: %.200s",
				    value);
	uint64_t number;
	int r = parse_value(limit, value, path, colon + 1, &number, err);
	if (r == 0)
		*ret = (struct blkio_device_config) { limit, path, number };
	return r;
}
