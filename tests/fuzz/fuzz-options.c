/* Docker's spellings of option values; the first byte chooses the parser. */
#include <stdlib.h>
#include <string.h>

#include "cli/parse.h"
#include "cli/terminal.h"
#include "cli/time_text.h"
#include "fuzz.h"

static int mount_like(struct arena *arena, uint8_t kind, const char *text, struct masu_error *err)
{
	struct mount_config mount = { 0 };
	int r = kind == 0   ? parse_volume(arena, text, &mount, err)
		: kind == 1 ? parse_mount(arena, text, &mount, err)
			    : parse_tmpfs(arena, text, &mount, err);
	/* Whatever was typed, the target is absolute, clean and not the root. */
	if (r == 0)
		FUZZ_CHECK(mount.target[0] == '/' && mount.target[1] &&
			   !strstr(mount.target, "//") && !strstr(mount.target, "/../") &&
			   !strstr(mount.target, "/./"));
	return r;
}

static int limit_like(struct arena *arena, uint8_t kind, const char *text, struct masu_error *err)
{
	struct device_config device;
	struct oci_rlimit limit;
	enum restart_policy policy;
	const char *kept;
	struct detach_keys keys;
	struct cli_list list = { 0 };
	struct blkio_device_config blkio;
	int64_t number;
	int max;
	switch (kind) {
	case 3:
		return parse_device(arena, text, &device, err);
	case 4:
		return parse_device_rule(text, err);
	case 5:
		return parse_ulimit(arena, text, &limit, err);
	case 6:
		return parse_cpus(text, &number, err);
	case 7:
		return parse_restart(text, &policy, &max, err);
	case 8:
		return parse_add_host(arena, text, &kept, err);
	case 9:
		return parse_dns_search(text, err);
	case 10:
		return parse_expose(arena, text, &list, err);
	case 11:
		return time_parse_point(arena, text, &kept, err);
	case 12:
		return detach_keys_parse(text, &keys, err);
	case 13:
		return parse_blkio_device(BLKIO_READ_BPS, arena, text, &blkio, err);
	case 14:
		return parse_blkio_device(BLKIO_WEIGHT, arena, text, &blkio, err);
	default:
		return parse_mac_address(text, err);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct masu_error err = { 0 };
	if (size == 0)
		return 0;
	uint8_t kind = data[0] & 15;
	char *text = strndup((const char *)data + 1, size - 1);
	FUZZ_CHECK(text);
	int r = kind < 3 ? mount_like(&arena, kind, text, &err)
			 : limit_like(&arena, kind, text, &err);
	FUZZ_CHECK(r == 0 || (err.message[0] && !strchr(err.message, '\n')) || strchr(text, '\n'));
	free(text);
	return 0;
}
