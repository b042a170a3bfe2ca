/*
 * Messages of DNS (RFC 1035, section 4) as far as a container's resolver needs them: the one
 * question of a query, and answers made here. The bytes come from the container and from servers
 * outside: nothing in them is believed. Private to src/network; fuzzed by tests/fuzz/fuzz-dns.c.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX   255  /* bytes on the wire */
#define DNS_ANSWER_MAX 1232 /* what is made here */
#define DNS_UDP_MAX    512  /* of that by UDP: without EDNS */
#define DNS_HEADER     12

enum { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_ANY = 255 };
enum { DNS_OK = 0, DNS_FORMAT_ERROR = 1, DNS_FAILURE = 2, DNS_NOT_IMPLEMENTED = 4 };

struct dns_question {
	uint16_t id, type, class;
	size_t end;		     /* where the question ends in the message */
	bool by_tcp;		     /* the answer may be longer; the caller's to say */
	char name[DNS_NAME_MAX + 1]; /* lower case, "web.example.com"; "" where a label has another
					character than [a-z0-9_-] */
};

/*
 * Reads a query. 0; -EBADMSG: not to be answered at all; or a positive response code to answer
 * with, ret->id and ret->end being set (end DNS_HEADER where there is no question to repeat).
 */
int dns_question_parse(const uint8_t *message, size_t len, struct dns_question *ret);

/* Whether @reply answers the question that ends at @end of @query, under @id. */
bool dns_is_reply(const uint8_t *reply, size_t reply_len, const uint8_t *query, size_t end,
		  uint16_t id);

struct dns_answer {
	uint8_t bytes[DNS_ANSWER_MAX];
	size_t len, room;
};

/* An answer without records to the query. */
void dns_answer_begin(struct dns_answer *answer, const uint8_t *query,
		      const struct dns_question *question, unsigned code);
/* Adds a record; what does not fit sets the bit that says so. */
void dns_answer_address(struct dns_answer *answer, int family, const void *address);
void dns_answer_name(struct dns_answer *answer, const char *name);
void dns_answer_truncate(struct dns_answer *answer);

/* The address in "4.3.2.1.in-addr.arpa". -EINVAL. */
int dns_reverse_parse(const char *name, struct in_addr *ret);
/* The address in "2.0.[…].d.f.ip6.arpa" (RFC 3596, section 2.5). -EINVAL. */
int dns_reverse6_parse(const char *name, struct in6_addr *ret);
