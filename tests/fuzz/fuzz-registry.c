/* What a registry and the administrator's files say: challenges, manifests, configs,
 * registries.conf.
 */
#include <string.h>

#include "base/str.h"
#include "cold/image/document.h"
#include "cold/registry/challenge.h"
#include "cold/registry/registry.h"
#include "fuzz.h"

static void one_challenge(const char *text)
{
	struct challenge challenge;
	if (challenge_parse(text, &challenge) < 0)
		return;
	FUZZ_CHECK(challenge.bearer ? challenge.realm[0] : challenge.basic);
	if (challenge_realm_trusted(challenge.realm, "https://registry.example"))
		FUZZ_CHECK(str_after(challenge.realm, "https://") &&
			   strstr(challenge.realm, "example"));
}

static void one_document(const char *text, size_t len, bool config)
{
	_cleanup_buf_ struct buf out;
	struct masu_error err = { 0 };
	const struct platform platform = { .os = "linux", .architecture = "amd64" };
	struct document_task task = {
		.text = text, .len = len, .media_type = "", .count = 1, .platform = &platform
	};
	buf_init(&out, 0);
	int r = config ? document_describe_config(&task, &out, &err)
		       : document_describe_manifest(&task, &out, &err);
	/* Each line is a word, a digest, a number and a word, whatever was in the document. */
	FUZZ_CHECK(r == 0 || err.message[0]);
	for (const char *line = buf_str(&out); r == 0 && *line; line = strchr(line, '\n') + 1) {
		size_t len_line = strcspn(line, "\n"), spaces = 0;
		for (size_t i = 0; i < len_line; i++)
			spaces += line[i] == ' ';
		FUZZ_CHECK(spaces == 3 && line[len_line] == '\n');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct registry_rule rule;
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	char *copy = arena_strndup(&arena, text, strnlen(text, size - 1));
	FUZZ_CHECK(copy);
	switch (data[0] & 3) {
	case 0:
		one_challenge(copy);
		break;
	case 1:
		one_document(text, size - 1, false);
		break;
	case 2:
		one_document(text, size - 1, true);
		break;
	case 3:
		registries_conf_parse(text, size - 1, "a.example", &arena, &rule, NULL);
	}
	return 0;
}
