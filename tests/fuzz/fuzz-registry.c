/*
 * What a registry and the administrator's files say: challenges, manifests, configs,
 * registries.conf, lists of tags, results of a search, artifacts, signatures. The first byte says
 * which; FUZZ_KIND (a number) makes all inputs one of them, for a long run of it alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/image/artifacts.h"
#include "cold/image/container_archive.h"
#include "cold/image/document.h"
#include "cold/image/search.h"
#include "cold/image/signature.h"
#include "cold/image/tags.h"
#include "cold/image/unpack.h"
#include "cold/image/volume_artifact.h"
#include "cold/registry/challenge.h"
#include "cold/registry/registry.h"
#include "fuzz.h"

#define SUBJECT "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

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

/* Runs what runs in the box: each line has @separators, whatever was in the document. */
static void describe(sandboxed_job job, void *task, char separator, size_t separators)
{
	_cleanup_buf_ struct buf out;
	struct masu_error err = { 0 };
	buf_init(&out, 0);
	int r = job(task, &out, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	for (const char *line = buf_str(&out); r == 0 && *line; line = strchr(line, '\n') + 1) {
		size_t len = strcspn(line, "\n"), found = 0;
		for (size_t i = 0; i < len; i++)
			found += line[i] == separator;
		FUZZ_CHECK(found == separators && line[len] == '\n');
	}
}

static void one_document(const char *text, size_t len, bool config)
{
	const struct platform platform = { .os = "linux", .architecture = "amd64" };
	struct document_task task = {
		.text = text, .len = len, .media_type = "", .count = 1, .platform = &platform
	};
	describe(config ? document_describe_config : document_describe_manifest, &task, ' ', 3);
}

static void one_answer(const char *text, size_t len, bool search)
{
	struct tags_page page = { text, len };
	struct search_answer answer = { text, len };
	if (search)
		describe(search_describe, &answer, '\t', 4);
	else
		describe(tags_describe, &page, ' ', 0);
}

/* Lists and manifests of artifacts and signatures; the merged index is one that can be read. */
static void one_attached(const char *text, size_t len)
{
	_cleanup_buf_ struct buf merged;
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *document;
	struct masu_error err = { 0 };
	const struct artifacts_text texts[2] = { { text, len }, { text, len } };
	struct artifacts_task task = { .texts = texts, .count = 1, .subject = SUBJECT };
	struct signatures_text signatures = { text, len };
	describe(artifacts_describe_list, &task, ' ', 1);
	describe(artifacts_describe_blobs, &task, ' ', 1);
	describe(signatures_describe, &signatures, ' ', 2);
	buf_init(&merged, 0);
	task.count = 2;
	int r = artifacts_describe_merged(&task, &merged, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	if (r == 0)
		FUZZ_CHECK(json_parse(&arena, merged.data, merged.len, &document, NULL) == 0);
}

static unsigned kind_of(uint8_t first)
{
	static const char *forced;
	static bool known;
	if (!known)
		forced = getenv("FUZZ_KIND");
	known = true;
	return (forced ? (unsigned)strtoul(forced, NULL, 10) : first) % 7;
}

/* What comes out of the box is JSON, whatever went in. */
static void one_container(const char *text, size_t len)
{
	_cleanup_buf_ struct buf out;
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *document;
	struct masu_error err = { 0 };
	struct container_task task = { .text = text, .len = len };
	buf_init(&out, 0);
	int r = container_archive_describe(&task, &out, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	if (r == 0)
		FUZZ_CHECK(json_parse(&arena, out.data, out.len, &document, NULL) == 0);
}

/* Facts end in a NUL each, and there is nothing behind the last. */
static void one_volume(const char *text, size_t len, bool config)
{
	_cleanup_buf_ struct buf out;
	struct masu_error err = { 0 };
	struct volume_task task = { .text = text, .len = len };
	buf_init(&out, 0);
	int r = config ? volume_describe_config(&task, &out, &err)
		       : volume_describe_manifest(&task, &out, &err);
	FUZZ_CHECK(r == 0 || err.message[0]);
	FUZZ_CHECK(r < 0 || (out.len && out.data[out.len - 1] == '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct registry_rule rule = { 0 };
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	char *copy = arena_strndup(&arena, text, strnlen(text, size - 1));
	FUZZ_CHECK(copy);
	switch (kind_of(data[0])) {
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
		registries_conf_parse(text, size - 1, "a.example/b/c", &arena, &rule, NULL);
		break;
	case 4:
		one_answer(text, size - 1, false);
		break;
	case 5:
		one_answer(text, size - 1, true);
		break;
	default:
		one_attached(text, size - 1);
		one_volume(text, size - 1, false);
		one_volume(text, size - 1, true);
		one_container(text, size - 1);
	}
	return 0;
}
