/* Docker's option spellings: boundary tables (HOSTILE cases 5, 6, 13, 26, 27) and the command line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/signal_name.h"
#include "base/str.h"
#include "cli/container_options.h"
#include "cli/parse.h"

/* ---- -v, --mount, --tmpfs ---- */

static void test_volumes(void **state)
{
	static const struct {
		const char *value, *source, *target;
		enum mount_kind kind;
		bool readonly, nocopy;
		const char *propagation;
	} cases[] = {
		{ "/data", NULL, "/data", MOUNT_VOLUME, false, false, NULL },
		{ "vol:/data", "vol", "/data", MOUNT_VOLUME, false, false, NULL },
		{ "vol:/data:ro", "vol", "/data", MOUNT_VOLUME, true, false, NULL },
		{ "vol:/data:nocopy,ro", "vol", "/data", MOUNT_VOLUME, true, true, NULL },
		{ "/src:/dst", "/src", "/dst", MOUNT_BIND, false, false, NULL },
		{ "/src:/dst:rw,rslave", "/src", "/dst", MOUNT_BIND, false, false, "rslave" },
		{ "/src:/dst:ro,z", "/src", "/dst", MOUNT_BIND, true, false, NULL },
		{ "/a/../b//c/.:/x/./y/", "/b/c", "/x/y", MOUNT_BIND, false, false, NULL },
		{ "/../..:/x", "/", "/x", MOUNT_BIND, false, false, NULL },
		{ "/a:/x/../../y", "/a", "/y", MOUNT_BIND, false, false, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct mount_config m;
		struct masu_error err = { 0 };
		if (parse_volume(&arena, cases[i].value, &m, &err) < 0)
			fail_msg("%s: %s", cases[i].value, err.message);
		if (m.kind != cases[i].kind || !streq_null(m.source, cases[i].source) ||
		    !streq(m.target, cases[i].target) || m.readonly != cases[i].readonly ||
		    m.nocopy != cases[i].nocopy || !streq_null(m.propagation, cases[i].propagation))
			fail_msg("%s: %s -> %s", cases[i].value, m.source, m.target);
		assert_int_equal(m.create_source, m.source != NULL);
	}
}

static void test_relative_volume_source(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct mount_config m;
	char cwd[4096], expected[4200];
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(expected, sizeof(expected), "%s/sub", cwd);
	assert_int_equal(parse_volume(&arena, "./sub:/x", &m, NULL), 0);
	assert_string_equal(m.source, expected);
	assert_int_equal(parse_volume(&arena, ".:/x", &m, NULL), 0);
	assert_string_equal(m.source, cwd);
}

struct refusal {
	const char *value, *message;
};

typedef int (*mount_parser)(struct arena *, const char *, struct mount_config *,
			    struct masu_error *);

static void check_refusals(mount_parser parser, const struct refusal *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct mount_config m = { .target = "untouched" };
		struct masu_error err = { 0 };
		int r = parser(&arena, cases[i].value, &m, &err);
		if (r >= 0 || !strstr(err.message, cases[i].message))
			fail_msg("\"%s\": %d \"%s\", expected \"%s\"", cases[i].value, r,
				 err.message, cases[i].message);
		assert_int_equal(err.exit_status, 125);
		assert_null(strchr(err.message, '\n'));
		assert_string_equal(m.target, "untouched");
	}
}

static void test_volumes_refused(void **state)
{
	static const struct refusal cases[] = {
		{ "", "invalid empty volume spec" },
		{ ":", "empty section between colons" },
		{ ":/x", "empty section between colons" },
		{ "/x:", "empty section between colons" },
		{ "a::b", "empty section between colons" },
		{ "a:b:c:d", "invalid volume specification: 'a:b:c:d'" },
		{ "/a:/b:ro:", "empty section" },
		{ "/a:/b:ro:x:y", "invalid volume specification" },
		{ "/a:ro", "invalid volume specification" },
		{ "/a:rw,z", "invalid volume specification" },
		{ "data", "mount path must be absolute" },
		{ "/a:b", "mount path must be absolute" },
		{ "/a:/", "destination can't be '/'" },
		{ "/a:/x/..", "destination can't be '/'" },
		{ "/", "destination can't be '/'" },
		{ "/a:/b:xx", "invalid mode: xx" },
		{ "/a:/b:ro,rw", "invalid mode: ro,rw" },
		{ "/a:/b:ro,", "invalid mode: ro," },
		{ "/a:/b:,ro", "invalid mode: ,ro" },
		{ "/a:/b:ro,,z", "invalid mode: ro,,z" },
		{ "/a:/b:nocopy", "invalid mode: nocopy" },
		{ "vol:/b:rslave", "invalid mode: rslave" },
		{ "a/b:/x", "includes invalid characters for a local volume name" },
		{ "v:/x:ro:/y", "invalid volume specification" },
		{ "_x:/x", "includes invalid characters" },
		{ "x:/x", "includes invalid characters" },
	};
	check_refusals(parse_volume, cases, ARRAY_SIZE(cases));
	/* Paths and names that are too long. */
	char long_path[5000];
	memset(long_path, 'x', sizeof(long_path));
	memcpy(long_path, "/a:/", 4);
	long_path[sizeof(long_path) - 1] = '\0';
	const struct refusal too_long[] = { { long_path, "path is too long" },
					    { long_path + 2, "between colons" },
					    { long_path + 3, "path is too long" } };
	check_refusals(parse_volume, too_long, ARRAY_SIZE(too_long));
}

