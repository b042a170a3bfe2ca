#include "cold/image/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fuzzing.h"
#include "sys/fs.h"

/* Room for the biggest frame there can be, in one piece. */
#define BUFFER_SIZE FUZZING_OR(64u << 10, FRAME_MAX_DATA + (2u << 20))
#define SEND_AT	    FUZZING_OR(4096u, 64u << 10)

struct wire_entry {
	int64_t mtime;
	uint64_t size;
	uint32_t kind, mode, uid, gid, major, minor, mtime_ns;
	uint32_t path_len, link_len, xattr_count; /* lengths without the NUL that follows each */
};

struct wire_xattr {
	uint32_t name_len, value_len;
};

struct frame_channel {
	int fd;
	size_t at, len; /* receiving: unread part of buffer; sending: len bytes to be sent */
	struct frame_xattr xattrs[FRAME_MAX_XATTRS];
	_Alignas(16) uint8_t buffer[BUFFER_SIZE];
};

int frame_channel_new(int fd, struct frame_channel **ret)
{
	struct frame_channel *channel = malloc(sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->fd = fd;
	channel->at = channel->len = 0;
	*ret = channel;
	return 0;
}

void frame_channel_free(struct frame_channel *channel)
{
	free(channel);
}

static int flush(struct frame_channel *channel)
{
	int r = fs_write_all(channel->fd, channel->buffer, channel->len);
	channel->len = 0;
	return r;
}

static int put(struct frame_channel *channel, const void *data, size_t len)
{
	if (len > BUFFER_SIZE - channel->len)
		return -E2BIG;
	if (len)
		memcpy(channel->buffer + channel->len, data, len);
	channel->len += len;
	return 0;
}

int frame_send_entry(struct frame_channel *channel, const struct frame_entry *entry)
{
	struct wire_entry wire = {
		.mtime = entry->mtime,
		.size = entry->size,
		.kind = entry->kind,
		.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.major = entry->major,
		.minor = entry->minor,
		.mtime_ns = entry->mtime_ns,
		.path_len = (uint32_t)strlen(entry->path),
		.link_len = (uint32_t)strlen(entry->link),
		.xattr_count = (uint32_t)entry->xattr_count,
	};
	size_t start = channel->len;
	struct frame_header header = { .type = FRAME_ENTRY };
	int r = put(channel, &header, sizeof(header));
	if (r == 0)
		r = put(channel, &wire, sizeof(wire));
	if (r == 0)
		r = put(channel, entry->path, wire.path_len + 1u);
	if (r == 0)
		r = put(channel, entry->link, wire.link_len + 1u);
	for (size_t i = 0; i < entry->xattr_count && r == 0; i++) {
		const struct frame_xattr *x = &entry->xattrs[i];
		struct wire_xattr wx = { (uint32_t)strlen(x->name), (uint32_t)x->len };
		r = put(channel, &wx, sizeof(wx));
		if (r == 0)
			r = put(channel, x->name, wx.name_len + 1u);
		if (r == 0)
			r = put(channel, x->value, x->len);
	}
	if (r < 0)
		return r;
	header.len = (uint32_t)(channel->len - start - sizeof(header));
	memcpy(channel->buffer + start, &header, sizeof(header));
	return channel->len >= SEND_AT ? flush(channel) : 0;
}

int frame_send_data(struct frame_channel *channel, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;
	while (len > 0) {
		size_t part = len < FRAME_MAX_DATA ? len : FRAME_MAX_DATA;
		struct frame_header header = { FRAME_DATA, (uint32_t)part, offset };
		int r = put(channel, &header, sizeof(header));
		/* Big pieces are not copied, small ones save system calls together. */
		if (r == 0 && part < SEND_AT)
			r = put(channel, p, part);
		if (r == 0 && (part >= SEND_AT || channel->len >= SEND_AT))
			r = flush(channel);
		if (r == 0 && part >= SEND_AT)
			r = fs_write_all(channel->fd, p, part);
		if (r < 0)
			return r;
		p += part;
		len -= part;
		offset += part;
	}
	return 0;
}

static int send_small(struct frame_channel *channel, enum frame_type type, const void *data,
		      size_t len)
{
	struct frame_header header = { .type = type, .len = (uint32_t)len };
	int r = put(channel, &header, sizeof(header));
	if (r == 0)
		r = put(channel, data, len);
	if (r < 0)
		return r;
	return channel->len >= SEND_AT ? flush(channel) : 0;
}

int frame_send_extent(struct frame_channel *channel, const struct frame_extent *extent)
{
	return send_small(channel, FRAME_EXTENT, extent, sizeof(*extent));
}

int frame_send_unpadded(struct frame_channel *channel)
{
	return send_small(channel, FRAME_UNPADDED, NULL, 0);
}

int frame_send_done(struct frame_channel *channel)
{
	struct frame_header header = { .type = FRAME_DONE };
	int r = put(channel, &header, sizeof(header));
	return r < 0 ? r : flush(channel);
}

/* Makes @len contiguous bytes available at channel->at. */
static int need(struct frame_channel *channel, size_t len)
{
	if (len > BUFFER_SIZE)
		return -EPROTO;
	if (BUFFER_SIZE - channel->at < len || channel->at == channel->len) {
		memmove(channel->buffer, channel->buffer + channel->at, channel->len - channel->at);
		channel->len -= channel->at;
		channel->at = 0;
	}
	while (channel->len - channel->at < len) {
		ssize_t got = read(channel->fd, channel->buffer + channel->len,
				   BUFFER_SIZE - channel->len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		channel->len += (size_t)got;
	}
	return 0;
}

/* A piece of the frame that is being taken apart. */
struct cursor {
	const uint8_t *p;
	size_t left;
};

static const void *take(struct cursor *c, size_t len)
{
	if (len > c->left)
		return NULL;
	const void *p = c->p;
	c->p += len;
	c->left -= len;
	return p;
}

/* @len bytes and the NUL that ends them, none before. */
static const char *take_text(struct cursor *c, size_t len, size_t limit)
{
	const char *text = len <= limit ? take(c, len + 1) : NULL;
	return text && strnlen(text, len + 1) == len ? text : NULL;
}

static int take_xattrs(struct frame_channel *channel, struct cursor *c, struct frame_entry *entry)
{
	for (size_t i = 0; i < entry->xattr_count; i++) {
		struct wire_xattr wx;
		const void *wire = take(c, sizeof(wx));
		if (!wire)
			return -EPROTO;
		memcpy(&wx, wire, sizeof(wx));
		struct frame_xattr *x = &channel->xattrs[i];
		x->name = take_text(c, wx.name_len, LIMIT_XATTR_NAME);
		x->len = wx.value_len;
		x->value = wx.value_len <= LIMIT_XATTR_VALUE ? take(c, wx.value_len) : NULL;
		if (!x->name || !x->value)
			return -EPROTO;
	}
	return 0;
}

static int take_entry(struct frame_channel *channel, struct cursor *c, struct frame_entry *ret)
{
	struct wire_entry wire;
	const void *p = take(c, sizeof(wire));
	if (!p)
		return -EPROTO;
	memcpy(&wire, p, sizeof(wire));
	*ret = (struct frame_entry) {
		.kind = wire.kind,
		.mode = wire.mode & 07777,
		.uid = wire.uid,
		.gid = wire.gid,
		.major = wire.major,
		.minor = wire.minor,
		.mtime_ns = wire.mtime_ns,
		.mtime = wire.mtime,
		.size = wire.size,
		.xattr_count = wire.xattr_count,
		.xattrs = channel->xattrs,
	};
	ret->path = take_text(c, wire.path_len, LIMIT_PATH);
	ret->link = take_text(c, wire.link_len, LIMIT_PATH);
	if (wire.kind > FRAME_OPAQUE || wire.mtime_ns >= 1000000000 || wire.uid == UINT32_MAX ||
	    wire.gid == UINT32_MAX || !ret->path || !ret->link ||
	    wire.xattr_count > FRAME_MAX_XATTRS || take_xattrs(channel, c, ret) < 0 || c->left)
		return -EPROTO;
	return 0;
}

int frame_receive(struct frame_channel *channel, enum frame_type *ret_type,
		  struct frame_entry *ret_entry, struct frame_data *ret_data)
{
	struct frame_header header;
	int r = need(channel, sizeof(header));
	if (r < 0)
		return r;
	memcpy(&header, channel->buffer + channel->at, sizeof(header));
	channel->at += sizeof(header);
	if (header.len > BUFFER_SIZE || (header.type == FRAME_DATA && header.len > FRAME_MAX_DATA))
		return -EPROTO;
	r = need(channel, header.len);
	if (r < 0)
		return r;
	struct cursor c = { channel->buffer + channel->at, header.len };
	channel->at += header.len;
	*ret_type = header.type;
	switch (header.type) {
	case FRAME_ENTRY:
		return take_entry(channel, &c, ret_entry);
	case FRAME_DATA:
		*ret_data = (struct frame_data) { c.p, header.len, header.offset };
		return 0;
	case FRAME_EXTENT:
		*ret_data = (struct frame_data) { c.p, header.len, 0 };
		return header.len == sizeof(struct frame_extent) ? 0 : -EPROTO;
	case FRAME_UNPADDED:
	case FRAME_DONE:
		return header.len ? -EPROTO : 0;
	default:
		return -EPROTO;
	}
}
