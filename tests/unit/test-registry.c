/* The registry client's pure parts: challenges, who may be told credentials, registries.conf,
 * documents. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/document.h"
#include "cold/registry/challenge.h"
#include "cold/registry/failure.h"
#include "cold/registry/registry.h"
#include "cold/image/search.h"
#include "cold/image/tags.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void challenges_are_read(void **state)
{
	struct challenge c;
	assert_int_equal(
		challenge_parse("Bearer realm=\"https://auth.example/token\","
				"service=\"registry.example\",scope=\"repository:a/b:pull\"",
				&c),
		0);
	assert_true(c.bearer);
	assert_string_equal(c.realm, "https://auth.example/token");
	assert_string_equal(c.service, "registry.example");
	assert_string_equal(c.scope, "repository:a/b:pull");
	/* Basic counts where there is no Bearer, wherever it stands. */
	assert_int_equal(challenge_parse("Basic realm=\"x\"", &c), 0);
	assert_true(c.basic && !c.bearer);
	assert_int_equal(
		challenge_parse("basic realm=x, BEARER  realm = \"https://a/\" , service=s", &c),
		0);
	assert_true(c.bearer);
	assert_string_equal(c.realm, "https://a/");
	assert_string_equal(c.service, "s");
	assert_int_equal(challenge_parse("Bearer realm=\"a\\\"b\"", &c), 0);
	assert_string_equal(c.realm, "a\"b");
}

static void malformed_challenges_are_refused(void **state)
{
	static const char *const bad[] = { "",
					   "Digest realm=\"x\"",
					   "Bearer",
					   "Bearer service=\"x\"",
					   "Bearer realm=\"unterminated",
					   "=",
					   ",",
					   "\"",
					   "Bearer realm=\"a\001b\"" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct challenge c;
		if (challenge_parse(bad[i], &c) != -EBADMSG)
			fail_msg("\"%s\" accepted", bad[i]);
	}
	char *long_one = test_malloc(CHALLENGE_VALUE_MAX + 64);
	memset(long_one, 'a', CHALLENGE_VALUE_MAX + 63);
	memcpy(long_one, "Bearer realm=\"", 14);
	long_one[CHALLENGE_VALUE_MAX + 62] = '"';
	long_one[CHALLENGE_VALUE_MAX + 63] = '\0';
	struct challenge c;
	assert_int_equal(challenge_parse(long_one, &c), -EBADMSG);
	test_free(long_one);
}

