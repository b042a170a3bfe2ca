#include "tree/source.h"

#include <errno.h>
#include <string.h>

int source_read(struct source *s, void *dst, size_t len, size_t *ret_got, struct masu_error *err)
{
	size_t got = 0;
	while (got < len) {
		const uint8_t *data;
		size_t available;
		int r = s->peek(s, &data, &available, err);
		if (r < 0)
			return r;
		if (available == 0)
			break;
		if (available > len - got)
			available = len - got;
		memcpy((uint8_t *)dst + got, data, available);
		s->consume(s, available);
		got += available;
	}
	*ret_got = got;
	return 0;
}

int source_skip(struct source *s, uint64_t len, struct masu_error *err)
{
	while (len > 0) {
		const uint8_t *data;
		size_t available;
		int r = s->peek(s, &data, &available, err);
		if (r < 0)
			return r;
		if (available == 0)
			return error_set(err, -EBADMSG, "the archive is cut off");
		if (available > len)
			available = (size_t)len;
		s->consume(s, available);
		len -= available;
	}
	return 0;
}

int source_drain(struct source *s, struct masu_error *err)
{
	for (;;) {
		const uint8_t *data;
		size_t available;
		int r = s->peek(s, &data, &available, err);
		if (r < 0 || available == 0)
			return r;
		s->consume(s, available);
	}
}
