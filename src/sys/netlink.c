#include "sys/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* 3,000 published ports are about 600 KiB. */
#define BATCH_LIMIT  (16u << 20)
#define RECEIVE_SIZE 32768
/* What fits the default send buffer (net.core.wmem_default, 208 KiB) with the kernel's overhead. */
#define DEFAULT_FITS  (128u << 10)
#define RECEIVE_QUEUE (4 << 20)

void netlink_batch_init(struct netlink_batch *batch)
{
	*batch = (struct netlink_batch) { 0 };
	buf_init(&batch->data, BATCH_LIMIT);
}

void netlink_batch_free(struct netlink_batch *batch)
{
	buf_free(&batch->data);
}

void netlink_batch_reset(struct netlink_batch *batch)
{
	buf_reset(&batch->data);
	batch->awaited = 0;
	batch->message = 0;
}

static struct nlmsghdr *latest(struct netlink_batch *batch)
{
	return (struct nlmsghdr *)(batch->data.data + batch->message);
}

void netlink_put_raw(struct netlink_batch *batch, const void *data, size_t len)
{
	static const char zero[NLMSG_ALIGNTO];
	buf_append(&batch->data, data, len);
	buf_append(&batch->data, zero, NLMSG_ALIGN(len) - len);
	if (!buf_error(&batch->data))
		latest(batch)->nlmsg_len = (uint32_t)(batch->data.len - batch->message);
}

void netlink_begin(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *header,
		   size_t header_size)
{
	struct nlmsghdr message = {
		.nlmsg_type = type,
		.nlmsg_flags = flags | NLM_F_REQUEST,
		.nlmsg_seq = ++batch->sequence,
	};
	batch->message = batch->data.len;
	netlink_put_raw(batch, &message, sizeof(message));
	netlink_put_raw(batch, header, header_size);
}

void netlink_await(struct netlink_batch *batch)
{
	if (buf_error(&batch->data))
		return;
	latest(batch)->nlmsg_flags |= NLM_F_ACK;
	batch->awaited = batch->sequence;
}

void netlink_put(struct netlink_batch *batch, uint16_t type, const void *data, size_t len)
{
	struct nlattr attribute = { .nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type };
	if (len > UINT16_MAX - NLA_HDRLEN)
		batch->data.error = -E2BIG;
	netlink_put_raw(batch, &attribute, sizeof(attribute));
	netlink_put_raw(batch, data, len);
}

void netlink_put_u8(struct netlink_batch *batch, uint16_t type, uint8_t value)
{
	netlink_put(batch, type, &value, sizeof(value));
}

void netlink_put_u32(struct netlink_batch *batch, uint16_t type, uint32_t value)
{
	netlink_put(batch, type, &value, sizeof(value));
}

void netlink_put_be32(struct netlink_batch *batch, uint16_t type, uint32_t value)
{
	netlink_put_u32(batch, type, htonl(value));
}

void netlink_put_string(struct netlink_batch *batch, uint16_t type, const char *value)
{
	netlink_put(batch, type, value, strlen(value) + 1);
}

size_t netlink_nest(struct netlink_batch *batch, uint16_t type)
{
	size_t nest = batch->data.len;
	netlink_put(batch, type | NLA_F_NESTED, NULL, 0);
	return nest;
}

void netlink_nest_end(struct netlink_batch *batch, size_t nest)
{
	if (buf_error(&batch->data))
		return;
	size_t len = batch->data.len - nest;
	if (len > UINT16_MAX) {
		batch->data.error = -E2BIG;
		return;
	}
	((struct nlattr *)(batch->data.data + nest))->nla_len = (uint16_t)len;
}

int netlink_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	/* Both only improve error messages; kernels since 4.12 have them. */
	static const int on = 1;
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return fd;
}

static int send_batch(int fd, const struct netlink_batch *batch)
{
	if (buf_error(&batch->data))
		return buf_error(&batch->data);
	if (batch->data.len > DEFAULT_FITS) {
		/* Beyond the administrator's maximum: CAP_NET_ADMIN is what masu has anyway. */
		int size = (int)batch->data.len + 65536, queue = RECEIVE_QUEUE;
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue, sizeof(queue));
	}
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	ssize_t sent;
	do
		sent = sendto(fd, batch->data.data, batch->data.len, 0, (struct sockaddr *)&kernel,
			      sizeof(kernel));
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