static void credentials_stay_with_their_site(void **state)
{
	static const struct {
		const char *realm, *base;
		bool trusted;
	} cases[] = {
		{ "https://auth.docker.io/token", "https://registry-1.docker.io", true },
		{ "https://gitlab.com/jwt/auth", "https://registry.gitlab.com", true },
		{ "https://registry.example:5443/auth", "https://registry.example", true },
		{ "https://127.0.0.1:5001/auth", "https://127.0.0.1:5000", true },
		{ "http://127.0.0.1:5001/auth", "http://127.0.0.1:5000", true },
		{ "https://[::1]:5001/auth", "https://[::1]:5000", true },
		{ "http://auth.docker.io/token", "https://registry-1.docker.io", false },
		{ "https://evil.example/token", "https://registry-1.docker.io", false },
		{ "https://docker.io.evil.example/", "https://registry-1.docker.io", false },
		{ "https://docker.io@evil.example/", "https://registry-1.docker.io", false },
		{ "https://evil.example\\@docker.io/", "https://registry-1.docker.io", false },
		{ "https://evil.co.uk/", "https://registry.good.co.uk", false },
		{ "https://auth.good.co.uk/", "https://registry.good.co.uk", true },
		{ "https://128.0.0.1/", "https://127.0.0.1", false },
		{ "ftp://registry.example/", "https://registry.example", false },
		{ "https:///token", "https://registry.example", false },
		{ "", "https://registry.example", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (challenge_realm_trusted(cases[i].realm, cases[i].base) != cases[i].trusted)
			fail_msg("%s for %s", cases[i].realm, cases[i].base);
}

static int tags_of(const char *text, struct buf *out)
{
	struct masu_error err = { 0 };
	struct tags_page page = { text, strlen(text) };
	buf_init(out, 0);
	return tags_describe(&page, out, &err);
}

static void lists_of_tags_are_read(void **state)
{
	static const char *const bad[] = { "",
					   "[]",
					   "{}",
					   "{\"tags\":7}",
					   "{\"tags\":[7]}",
					   "{\"tags\":[\"a\\nb\"]}",
					   "{\"tags\":[\"-a\"]}",
					   "{\"tags\":[\"a/b\"]}" };
	struct buf out;
	assert_int_equal(tags_of("{\"name\":\"x\",\"tags\":[\"1.0\",\"latest\"]}", &out), 0);
	assert_string_equal(buf_str(&out), "1.0\nlatest\n");
	buf_free(&out);
	assert_int_equal(tags_of("{\"tags\":null}", &out), 0);
	assert_int_equal(out.len, 0);
	buf_free(&out);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (tags_of(bad[i], &out) >= 0)
			fail_msg("%s accepted", bad[i]);
		buf_free(&out);
	}
}

static void search_results_are_one_line_each(void **state)
{
	static const char text[] =
		"{\"results\":[{\"name\":\"a\",\"star_count\":7,"
		"\"is_official\":true,\"description\":\"b\\n\\tc\\u001b[m\"},{}]}";
	struct search_answer answer = { text, strlen(text) };
	struct masu_error err = { 0 };
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	assert_int_equal(search_describe(&answer, &out, &err), 0);
	assert_string_equal(buf_str(&out), "7\t1\t0\ta\tb  c?[m\n0\t0\t0\t\t\n");
	answer.text = "<html>";
	answer.len = 6;
	assert_int_equal(search_describe(&answer, &out, &err), -EOPNOTSUPP);
}

static const char conf[] = "unqualified-search-registries = ['docker.io',\n  'quay.io']\n"
			   "# a comment\n"
			   "[[registry]] # the first\n"
			   "prefix = \"*.example\"\n"
			   "location = 'elsewhere.test:5000'\n"
			   "insecure = true\n"
			   "\n"
			   "[[registry.mirror]]\n"
			   "location=\"m1.test\"\n"
			   "[[registry.mirror]]\n"
			   "location = \"m2.test\" # with a reason\n"
			   "insecure = true\n"
			   "[[registry]]\n"
			   "location = \"bad.test\"\n"
			   "blocked = true\n"
			   "[aliases]\n"
			   "\"fedora\" = \"registry.fedoraproject.org/fedora\"\n";

static void registries_conf_is_read(void **state)
{
	_cleanup_arena_ struct arena arena;
	struct registry_rule rule = { 0 };
	arena_init(&arena, 0);
	size_t len = strlen(conf);
	assert_int_equal(registries_conf_parse(conf, len, "a.example", &arena, &rule, NULL), 0);
	assert_true(rule.found && rule.insecure && !rule.blocked);
	assert_string_equal(rule.location, "elsewhere.test:5000");
	assert_int_equal(rule.mirror_count, 2);
	assert_string_equal(rule.mirrors[1], "m2.test");
	assert_false(rule.mirror_insecure[0]);
	assert_true(rule.mirror_insecure[1]);
	rule = (struct registry_rule) { 0 };
	assert_int_equal(registries_conf_parse(conf, len, "bad.test/x", &arena, &rule, NULL), 0);
	assert_true(rule.found && rule.blocked);
	rule = (struct registry_rule) { 0 };
	assert_int_equal(registries_conf_parse(conf, len, "example", &arena, &rule, NULL), 0);
	assert_false(rule.found);
}

static void bad_registries_conf_names_the_line(void **state)
{
	static const char *const bad[] = {
		"[[registry]]\nlocation = unquoted\n",
		"[[registry]]\nlocation = \"open\n",
		"[[registry]]\ninsecure = maybe\n",
		"[[registry.mirror]]\nlocation = \"m\"\n",
		"[[registry]]\nlocation\n",
		"[[registry]]\nlocation =\n",
		"\n[[registry\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_arena_ struct arena arena;
		struct registry_rule rule = { 0 };
		struct masu_error err = { 0 };
		arena_init(&arena, 0);
		if (registries_conf_parse(bad[i], strlen(bad[i]), "x", &arena, &rule, &err) == 0)
			fail_msg("accepted: %s", bad[i]);
		assert_non_null(strstr(err.message, "line "));
	}
}

static const char parts[] =
	"[[registry]]\nprefix = \"a.example/team\"\nlocation = \"b.test/cache\"\n"
	"[[registry]]\nprefix = \"a.example\"\nlocation = \"c.test\"\n"
	"mirror-by-digest-only = true\n"
	"[[registry.mirror]]\nlocation = \"m.test\"\n"
	"pull-from-mirror = \"tag-only\"\n";

static void the_longest_prefix_holds(void **state)
{
	static const struct {
		const char *name, *location;
	} cases[] = {
		{ "a.example/team/app", "b.test/cache" },
		{ "a.example/team", "b.test/cache" },
		{ "a.example/teams/app", "c.test" },
		{ "a.example/x", "c.test" },
		{ "a.example", "c.test" },
		{ "a.example:5000/team/app", NULL },
		{ "b.a.example/team/app", NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena;
		struct registry_rule rule = { 0 };
		arena_init(&arena, 0);
		assert_int_equal(registries_conf_parse(parts, strlen(parts), cases[i].name, &arena,
						       &rule, NULL),
				 0);
		assert_int_equal(rule.found, cases[i].location != NULL);
		if (cases[i].location)
			assert_string_equal(rule.location, cases[i].location);
	}
	/* A later file changes what an earlier one says. */
	static const char later[] = "[[registry]]\nlocation = \"a.example\"\nblocked = true\n";
	_cleanup_arena_ struct arena arena;
	struct registry_rule rule = { 0 };
	arena_init(&arena, 0);
	registries_conf_parse(parts, strlen(parts), "a.example/x", &arena, &rule, NULL);
	assert_true(rule.digests_only);
	assert_int_equal(rule.mirror_use[0], REGISTRY_FOR_TAGS);
	registries_conf_parse(later, strlen(later), "a.example/x", &arena, &rule, NULL);
	assert_true(rule.blocked && !rule.digests_only);
	assert_int_equal(rule.mirror_count, 0);
}

static void names_are_translated(void **state)
{
	static const struct {
		const char *from, *to, *head, *text, *there;
	} cases[] = {
		{ "", "", "/v2/", "/v2/a/b/tags/list", "/v2/a/b/tags/list" },
		{ "", "hub", "/v2/", "/v2/a/b/tags/list", "/v2/hub/a/b/tags/list" },
		{ "a", "", "/v2/", "/v2/a/b/tags/list", "/v2/b/tags/list" },
		{ "a/b", "x", "/v2/", "/v2/a/b/tags/list", "/v2/x/tags/list" },
		{ "a", "x/y", "/v2/", "/v2/ab/tags/list", "/v2/ab/tags/list" },
		{ "a/b", "x", "repository:", "repository:a/b:pull,push", "repository:x:pull,push" },
		{ "", "hub", "repository:", "registry:catalog:*", "registry:catalog:*" },
		{ "", "hub", "/v2/", "/v2/", "/v2/" },
		{ "", "hub", "", "a/b", "hub/a/b" },
		{ "", "hub", "", "", "" },
	};
	char out[64];
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct registry_endpoint at = { .from = cases[i].from, .to = cases[i].to };
		assert_int_equal(registry_translate(&at, cases[i].head, cases[i].text, false, out,
						    sizeof(out)),
				 0);
		assert_string_equal(out, cases[i].there);
		/* And back. */
		assert_int_equal(registry_translate(&at, cases[i].head, cases[i].there, true, out,
						    sizeof(out)),
				 0);
		assert_string_equal(out, cases[i].text);
	}
	const struct registry_endpoint at = { .from = "", .to = "hub" };
	assert_int_equal(registry_translate(&at, "", "a/b", false, out, 5), -ENAMETOOLONG);
}

static void failures_say_what_to_do(void **state)
{
	static const char cert[] = "PEM";
	static const struct registry_endpoint plain = { .base = "https://a.example:5000" },
					      shows = { .base = "https://a.example:5000",
							.cert = cert };
	static const char required[] = "OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 "
				       "alert certificate required, errno 0";
	static const struct {
		const struct registry_endpoint *at;
		CURLcode result;
		const char *reason;
		long proxy;
		enum failure failure;
		const char *words;
	} cases[] = {
		{ &plain, CURLE_RECV_ERROR, required, 0, FAILURE_CERTAIN,
		  "it wants a client certificate" },
		{ &shows, CURLE_RECV_ERROR, required, 0, FAILURE_CERTAIN,
		  "it does not accept the client certificate" },
		{ &plain, CURLE_RECV_ERROR, "Connection reset by peer", 0, FAILURE_CUT,
		  "Connection reset" },
		{ &plain, CURLE_PEER_FAILED_VERIFICATION, "SSL certificate problem", 0,
		  FAILURE_UNREACHED, "/etc/docker/certs.d/a.example:5000/ca.crt" },
		{ &plain, CURLE_RECV_ERROR, "", 407, FAILURE_CERTAIN, "user name and password" },
		{ &plain, CURLE_RECV_ERROR, "", 403, FAILURE_CERTAIN, "NO_PROXY" },
		{ &plain, CURLE_RECV_ERROR, "", 502, FAILURE_UNREACHED, "status 502" },
		{ &plain, CURLE_COULDNT_RESOLVE_HOST, "", 0, FAILURE_UNREACHED, "a.example" },
	};
	assert_int_equal(libcurl_load(NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[MASU_ERROR_MAX];
		assert_int_equal(failure_judge(cases[i].at, cases[i].result, cases[i].reason,
					       cases[i].proxy, text, sizeof(text)),
				 cases[i].failure);
		if (!strstr(text, cases[i].words))
			fail_msg("%s is not in: %s", cases[i].words, text);
	}
}

/* ---- documents: the sandboxed half, without its sandbox ---- */

static int describe(const char *text, const char *type, struct buf *out, struct masu_error *err)
{
	const struct platform platform = { .os = "linux", .architecture = "arm64" };
	struct document_task task = {
		.text = text, .len = strlen(text), .media_type = type, .platform = &platform
	};
	buf_reset(out);
	return document_describe_manifest(&task, out, err);
}

#define OCI(kind)    "\"mediaType\":\"application/vnd.oci.image." kind "\""
#define DOCKER(kind) "\"mediaType\":\"application/vnd.docker.distribution." kind "\""
#define CONFIG	     "\"config\":{" OCI("config.v1+json") ",\"digest\":\"" DIGEST "\",\"size\":7}"
#define LAYER(type)  "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST "\",\"size\":9}"

static void documents_are_described(void **state)
{
	_cleanup_buf_ struct buf out;
	struct masu_error err = { 0 };
	buf_init(&out, 0);
	assert_int_equal(
		describe(
			"{\"schemaVersion\":2," OCI(
				"manifest.v1+json") "," CONFIG
						    ",\"layers\":[" LAYER(
							    "application/"
							    "vnd.oci.image.layer.v1.tar+gzip") "]}",
			"", &out, &err),
		0);
	assert_string_equal(buf_str(&out),
			    "manifest " DIGEST " 7 application/vnd.oci.image.manifest.v1+json\n"
			    "layer " DIGEST " 9 application/vnd.oci.image.layer.v1.tar+gzip\n");
	/* The variant that was not asked for is taken where there is no other. */
	assert_int_equal(
		describe("{" DOCKER("manifest.list.v2+json") ",\"manifests\":["
							     "{\"digest\":\"sha256:bad\",\"size\":"
							     "1,\"platform\":{\"os\":\"linux\","
							     "\"architecture\":\"amd64\"}},"
							     "{\"digest\":\"" DIGEST
							     "\",\"size\":5,\"platform\":{\"os\":"
							     "\"linux\","
							     "\"architecture\":\"arm64\","
							     "\"variant\":\"v8\"}}]}",
			 "application/vnd.docker.distribution.manifest.list.v2+json", &out, &err),
		0);
	assert_string_equal(buf_str(&out),
			    "index " DIGEST " 5 application/vnd.oci.image.manifest.v1+json\n");
}

static void hostile_documents_are_refused(void **state)
{
	static const struct {
		const char *text, *type, *why;
	} cases[] = {
		{ "{\"manifests\":[]," CONFIG ",\"layers\":[]}", "", "ambiguous" },
		{ "{" OCI("manifest.v1+json") "," CONFIG ",\"layers\":[]}",
		  "application/vnd.oci.image.index.v1+json", "calls" },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", "", "schema 1" },
		{ "{\"manifests\":[]}", "application/vnd.oci.image.index.v1+json", "no matching" },
		{ "{" OCI("index.v1+json") "," CONFIG ",\"layers\":[]}", "", "unsupported" },
		{ "{\"mediaType\":\"text/plain\"," CONFIG ",\"layers\":[]}", "", "unsupported" },
		{ "{" CONFIG ",\"layers\":[" LAYER("application/vnd.docker.image.rootfs.foreign."
						   "diff.tar.gzip") "]}",
		  "", "foreign" },
		{ "{" CONFIG ",\"layers\":[" LAYER("application/json") "]}", "", "artifact" },
		{ "{" CONFIG ",\"layers\":[" LAYER("x.tar y") "]}", "", "artifact" },
		{ "{\"config\":{},\"layers\":[]}", "", "descriptor" },
		{ "{" CONFIG "}", "", "layers" },
		{ "[", "", "manifest" },
	};
	_cleanup_buf_ struct buf out;
	buf_init(&out, 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct masu_error err = { 0 };
		if (describe(cases[i].text, cases[i].type, &out, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (!strstr(err.message, cases[i].why))
			fail_msg("%s: %s", cases[i].text, err.message);
	}
}

static void platforms_are_parsed(void **state)
{
	_cleanup_arena_ struct arena arena;
	struct platform platform;
	arena_init(&arena, 0);
	assert_int_equal(platform_parse(&arena, "linux/arm/v7", &platform, NULL), 0);
	assert_string_equal(platform.architecture, "arm");
	assert_string_equal(platform.variant, "v7");
	assert_int_equal(platform_parse(&arena, "aarch64", &platform, NULL), 0);
	assert_string_equal(platform.os, "linux");
	assert_string_equal(platform.architecture, "arm64");
	assert_int_equal(platform_parse(&arena, NULL, &platform, NULL), 0);
	assert_string_equal(platform.os, "linux");
	assert_int_equal(platform_parse(&arena, "a/b/c/d", &platform, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_tags_are_read),
		cmocka_unit_test(search_results_are_one_line_each),
		cmocka_unit_test(challenges_are_read),
		cmocka_unit_test(malformed_challenges_are_refused),
		cmocka_unit_test(credentials_stay_with_their_site),
		cmocka_unit_test(registries_conf_is_read),
		cmocka_unit_test(bad_registries_conf_names_the_line),
		cmocka_unit_test(the_longest_prefix_holds),
		cmocka_unit_test(names_are_translated),
		cmocka_unit_test(failures_say_what_to_do),
		cmocka_unit_test(documents_are_described),
		cmocka_unit_test(hostile_documents_are_refused),
		cmocka_unit_test(platforms_are_parsed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
