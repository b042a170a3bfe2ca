#include "network/dns_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/str.h"

#define TTL_SECONDS 10
#define CLASS_IN    1
#define LABEL_MAX   63

enum { FLAG_REPLY = 0x80, FLAG_TRUNCATED = 0x02, FLAG_RECURSE = 0x01, FLAG_CAN_RECURSE = 0x80 };

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A name that is not compressed: the offset behind it, 0 where it is damaged. @ret DNS_NAME_MAX + 1
 * bytes; *ret_plain: whether it can be a name of ours. */
static size_t read_name(const uint8_t *message, size_t len, size_t at, char *ret, bool *ret_plain)
{
	size_t out = 0, start = at;
	*ret_plain = true;
	while (at < len && message[at]) {
		size_t label = message[at++];
		if (label > LABEL_MAX || len - at < label || at + label - start > DNS_NAME_MAX - 1)
			return 0;
		if (out)
			ret[out++] = '.';
		for (size_t i = 0; i < label; i++) {
			char c = (char)message[at + i];
			c = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
			*ret_plain &= c != '.' && name_char_valid(c);
			ret[out++] = c;
		}
		at += label;
	}
	ret[out] = '\0';
	return at < len ? at + 1 : 0;
}

int dns_question_parse(const uint8_t *message, size_t len, struct dns_question *ret)
{
	bool plain;
	*ret = (struct dns_question) { .end = DNS_HEADER };
	if (len < DNS_HEADER || (message[2] & FLAG_REPLY))
		return -EBADMSG;
	ret->id = get16(message);
	if (message[2] & 0x78) /* opcode: not a plain query */
		return DNS_NOT_IMPLEMENTED;
	if (get16(message + 4) != 1)
		return DNS_FORMAT_ERROR;
	size_t at = read_name(message, len, DNS_HEADER, ret->name, &plain);
	if (at == 0 || len - at < 4) {
		ret->name[0] = '\0';
		return DNS_FORMAT_ERROR;
	}
	ret->type = get16(message + at);
	ret->class = get16(message + at + 2);
	ret->end = at + 4;
	if (!plain || ret->class != CLASS_IN)
		ret->name[0] = '\0';
	return 0;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

bool dns_is_reply(const uint8_t *reply, size_t reply_len, const uint8_t *query, size_t end,
		  uint16_t id)
{
	if (reply_len < end || end < DNS_HEADER || get16(reply) != id || !(reply[2] & FLAG_REPLY) ||
	    get16(reply + 4) != 1)
		return false;
	for (size_t i = DNS_HEADER; i < end; i++)
		if (lower(reply[i]) != lower(query[i]))
			return false;
	return true;
}

void dns_answer_begin(struct dns_answer *answer, const uint8_t *query,
		      const struct dns_question *question, unsigned code)
{
	uint8_t *header = answer->bytes;
	bool repeats = question->end > DNS_HEADER;
	memset(header, 0, DNS_HEADER);
	put16(header, question->id);
	header[2] = FLAG_REPLY | (query[2] & (0x78 | FLAG_RECURSE));
	header[3] = (uint8_t)(FLAG_CAN_RECURSE | (code & 0xf));
	put16(header + 4, repeats);
	/* At most 12 + 255 + 4 bytes. */
	memcpy(header + DNS_HEADER, query + DNS_HEADER, question->end - DNS_HEADER);
	answer->len = question->end;
	answer->room = question->by_tcp ? DNS_ANSWER_MAX : DNS_UDP_MAX;
}

void dns_answer_truncate(struct dns_answer *answer)
{
	answer->bytes[2] |= FLAG_TRUNCATED;
}

/* Owner (the question's name), type, class, TTL and length; where the data goes, NULL: no room. */
static uint8_t *add_record(struct dns_answer *answer, unsigned type, size_t data_len)
{
	uint8_t *at = answer->bytes + answer->len;
	if (answer->room - answer->len < 12 + data_len) {
		dns_answer_truncate(answer);
		return NULL;
	}
	put16(at, 0xc000 | DNS_HEADER);
	put16(at + 2, type);
	put16(at + 4, CLASS_IN);
	put16(at + 6, 0);
	put16(at + 8, TTL_SECONDS);
	put16(at + 10, (unsigned)data_len);
	put16(answer->bytes + 6, get16(answer->bytes + 6) + 1u);
	answer->len += 12 + data_len;
	return at + 12;
}

void dns_answer_address(struct dns_answer *answer, int family, const void *address)
{
	size_t size = family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
	uint8_t *data = add_record(answer, family == AF_INET ? DNS_A : DNS_AAAA, size);
	if (data)
		memcpy(data, address, size);
}

void dns_answer_name(struct dns_answer *answer, const char *name)
{
	uint8_t wire[DNS_NAME_MAX];
	size_t len = 0;
	while (*name) {
		size_t label = strcspn(name, ".");
		if (label == 0 || label > LABEL_MAX || len + label + 2 > sizeof(wire))
			return;
		wire[len++] = (uint8_t)label;
		memcpy(wire + len, name, label);
		len += label;
		name += label + (name[label] == '.');
	}
	wire[len++] = 0;
	uint8_t *data = add_record(answer, DNS_PTR, len);
	if (data)
		memcpy(data, wire, len);
}

int dns_reverse_parse(const char *name, struct in_addr *ret)
{
	static const char suffix[] = ".in-addr.arpa";
	char text[INET_ADDRSTRLEN];
	size_t len = strlen(name);
	struct in_addr reversed;
	if (len < sizeof(suffix) || len - sizeof(suffix) + 1 >= sizeof(text) ||
	    !str_ends_with(name, suffix))
		return -EINVAL;
	memcpy(text, name, len - sizeof(suffix) + 1);
	text[len - sizeof(suffix) + 1] = '\0';
	if (inet_pton(AF_INET, text, &reversed) != 1)
		return -EINVAL;
	ret->s_addr = __builtin_bswap32(reversed.s_addr);
	return 0;
}

int dns_reverse6_parse(const char *name, struct in6_addr *ret)
{
	static const char digits[] = "0123456789abcdef";
	struct in6_addr address = { 0 };
	if (strlen(name) != 2 * 32 + strlen("ip6.arpa") || !streq(name + 64, "ip6.arpa"))
		return -EINVAL;
	/* The last half byte comes first. */
	for (unsigned i = 0; i < 32; i++) {
		const char *digit = strchr(digits, name[2 * i]);
		if (!digit || name[2 * i + 1] != '.')
			return -EINVAL;
		address.s6_addr[15 - i / 2] |= (uint8_t)((digit - digits) << 4 * (i % 2));
	}
	*ret = address;
	return 0;
}