static void test_mounts(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct mount_config m;
	struct masu_error err = { 0 };
	assert_int_equal(
		parse_mount(&arena,
			    "type=bind,source=/a/b/,target=/x,readonly,bind-propagation=rshared,"
			    "bind-nonrecursive=true",
			    &m, &err),
		0);
	assert_true(m.kind == MOUNT_BIND && m.readonly && m.nonrecursive && !m.create_source);
	assert_string_equal(m.source, "/a/b");
	assert_string_equal(m.propagation, "rshared");
	assert_int_equal(parse_mount(&arena,
				     "src=vol,dst=/x,ro=false,volume-nocopy,volume-driver=local,"
				     "volume-label=a=b,volume-label=c,\"volume-opt=o=x,y\"",
				     &m, &err),
			 0);
	assert_true(m.kind == MOUNT_VOLUME && !m.readonly && m.nocopy);
	assert_int_equal(m.volume_label_count, 2);
	assert_string_equal(m.volume_labels[0].value, "b");
	assert_string_equal(m.volume_labels[1].key, "c");
	assert_string_equal(m.volume_options[0].value, "x,y");
	assert_int_equal(parse_mount(&arena,
				     "type=bind,src=/a,dst=/b,ro,bind-recursive=writable,"
				     "bind-create-src",
				     &m, &err),
			 0);
	assert_true(m.create_mountpoint && !m.create_source);
	assert_string_equal(m.recursive, "writable");
	assert_int_equal(parse_mount(&arena, "target=/x", &m, &err), 0);
	assert_true(m.kind == MOUNT_VOLUME && !m.source);
	assert_int_equal(parse_mount(&arena,
				     "TYPE=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770", &m,
				     &err),
			 0);
	assert_true(m.kind == MOUNT_TMPFS && m.tmpfs_size == 1 << 20 && m.tmpfs_mode == 01770);
}