const void *netlink_find(const void *attributes, size_t len, uint16_t type, size_t *ret_len)
{
	const char *at = attributes;
	while (len >= NLA_HDRLEN) {
		struct nlattr attribute;
		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > len)
			return NULL;
		if ((attribute.nla_type & NLA_TYPE_MASK) == type) {
			*ret_len = attribute.nla_len - (size_t)NLA_HDRLEN;
			return at + NLA_HDRLEN;
		}
		size_t step = NLA_ALIGN(attribute.nla_len);
		if (step >= len)
			return NULL;
		at += step;
		len -= step;
	}
	return NULL;
}

/* The kernel's words follow the (capped) copy of the request's header in an error message. */
static void note_failure(const struct nlmsghdr *message, size_t len,
			 struct netlink_failure *ret_failure)
{
	if (!ret_failure || ret_failure->sequence)
		return;
	*ret_failure = (struct netlink_failure) { .sequence = message->nlmsg_seq };
	size_t fixed = NLMSG_HDRLEN + sizeof(struct nlmsgerr), size;
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || len < fixed)
		return;
	const char *text =
		netlink_find((const char *)message + fixed, len - fixed, NLMSGERR_ATTR_MSG, &size);
	if (!text || size == 0)
		return;
	if (size > sizeof(ret_failure->text))
		size = sizeof(ret_failure->text);
	memcpy(ret_failure->text, text, size);
	ret_failure->text[size - 1] = '\0';
}

/* One datagram of answers. 1: the awaited one was among them. *first keeps the first failure. */
static int read_answers(const struct netlink_batch *batch, const char *data, size_t len, int *first,
			struct netlink_failure *ret_failure)
{
	int done = 0;
	for (const struct nlmsghdr *message = (const void *)data; NLMSG_OK(message, len);
	     message = NLMSG_NEXT(message, len)) {
		if (message->nlmsg_type != NLMSG_ERROR ||
		    message->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
			continue;
		const struct nlmsgerr *answer = NLMSG_DATA(message);
		if (answer->error && *first == 0) {
			*first = answer->error;
			note_failure(message, message->nlmsg_len, ret_failure);
		}
		if (message->nlmsg_seq == batch->awaited)
			done = 1;
	}
	return done;
}

int netlink_transact(int fd, struct netlink_batch *batch, struct netlink_failure *ret_failure)
{
	_Alignas(struct nlmsghdr) char answer[2048];
	int first = 0, done = 0;
	if (ret_failure)
		*ret_failure = (struct netlink_failure) { 0 };
	int r = send_batch(fd, batch);
	if (r < 0)
		return r;
	while (!done) {
		ssize_t got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			/* A refused nf_tables batch answers once, for its first message. */
			return first ? first : -EPROTO;
		if (got < 0)
			return -errno;
		done = read_answers(batch, answer, (size_t)got, &first, ret_failure);
	}
	return first;
}

static int dump_datagram(const struct netlink_batch *batch, const char *data, size_t len,
			 int (*item)(void *opaque, uint16_t type, const void *payload, size_t len),
			 void *opaque, bool *ret_end)
{
	for (const struct nlmsghdr *message = (const void *)data; NLMSG_OK(message, len);
	     message = NLMSG_NEXT(message, len)) {
		if (message->nlmsg_seq != batch->sequence)
			continue;
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
			*ret_end = true;
			int code = 0;
			if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
				memcpy(&code, NLMSG_DATA(message), sizeof(code));
			return code < 0 ? code : 0;
		}
		int r = item(opaque, message->nlmsg_type, NLMSG_DATA(message),
			     message->nlmsg_len - (size_t)NLMSG_HDRLEN);
		if (r)
			return r;
		if (!(message->nlmsg_flags & NLM_F_MULTI))
			*ret_end = true;
	}
	return 0;
}

int netlink_dump(int fd, struct netlink_batch *batch,
		 int (*item)(void *opaque, uint16_t type, const void *payload, size_t len),
		 void *opaque)
{
	_cleanup_free_ char *answer = malloc(RECEIVE_SIZE);
	if (!answer)
		return -ENOMEM;
	int r = send_batch(fd, batch);
	bool end = false;
	while (r == 0 && !end) {
		ssize_t got = recv(fd, answer, RECEIVE_SIZE, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno == EAGAIN ? -EPROTO : -errno;
		r = dump_datagram(batch, answer, (size_t)got, item, opaque, &end);
	}
	return r;
}
