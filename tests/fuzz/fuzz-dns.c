/* A message of DNS, taken for a query and for an answer to itself. */
#include <string.h>

#include "fuzz.h"
#include "network/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_question question, again;
	struct dns_answer answer;
	struct in_addr address = { 0 };
	int code = dns_question_parse(data, size, &question);
	(void)dns_is_reply(data, size, data, size < 512 ? size : 512, question.id);
	if (code < 0)
		return 0;
	FUZZ_CHECK(question.end >= DNS_HEADER && question.end <= size);
	FUZZ_CHECK(strlen(question.name) <= DNS_NAME_MAX && !strchr(question.name, '/'));
	(void)dns_reverse_parse(question.name, &address);
	(void)dns_reverse6_parse(question.name, &(struct in6_addr) { 0 });
	dns_answer_begin(&answer, data, &question, (unsigned)code);
	for (unsigned i = 0; i < 40; i++)
		dns_answer_address(&answer, i % 2 ? AF_INET : AF_INET6, &(struct in6_addr) { 0 });
	dns_answer_name(&answer, question.name);
	FUZZ_CHECK(answer.len >= DNS_HEADER && answer.len <= sizeof(answer.bytes));
	/* What is answered is no question, and repeats the one that was. */
	FUZZ_CHECK(dns_question_parse(answer.bytes, answer.len, &again) < 0);
	FUZZ_CHECK(code > 0 ||
		   dns_is_reply(answer.bytes, answer.len, data, question.end, question.id));
	return 0;
}