static void test_mounts_refused(void **state)
{
	static const struct refusal cases[] = {
		{ "", "must be a key=value pair" },
		{ "foo", "invalid field 'foo' must be a key=value pair" },
		{ "type=bind", "target is required" },
		{ "type=x,target=/a", "mount type unknown: \"x\"" },
		{ "type=bind,src=/a,target=/b,volume-nocopy=true",
		  "cannot mix 'volume-*' options" },
		{ "type=volume,target=/b,bind-propagation=shared", "cannot mix 'bind-*' options" },
		{ "type=bind,src=/a,target=/b,tmpfs-size=1", "cannot mix 'tmpfs-*' options" },
		{ "type=bind,foo=bar,target=/a", "unexpected key 'foo'" },
		{ "type=volume,target=/a,readonly=maybe", "invalid value for readonly: maybe" },
		{ "type=tmpfs,target=/x,tmpfs-size=zz", "invalid value for tmpfs-size: zz" },
		{ "type=tmpfs,target=/x,tmpfs-size=-1", "invalid value for tmpfs-size: -1" },
		{ "type=tmpfs,target=/x,tmpfs-size=99999999999p", "invalid value for tmpfs-size" },
		{ "type=tmpfs,target=/x,tmpfs-mode=9", "invalid value for tmpfs-mode: 9" },
		{ "type=tmpfs,target=/x,tmpfs-mode=17777", "invalid value for tmpfs-mode" },
		{ "type=tmpfs,src=/a,target=/x", "field Source must not be specified" },
		{ "type=bind,src=rel,target=/b", "mount path must be absolute" },
		{ "type=bind,target=/b", "mount path must be absolute" },
		{ "type=bind,src=/a,target=b", "mount path must be absolute" },
		{ "type=bind,src=/a,target=/", "destination can't be '/'" },
		{ "type=bind,src=/a,target=/b,bind-propagation=x", "invalid propagation mode: x" },
		{ "type=bind,src=/a,target=/b,bind-recursive=some", "invalid value for bind-rec" },
		{ "type=bind,src=/a,target=/b,bind-recursive=writable", "requires 'readonly'" },
		{ "type=bind,src=/a,target=/b,ro,bind-recursive=readonly",
		  "requires 'bind-propagation=rprivate'" },
		{ "src=../x,target=/b", "includes invalid characters" },
		{ "target=/b,volume-subpath=x",
		  "must not set Subpath when using anonymous volumes" },
		{ "src=vol,target=/b,volume-subpath=/x", "subpath must be a relative path within" },
		{ "src=vol,target=/b,volume-subpath=a/../../x",
		  "subpath must be a relative path within" },
		{ "type=bind,src=/v,target=/b,volume-subpath=x", "cannot mix 'volume-*' options" },
		{ "target=/b,volume-odd=x", "volume-odd is not supported" },
		{ "\"type=bind,target=/b", "bare or missing quote" },
		{ "type=b\"ind,target=/b", "bare or missing quote" },
		{ "target=/b,consistency=x", "invalid value for consistency" },
	};
	check_refusals(parse_mount, cases, ARRAY_SIZE(cases));
}

static void test_tmpfs(void **state)
{
	static const struct refusal cases[] = {
		{ "", "mount path must be absolute" },
		{ "x", "mount path must be absolute" },
		{ "/", "destination can't be '/'" },
		{ "/x:foo", "invalid tmpfs option \"foo\"" },
		{ "/x:size=", "invalid tmpfs option" },
		{ "/x:bind", "invalid tmpfs option" },
		{ "/x:size=1,context=y", "invalid tmpfs option \"context=y\"" },
	};
	_cleanup_arena_ struct arena arena = { 0 };
	struct mount_config m;
	check_refusals(parse_tmpfs, cases, ARRAY_SIZE(cases));
	assert_int_equal(parse_tmpfs(&arena, "/x/:size=1m,exec,mode=700", &m, NULL), 0);
	assert_string_equal(m.target, "/x");
	assert_string_equal(m.tmpfs_options, "size=1m,exec,mode=700");
	assert_int_equal(parse_tmpfs(&arena, "/run", &m, NULL), 0);
	assert_null(m.tmpfs_options);
}

/* ---- devices and limits ---- */

