#include "storage/config.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "json/json.h"
#include "sys/fs.h"

#define RECORD_LIMIT 16384

static bool copy_string(const struct json *record, const char *key, char *ret, size_t size)
{
	const char *value = "";
	return !json_get(record, key) ||
	       (json_string(json_get(record, key), &value) && strlen(value) < size &&
		str_format(ret, size, "%s", value) == 0);
}

int storage_config_read(int root_fd, struct storage_config *ret, struct masu_error *err)
{
	struct storage_config config = { .driver = "overlay" };
	_cleanup_arena_ struct arena arena;
	const struct json *record;
	char *text;
	size_t len;
	arena_init(&arena, 4 * RECORD_LIMIT);
	int r = fs_read_arena(root_fd, STORAGE_CONFIG, RECORD_LIMIT, &arena, &text, &len);
	if (r == -ENOENT) {
		*ret = config;
		return 0;
	}
	if (r == 0)
		r = json_parse(&arena, text, len, &record, NULL);
	if (r == -ENOMEM)
		return error_errno(err, r, STORAGE_CONFIG);
	config.recorded = true;
	if (r < 0 || !copy_string(record, "storage-driver", config.driver, sizeof(config.driver)) ||
	    !copy_string(record, "leaving", config.leaving, sizeof(config.leaving)) ||
	    !copy_string(record, "reason", config.reason, sizeof(config.reason)) ||
	    !copy_string(record, "storage-opts", config.options, sizeof(config.options)) ||
	    !*config.driver)
		return error_set(err, -EBADMSG,
				 STORAGE_CONFIG " in --root cannot be read: it says which storage "
						"driver the root has; put it back");
	*ret = config;
	return 0;
}
