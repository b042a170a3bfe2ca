#include "cold/image/volume_limit.h"

#include <errno.h>

#include "base/log.h"
#include "sys/project_quota.h"

uint64_t volume_limit_of(struct arena *arena, const struct volume *volume)
{
	struct volume_source source;
	return volume_source(arena, volume, &source, NULL) == 0 ? source.size : 0;
}

int volume_limit_keep(int root_fd, struct arena *arena, uint64_t bytes, struct volume *request,
		      struct masu_error *err)
{
	struct masu_error why = { 0 };
	if (bytes == 0)
		return 0;
	if (project_quota_check(root_fd, &why) < 0) {
		log_warn("not carried over: volume %s: size=%llu: %s", request->name,
			 (unsigned long long)bytes, why.message);
		return 0;
	}
	struct oci_pair *option = arena_array(arena, struct oci_pair, 1);
	char *text = arena_printf(arena, "%llu", (unsigned long long)bytes);
	if (!option || !text)
		return error_set(err, -ENOMEM, "out of memory");
	*option = (struct oci_pair) { "size", text };
	request->options = option;
	request->option_count = 1;
	return 0;
}
