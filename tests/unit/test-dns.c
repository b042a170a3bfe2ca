/* Messages of DNS, as RFC 1035 draws them. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "network/dns_message.h"

#define HEADER	    "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
#define QUERY(rest) (const uint8_t *)(HEADER rest), sizeof(HEADER rest) - 1

static void test_questions(void **state)
{
	struct dns_question q;
	assert_int_equal(dns_question_parse(QUERY("\003WeB\005mynet\0\0\x1c\0\1"), &q), 0);
	assert_string_equal(q.name, "web.mynet");
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, DNS_AAAA);
	assert_int_equal(q.end, 12 + 11 + 4);
	/* What follows is somebody else's business. */
	assert_int_equal(dns_question_parse(QUERY("\1a\0\0\1\0\1\0\0\x29\x10\0\0\0\0\0\0\0"), &q),
			 0);
	assert_string_equal(q.name, "a");
	/* Nothing that could be a path, or another class's name, is a name of ours. */
	assert_int_equal(dns_question_parse(QUERY("\002..\0\0\1\0\1"), &q), 0);
	assert_string_equal(q.name, "");
	assert_int_equal(dns_question_parse(QUERY("\003../\1x\0\0\1\0\1"), &q), 0);
	assert_string_equal(q.name, "");
	assert_int_equal(dns_question_parse(QUERY("\001a\0\0\1\0\3"), &q), 0);
	assert_string_equal(q.name, "");
}

static void test_damaged(void **state)
{
	struct dns_question q;
	assert_int_equal(dns_question_parse((const uint8_t *)HEADER, 11, &q), -EBADMSG);
	assert_int_equal(dns_question_parse((const uint8_t *)"\0\1\x81\0\0\1\0\0\0\0\0\0", 12, &q),
			 -EBADMSG);
	assert_int_equal(dns_question_parse((const uint8_t *)"\0\1\x28\0\0\1\0\0\0\0\0\0", 12, &q),
			 DNS_NOT_IMPLEMENTED);
	assert_int_equal(dns_question_parse(QUERY(""), &q), DNS_FORMAT_ERROR);
	assert_int_equal(dns_question_parse(QUERY("\xc0\x0c\0\1\0\1"), &q), DNS_FORMAT_ERROR);
	assert_int_equal(dns_question_parse(QUERY("\077abc"), &q), DNS_FORMAT_ERROR);
	assert_int_equal(dns_question_parse(QUERY("\1a\0\0\1\0"), &q), DNS_FORMAT_ERROR);
	assert_int_equal(q.end, DNS_HEADER);
	uint8_t query[12 + 5 * 64 + 5] = HEADER;
	for (unsigned i = 0; i < 5; i++)
		query[12 + i * 64] = 63;
	assert_int_equal(dns_question_parse(query, sizeof(query), &q), DNS_FORMAT_ERROR);
}

static void test_answers(void **state)
{
	const char text[] = HEADER "\003web\0\0\1\0\1";
	const uint8_t *query = (const uint8_t *)text;
	size_t len = sizeof(text) - 1;
	struct dns_question q;
	struct dns_answer a;
	struct in_addr address = { htonl(0x0a000002) };
	assert_int_equal(dns_question_parse(query, len, &q), 0);
	dns_answer_begin(&a, query, &q, DNS_OK);
	dns_answer_address(&a, AF_INET, &address);
	static const char expected[] = "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\003web\0\0\1\0\1"
				       "\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4\x0a\0\0\2";
	assert_int_equal(a.len, sizeof(expected) - 1);
	assert_memory_equal(a.bytes, expected, a.len);
	assert_true(dns_is_reply(a.bytes, a.len, query, q.end, 0x1234));
	assert_false(dns_is_reply(a.bytes, a.len, query, q.end, 0x1235));
	a.bytes[13] ^= 1;
	assert_false(dns_is_reply(a.bytes, a.len, query, q.end, 0x1234));
	assert_false(dns_is_reply(query, len, query, q.end, 0x1234));
	/* What does not fit is left out, and the client told. */
	dns_answer_begin(&a, query, &q, DNS_OK);
	for (unsigned i = 0; i < 64; i++)
		dns_answer_address(&a, AF_INET, &address);
	assert_true(a.bytes[2] & 0x02);
	assert_int_equal(a.bytes[7], (512 - q.end) / 16);
	dns_answer_begin(&a, query, &q, DNS_OK);
	dns_answer_name(&a, "web.mynet");
	assert_memory_equal(a.bytes + a.len - 11, "\003web\005mynet", 11);
}

static void test_reverse(void **state)
{
	struct in_addr address;
	assert_int_equal(dns_reverse_parse("2.0.18.172.in-addr.arpa", &address), 0);
	assert_int_equal(ntohl(address.s_addr), 0xac120002);
	static const char *const bad[] = { "",
					   ".in-addr.arpa",
					   "in-addr.arpa",
					   "1.2.3.in-addr.arpa",
					   "1.2.3.4.5.in-addr.arpa",
					   "300.2.3.4.in-addr.arpa",
					   "1.2.3.4.ip6.arpa" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(dns_reverse_parse(bad[i], &address), -EINVAL);
}

static void test_reverse6(void **state)
{
	struct in6_addr address, expected;
	char name[] = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.8.d.f.ip6.arpa";
	inet_pton(AF_INET6, "fd81::2", &expected);
	assert_int_equal(dns_reverse6_parse(name, &address), 0);
	assert_memory_equal(&address, &expected, sizeof(address));
	assert_int_equal(dns_reverse6_parse(name + 2, &address), -EINVAL);
	name[2] = 'g';
	assert_int_equal(dns_reverse6_parse(name, &address), -EINVAL);
	name[2] = '\0';
	assert_int_equal(dns_reverse6_parse(name, &address), -EINVAL);
	assert_int_equal(dns_reverse6_parse("ip6.arpa", &address), -EINVAL);
}

static void test_answers_by_tcp_are_longer(void **state)
{
	const char text[] = HEADER "\003web\0\0\x1c\0\1";
	struct dns_question q;
	struct dns_answer a;
	assert_int_equal(dns_question_parse((const uint8_t *)text, sizeof(text) - 1, &q), 0);
	q.by_tcp = true;
	dns_answer_begin(&a, (const uint8_t *)text, &q, DNS_OK);
	for (unsigned i = 0; i < 32; i++)
		dns_answer_address(&a, AF_INET6, &in6addr_loopback);
	assert_false(a.bytes[2] & 0x02);
	assert_int_equal(a.bytes[7], 32);
	for (unsigned i = 0; i < 32; i++)
		dns_answer_address(&a, AF_INET6, &in6addr_loopback);
	assert_true(a.bytes[2] & 0x02);
	assert_true(a.len <= sizeof(a.bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_questions), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_answers),	  cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_reverse6),  cmocka_unit_test(test_answers_by_tcp_are_longer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