static void test_devices(void **state)
{
	static const struct {
		const char *value, *host, *container, *permissions;
	} cases[] = {
		{ "/dev/null", "/dev/null", "/dev/null", "rwm" },
		{ "/dev/null:/dev/x", "/dev/null", "/dev/x", "rwm" },
		{ "/dev/null:r", "/dev/null", "/dev/null", "r" },
		{ "/dev/null:/dev/x:rw", "/dev/null", "/dev/x", "rw" },
	};
	static const struct refusal refused[] = {
		{ "", "not an absolute path" },
		{ "dev/null", "dev/null is not an absolute path" },
		{ "/dev/null:x", "x is not an absolute path" },
		{ "/dev/null:/x:zz", "bad mode specified: zz" },
		{ "/dev/null:/x:rr", "bad mode specified: rr" },
		{ "/dev/null:/x:", "bad mode specified" },
		{ "/a:/b:rwm:z", "bad format for path: /a:/b:rwm:z" },
		{ "vendor.com/class=name", "not an absolute path" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct device_config d;
		assert_int_equal(parse_device(&arena, cases[i].value, &d, NULL), 0);
		assert_string_equal(d.host, cases[i].host);
		assert_string_equal(d.container, cases[i].container);
		assert_string_equal(d.permissions, cases[i].permissions);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct device_config d;
		struct masu_error err = { 0 };
		assert_int_equal(parse_device(&arena, refused[i].value, &d, &err), -EINVAL);
		if (!strstr(err.message, refused[i].message))
			fail_msg("%s: %s", refused[i].value, err.message);
	}
}

static void test_device_rules(void **state)
{
	static const char *const good[] = { "c 1:3 rwm", "a *:* rwm", "b 8:* r", "c *:3 m" };
	static const char *const bad[] = { "",	       "x",	   "c 1:3",	"c 1:3 ",
					   "c 1:3 x",  "c 1 rwm",  "d 1:3 rwm", "c 1:3 rwmr",
					   "c -1:3 r", "c  1:3 r", "c 1:3  r",	"c 99999999999:3 r",
					   "cc 1:3 r" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(parse_device_rule(good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse_device_rule(bad[i], NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
}

static void test_ulimits(void **state)
{
	static const struct {
		const char *value;
		int resource;
		uint64_t soft, hard;
	} cases[] = {
		{ "nofile=1024", RLIMIT_NOFILE, 1024, 1024 },
		{ "nofile=1024:2048", RLIMIT_NOFILE, 1024, 2048 },
		{ "core=0", RLIMIT_CORE, 0, 0 },
		{ "memlock=-1", RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY },
		{ "nproc=5:-1", RLIMIT_NPROC, 5, RLIM_INFINITY },
		{ "rttime=9223372036854775807", RLIMIT_RTTIME, INT64_MAX, INT64_MAX },
	};
	static const struct refusal refused[] = {
		{ "x", "invalid ulimit argument: x" },
		{ "", "invalid ulimit argument" },
		{ "nofile=", "invalid syntax" },
		{ "nofile=a", "invalid syntax" },
		{ "nofile=1a", "invalid syntax" },
		{ "nofile=1:", "invalid syntax" },
		{ "nofile=:1", "invalid syntax" },
		{ "nofile=-2", "invalid syntax" },
		{ "foo=1", "invalid ulimit type: foo" },
		{ "NOFILE=1", "invalid ulimit type" },
		{ "RLIMIT_NOFILE=1", "invalid ulimit type" },
		{ "as=1", "invalid ulimit type" },
		{ "nofile=2:1", "must be less than or equal to hard limit: 2 > 1" },
		{ "nofile=-1:5", "must be less than or equal to hard limit" },
		{ "nofile=1:2:3", "too many limit value arguments" },
		{ "nofile=9223372036854775808", "out of range" },
		{ "nofile=99999999999999999999", "out of range" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_rlimit limit;
		assert_int_equal(parse_ulimit(&arena, cases[i].value, &limit, NULL), 0);
		assert_int_equal(limit.resource, cases[i].resource);
		assert_true(limit.soft == cases[i].soft && limit.hard == cases[i].hard);
		assert_non_null(limit.name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_rlimit limit;
		struct masu_error err = { 0 };
		assert_int_equal(parse_ulimit(&arena, refused[i].value, &limit, &err), -EINVAL);
		if (!strstr(err.message, refused[i].message))
			fail_msg("%s: %s", refused[i].value, err.message);
	}
}

static void test_cpus(void **state)
{
	static const struct {
		const char *value;
		int64_t nano;
	} cases[] = {
		{ "1", 1000000000 },
		{ "0.5", 500000000 },
		{ ".25", 250000000 },
		{ "1.", 1000000000 },
		{ "0", 0 },
		{ "1.000000001", 1000000001 },
		{ "2.50", 2500000000 },
		{ "1.0000000000000", 1000000000 },
	};
	static const char *const bad[] = { "",	  ".",	"x",	      "-1",  "1x", "1.0000000001",
					   "1e1", " 1", "9999999999", "1..2" };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t nano = -1;
		assert_int_equal(parse_cpus(cases[i].value, &nano, NULL), 0);
		assert_true(nano == cases[i].nano);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t nano;
		if (parse_cpus(bad[i], &nano, NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
	}
}

static void test_restart(void **state)
{
	static const char *const bad[] = {
		"foo",	       "always:3", "on-failure:x", "on-failure:-1", "on-failure:",
		"on-failures", "NO"
	};
	enum restart_policy policy;
	int max;
	assert_int_equal(parse_restart("on-failure:3", &policy, &max, NULL), 0);
	assert_true(policy == RESTART_ON_FAILURE && max == 3);
	assert_int_equal(parse_restart("unless-stopped", &policy, &max, NULL), 0);
	assert_true(policy == RESTART_UNLESS_STOPPED && max == 0);
	assert_int_equal(parse_restart("no", &policy, &max, NULL), 0);
	assert_true(policy == RESTART_NO);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse_restart(bad[i], &policy, &max, NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
}

static void test_signals(void **state)
{
	assert_int_equal(signal_number("KILL"), 9);
	assert_int_equal(signal_number("sigterm"), 15);
	assert_int_equal(signal_number("SIGUSR1"), 10);
	assert_int_equal(signal_number("9"), 9);
	assert_int_equal(signal_number("64"), 64);
	assert_int_equal(signal_number("RTMIN"), 34);
	assert_int_equal(signal_number("SIGRTMIN+3"), 37);
	assert_int_equal(signal_number("rtmax-1"), 63);
	static const char *const bad[] = { "",	       "0",	"65",	     "-9",	"SIG",
					   "SIGFOO",   "KILLX", "RTMIN+31",  "RTMAX+1", "RTMIN-1",
					   "RTMAX-31", "9 ",	"4294967305" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(signal_number(bad[i]), -1);
}

/* ---- lists and files ---- */

static struct cli_list list_of(struct arena *arena, const char *const *items, size_t count)
{
	struct cli_list list = { 0 };
	for (size_t i = 0; i < count; i++)
		assert_int_equal(cli_list_add(arena, &list, items[i]), 0);
	return list;
}
#define LIST_OF(arena, ...)                                                                        \
	list_of(arena, (const char *const[]) { __VA_ARGS__ },                                      \
		sizeof((const char *const[]) { __VA_ARGS__ }) / sizeof(char *))

static void write_file(char path[64], const char *text, size_t len)
{
	snprintf(path, 64, "/tmp/masu-cli-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void test_lists_grow(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct cli_list list = { 0 };
	static char names[1000][8];
	for (int i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof(names[i]), "%d", i);
		assert_int_equal(cli_list_add(&arena, &list, names[i]), 0);
		assert_null(list.items[list.count]);
	}
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(list.items[i], names[i]);
}

static void test_environment(void **state)
{
	static const char text[] = "\xef\xbb\xbf# comment\n\n  A=from file\r\nINHERITED\nABSENT\n"
				   "Q=\"kept as is\" \nLAST=1";
	_cleanup_arena_ struct arena arena = { 0 };
	char path[64], **env;
	struct masu_error err = { 0 };
	write_file(path, text, sizeof(text) - 1);
	setenv("INHERITED", "yes", 1);
	unsetenv("ABSENT");
	struct cli_list files = LIST_OF(&arena, path);
	struct cli_list values = LIST_OF(&arena, "B=1", "INHERITED", "ABSENT", "A=2=3", "EMPTY=");
	assert_int_equal(parse_environment(&arena, &files, &values, &env, &err), 0);
	static const char *const expected[] = { "A=from file", "INHERITED=yes", "Q=\"kept as is\" ",
						"LAST=1",      "B=1",		"INHERITED=yes",
						"ABSENT",      "A=2=3",		"EMPTY=" };
	assert_int_equal(strv_length(env), ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		assert_string_equal(env[i], expected[i]);
	unlink(path);
}

static void test_environment_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *message;
	} cases[] = {
		{ "A B=1", 5, "contains whitespaces: variable 'A B'" },
		{ "=1", 2, "no variable name on line '1'" },
		{ "A=\xff", 3, "invalid utf8 bytes" },
		{ "A=1\0B=2", 7, "contains a NUL byte" },
	};
	_cleanup_arena_ struct arena arena = { 0 };
	struct cli_list none = { 0 };
	char **env;
	struct masu_error err = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[64];
		write_file(path, cases[i].text, cases[i].len);
		struct cli_list files = LIST_OF(&arena, path);
		assert_int_equal(parse_environment(&arena, &files, &none, &env, &err), -EINVAL);
		if (!strstr(err.message, cases[i].message))
			fail_msg("%s, expected %s", err.message, cases[i].message);
		unlink(path);
	}
	struct cli_list missing = LIST_OF(&arena, "/nonexistent/file");
	assert_int_equal(parse_environment(&arena, &missing, &none, &env, &err), -ENOENT);
	struct cli_list endless = LIST_OF(&arena, "/dev/zero");
	assert_int_equal(parse_environment(&arena, &endless, &none, &env, &err), -EFBIG);
	struct cli_list empty = LIST_OF(&arena, ""), nameless = LIST_OF(&arena, "=a");
	assert_int_equal(parse_environment(&arena, &none, &empty, &env, &err), -EINVAL);
	assert_int_equal(parse_environment(&arena, &none, &nameless, &env, &err), -EINVAL);
}

static void test_labels(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	char path[64];
	struct oci_pair *pairs;
	size_t count;
	struct masu_error err = { 0 };
	write_file(path, "b=file\nonly\n", 12);
	struct cli_list files = LIST_OF(&arena, path);
	struct cli_list values = LIST_OF(&arena, "z", "a=1", "b=2", "a=3=4");
	assert_int_equal(parse_labels(&arena, &files, &values, &pairs, &count, &err), 0);
	static const char *const expected[][2] = {
		{ "a", "3=4" }, { "b", "2" }, { "only", "" }, { "z", "" }
	};
	assert_int_equal(count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(pairs[i].key, expected[i][0]);
		assert_string_equal(pairs[i].value, expected[i][1]);
	}
	unlink(path);
	struct cli_list none = { 0 }, bad = LIST_OF(&arena, "=a");
	assert_int_equal(parse_labels(&arena, &none, &bad, &pairs, &count, &err), -EINVAL);
	struct cli_list bare = LIST_OF(&arena, "x");
	assert_int_equal(parse_pairs(&arena, "--log-opt", &bare, &pairs, &count, &err), -EINVAL);
	struct cli_list sysctls = LIST_OF(&arena, "net.core.somaxconn=1"),
			host = LIST_OF(&arena, "kernel.core_pattern=|/x"),
			bare_sysctl = LIST_OF(&arena, "net.core.somaxconn");
	assert_int_equal(parse_sysctls(&arena, &sysctls, &pairs, &count, &err), 0);
	assert_int_equal(parse_sysctls(&arena, &host, &pairs, &count, &err), -EINVAL);
	assert_int_equal(parse_sysctls(&arena, &bare_sysctl, &pairs, &count, &err), -EINVAL);
}

static void test_security_options(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	char path[64], option[96];
	const char **list;
	struct masu_error err = { 0 };
	write_file(path, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", 34);
	snprintf(option, sizeof(option), "seccomp=%s", path);
	struct cli_list values =
		LIST_OF(&arena, "no-new-privileges", option, "label=disable", "seccomp=builtin");
	assert_int_equal(parse_security_options(&arena, &values, &list, &err), 0);
	assert_string_equal(list[1], "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
	assert_null(list[3]);
	assert_int_equal(truncate(path, 17), 0);
	assert_int_equal(parse_security_options(&arena, &values, &list, &err), -EINVAL);
	unlink(path);
	assert_int_equal(parse_security_options(&arena, &values, &list, &err), -ENOENT);
	struct cli_list unknown = LIST_OF(&arena, "foo");
	assert_int_equal(parse_security_options(&arena, &unknown, &list, &err), -EINVAL);
}

static void test_network_values(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const char *host;
	assert_int_equal(parse_add_host(&arena, "a:1.2.3.4", &host, NULL), 0);
	assert_string_equal(host, "a:1.2.3.4");
	assert_int_equal(parse_add_host(&arena, "a=[::1]", &host, NULL), 0);
	assert_string_equal(host, "a:::1");
	assert_int_equal(parse_add_host(&arena, "a:::1", &host, NULL), 0);
	assert_int_equal(parse_add_host(&arena, "a:host-gateway", &host, NULL), 0);
	static const char *const hosts[] = { "",    "x",       "x:",	      ":1.2.3.4",
					     "x:y", "x:1.2.3", "a b:1.2.3.4", "a\nb:1.2.3.4" };
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		assert_int_equal(parse_add_host(&arena, hosts[i], &host, NULL), -EINVAL);
	assert_int_equal(parse_dns_server("::1", NULL), 0);
	assert_int_equal(parse_dns_server("1.2.3", NULL), -EINVAL);
	assert_int_equal(parse_dns_search("a.example", NULL), 0);
	assert_int_equal(parse_dns_search(".", NULL), 0);
	static const char *const domains[] = { "", "a b", "a..b", "-a", "a-", ".a", "a\nb" };
	for (size_t i = 0; i < ARRAY_SIZE(domains); i++)
		if (parse_dns_search(domains[i], NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", domains[i]);
	struct cli_list expose = { 0 };
	static const char *const ports[] = { "80", "80/udp", "1-65535/sctp" };
	static const char *const bad_ports[] = { "",	"0",	    "65536",	 "x",
						 "1-0", "80/x",	    "80/",	 "-1",
						 "1-",	"80-90-95", "4294967376" };
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		assert_int_equal(parse_expose(&arena, ports[i], &expose, NULL), 0);
	assert_int_equal(expose.count, 65535 + 2);
	assert_string_equal(expose.items[0], "80/tcp");
	assert_int_equal(parse_expose(&arena, "79-81", &expose, NULL), 0);
	assert_int_equal(expose.count, 65535 + 4);
	for (size_t i = 0; i < ARRAY_SIZE(bad_ports); i++)
		if (parse_expose(&arena, bad_ports[i], &expose, NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", bad_ports[i]);
	assert_int_equal(parse_mac_address("92:d0:c6:0a:29:33", NULL), 0);
	assert_int_equal(parse_mac_address("92:d0:c6:0a:29", NULL), -EINVAL);
	assert_int_equal(parse_mac_address("92:d0:c6:0a:29:3g", NULL), -EINVAL);
}

/* ---- whole command lines ---- */

static int no_run(struct cli_context *context, void *options, int argc, char **argv,
		  struct masu_error *err)
{
	return 0;
}

static int fill(struct arena *arena, struct container_config *config, struct masu_error *err,
		const char *line)
{
	const struct cli_command command = { .name = "run",
					     .options = container_option_table,
					     .option_count = CONTAINER_RUN_OPTION_COUNT,
					     .options_size = sizeof(struct container_options),
					     .run = no_run,
					     .stop_at_positional = true };
	struct container_options options = { 0 };
	char *copy = arena_strdup(arena, line), *save = NULL, *argv[64], **positional;
	int argc = 0, count;
	bool help;
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = streq(word, "''") ? arena_strdup(arena, "") : word;
	for (size_t i = 0; i < CONTAINER_RUN_OPTION_COUNT; i++)
		assert_non_null(container_option_table[i].name);
	container_option_defaults(&options);
	int r = cli_parse(arena, &command, "masu run", argc, argv, &options, &count, &positional,
			  &help, err);
	return r < 0 ? r : container_config_fill(arena, &options, count, positional, config, err);
}

static void test_whole_lines(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct container_config c;
	struct masu_error err = { 0 };
	if (fill(&arena, &c, &err,
		 "-it --rm --name n --hostname h -e A=1 -w /tmp -u 1:2 --entrypoint /e -v /a:/b:ro "
		 "--mount type=tmpfs,target=/t --tmpfs /u -p 8080:80 -p 127.0.0.1::53/udp -m 64m "
		 "--cpus 0.5 --pids-limit 5 --ulimit nofile=1 --ulimit nofile=2 --cap-add "
		 "NET_ADMIN "
		 "--device /dev/null --label a=b --stop-signal INT --sysctl net.core.somaxconn=1 "
		 "img cmd -x --rm") < 0)
		fail_msg("%s", err.message);
	assert_true(c.tty && c.open_stdin && c.stdin_once && c.attach_stdin && c.attach_stdout);
	assert_true(c.auto_remove && c.cmd_set && c.entrypoint_set);
	assert_string_equal(c.image, "img");
	assert_string_equal(c.cmd[1], "-x");
	assert_int_equal(strv_length(c.cmd), 3);
	assert_int_equal(c.mount_count, 3);
	assert_int_equal(c.port_count, 2);
	assert_true(c.memory == 64 << 20 && c.nano_cpus == 500000000 && c.pids_limit == 5);
	assert_int_equal(c.ulimit_count, 1);
	assert_int_equal(c.ulimits[0].soft, 2);
	assert_int_equal(fill(&arena, &c, &err, "--entrypoint '' img"), 0);
	assert_true(c.entrypoint_set && !c.cmd_set);
	assert_string_equal(c.entrypoint[0], "");
	assert_int_equal(c.memory_swappiness, -1);
	assert_int_equal(c.stop_timeout, -1);
	assert_int_equal(fill(&arena, &c, &err, "-a stdout img"), 0);
	assert_true(c.attach_stdout && !c.attach_stderr && !c.attach_stdin && !c.stdin_once);
}

static void test_lines_refused(void **state)
{
	static const struct refusal cases[] = {
		{ "--foo img", "unknown flag: --foo" },
		{ "-Z img", "unknown shorthand flag: 'Z' in -Z" },
		{ "--name", "flag needs an argument: --name" },
		{ "-a foo img", "valid streams are STDIN, STDOUT and STDERR" },
		{ "--rm --restart always img", "cannot specify both --restart and --rm" },
		{ "--restart foo img", "unknown policy 'foo'" },
		{ "--memory-swappiness 101 img", "Valid memory swappiness range is 0-100" },
		{ "--memory zz img", "invalid argument \"zz\" for \"-m, --memory\" flag" },
		{ "--memory -2 img", "invalid argument" },
		{ "--memory 99999999999999999999 img", "invalid argument" },
		{ "--oom-score-adj 1001 img", "range for oom score adj" },
		{ "--cpus 100000 img", "range of CPUs" },
		{ "--cpu-period 1 img", "CPU cfs period" },
		{ "--cpu-quota 999 img", "CPU cfs quota" },
		{ "--blkio-weight 5 img", "range of blkio weight" },
		{ "-w tmp img", "needs to be an absolute path" },
		{ "-v /a:/x -v /b:/x img", "Duplicate mount point: /x" },
		{ "-v /a:/x --tmpfs /x/ img", "Duplicate mount point: /x" },
		{ "-v a:b:c:d img", "invalid volume specification" },
		{ "-p 0 img", "0" },
		{ "-p 65536 img", "65536" },
		{ "-p 80:0 img", "Invalid containerPort: 0" },
		{ "-p 1:2:3:4 img", "1:2:3:4" },
		{ "-p 90-80:90-80 img", "90-80" },
		{ "-p 80-82:80-81 img", "80-82" },
		{ "-p 80:80 -p 80:80 img", "80" },
		{ "--health-timeout soon img", "time: invalid duration" },
		{ "--link a img", "--link is not supported" },
		{ "--pull sometimes img", "must be one of" },
		{ "--platform windows img", "--platform windows" },
		{ "--pid foo img", "--pid: invalid PID mode" },
		{ "--pid container: img", "--pid: invalid PID mode" },
		{ "--uts foo img", "--uts: invalid UTS mode" },
		{ "--userns foo img", "--userns: invalid USER mode" },
		{ "--cgroupns foo img", "--cgroupns: invalid CGROUP mode" },
		{ "--network container:x --hostname h img", "hostname and the network mode" },
		{ "--network container:x -p 80:80 img", "port publishing" },
		{ "--network container:x --dns 1.1.1.1 img", "dns and the network mode" },
		{ "--network host --network-alias a img", "only supported for user-defined" },
		{ "--network name=x,nope=1 img", "invalid field: nope" },
		{ "--network alias=x img", "network name is not set" },
		{ "--network name=x,ip=1.2.3 img", "not an IPv4 address" },
		{ "--network name=x,ip=1.2.3.4 --ip 1.2.3.5 img", "per-network IP" },
		{ "--network name=x,link-local-ip=1.2.3.4 img", "not supported" },
		{ "--mac-address zz img", "not a valid mac address" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct container_config c;
		struct masu_error err = { 0 };
		int r = fill(&arena, &c, &err, cases[i].value);
		if (r >= 0 || !strstr(err.message, cases[i].message))
			fail_msg("%s: %d \"%s\"", cases[i].value, r, err.message);
		if (err.exit_status != 125)
			fail_msg("%s: status %d", cases[i].value, err.exit_status);
	}
}

/* Case 37: memory may end at any allocation; the answer is one line, never a crash. */
static void test_out_of_memory(void **state)
{
	int r = -ENOMEM;
	for (size_t limit = 9216; r < 0 && limit < 1 << 20; limit += 16) {
		_cleanup_arena_ struct arena arena;
		struct container_config c;
		struct masu_error err = { 0 };
		arena_init(&arena, limit);
		/* The test's own copies come first and must fit. */
		char *reserve = arena_alloc(&arena, 8192);
		assert_non_null(reserve);
		r = fill(&arena, &c, &err,
			 "-it -e A=1 -e B=2 -l a=b -v /a:/b -v vol:/y --mount type=tmpfs,target=/t "
			 "--tmpfs "
			 "/u -p 80:80 --ulimit nofile=1 --device /dev/null --sysctl "
			 "net.core.somaxconn=1 "
			 "--add-host a:1.2.3.4 --log-opt a=b --security-opt no-new-privileges img "
			 "cmd");
		if (r < 0 && (r != -ENOMEM || !err.message[0]))
			fail_msg("limit %zu: %d \"%s\"", limit, r, err.message);
	}
	assert_int_equal(r, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_volumes),
		cmocka_unit_test(test_relative_volume_source),
		cmocka_unit_test(test_volumes_refused),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_mounts_refused),
		cmocka_unit_test(test_tmpfs),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_device_rules),
		cmocka_unit_test(test_ulimits),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_lists_grow),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_refused),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_security_options),
		cmocka_unit_test(test_network_values),
		cmocka_unit_test(test_whole_lines),
		cmocka_unit_test(test_lines_refused),
		cmocka_unit_test(test_out_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
