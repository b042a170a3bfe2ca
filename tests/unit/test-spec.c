/* config.json: what is accepted, what is refused and by which words (HOSTILE cases 1-6 and 13). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "oci/runtime_spec.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

#define VERSION	      "\"ociVersion\":\"1.0.2\""
#define ROOT	      "\"root\":{\"path\":\"rootfs\"}"
#define DOC(rest)     "{" VERSION "," ROOT "," rest "}"
#define PROCESS(rest) DOC("\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"" rest "}")
#define LINUX(rest)   DOC("\"linux\":{" rest "}")
#define MOUNT(rest)   DOC("\"mounts\":[{\"destination\":\"/x\"," rest "}]")

static int parse(struct arena *arena, const char *text, struct oci_spec *ret,
		 struct masu_error *err)
{
	return oci_spec_parse(arena, text, strlen(text), ret, err);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "[]", "expected an object" },
		{ "{" ROOT "}", "ociVersion: missing" },
		{ "{" VERSION "}", "root: missing" },
		{ "{" VERSION ",\"root\":{}}", "root.path: missing" },
		{ "{" VERSION ",\"root\":{\"path\":\"\"}}", "root.path: must not be empty" },
		{ "{\"ociVersion\":\"\"," ROOT "}", "ociVersion: must not be empty" },
		{ "{\"ociVersion\":\"1.0\"," ROOT "}", "ociVersion: \"1.0\" is not a semantic" },
		{ "{\"ociVersion\":\"1.0.01\"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":\"v1.0.0\"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":\"1.0.0-\"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":\"1.0.0-01\"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":\"1.0.0+\"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":\"1.0.0 \"," ROOT "}", "not a semantic version" },
		{ "{\"ociVersion\":1," ROOT "}", "ociVersion: expected a string" },
		{ "{\"ociVersion\":\"2.0.0\"," ROOT "}", "not supported" },
		{ "{\"ociVersion\":\"0.1.0\"," ROOT "}", "not supported" },
		{ DOC("\"process\":{\"args\":[\"sh\"]}"), "process.cwd: missing" },
		{ DOC("\"process\":{\"args\":[\"sh\"],\"cwd\":\"\"}"), "process.cwd: must not" },
		{ DOC("\"process\":{\"args\":[\"sh\"],\"cwd\":\"tmp\"}"),
		  "process.cwd: \"tmp\" is not an absolute path" },
		{ DOC("\"process\":{\"args\":[\"sh\"],\"cwd\":\"../..\"}"), "not an absolute" },
		{ DOC("\"process\":{\"cwd\":\"/\"}"), "process.args: missing" },
		{ DOC("\"process\":{\"cwd\":\"/\",\"args\":[]}"), "process.args: must have" },
		{ DOC("\"process\":{\"cwd\":\"/\",\"args\":[\"a\",1]}"),
		  "process.args[1]: expected a string" },
		{ DOC("\"process\":{\"cwd\":\"/\",\"args\":\"sh\"}"), "process.args: expected" },
		{ DOC("\"process\":{\"cwd\":\"/\",\"args\":[\"a\\u0000b\"]}"), "NUL" },
		{ PROCESS(",\"env\":[\"A=b\\u0000\"]"), "NUL" },
		{ DOC("\"process\":{\"cwd\":\"/\\u0000\",\"args\":[\"a\"]}"), "NUL" },
		{ PROCESS(",\"user\":{\"uid\":-1,\"gid\":0}"), "process.user.uid: -1 is not" },
		{ PROCESS(",\"user\":{\"uid\":4294967295,\"gid\":0}"), "process.user.uid" },
		{ PROCESS(",\"user\":{\"uid\":4294967296,\"gid\":0}"), "process.user.uid" },
		{ PROCESS(",\"user\":{\"uid\":0,\"gid\":-1}"), "process.user.gid" },
		{ PROCESS(",\"user\":{\"uid\":1.0,\"gid\":0}"), "process.user.uid: 1.0 is not" },
		{ PROCESS(",\"user\":{\"uid\":\"0\",\"gid\":0}"),
		  "process.user.uid: expected a number" },
		{ PROCESS(",\"user\":{\"additionalGids\":[1,4294967296]}"),
		  "process.user.additionalGids[1]" },
		{ PROCESS(",\"user\":{\"umask\":4096}"), "process.user.umask" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":1}]"),
		  "process.rlimits[0].type: unknown value \"RLIMIT_X\"" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"nofile\",\"soft\":1,\"hard\":1}]"),
		  "unknown value" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1}]"),
		  "process.rlimits[0].hard: missing" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":-1,\"hard\":1}]"),
		  "process.rlimits[0].soft" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]"),
		  "process.rlimits[0]: the soft limit" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":"
			  "18446744073709551616}]"),
		  "process.rlimits[0].hard" },
		{ PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},"
			  "{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]"),
		  "process.rlimits[1]: second entry for RLIMIT_CPU" },
		{ PROCESS(",\"capabilities\":{\"bounding\":\"CAP_KILL\"}"),
		  "process.capabilities.bounding: expected an array" },
		{ PROCESS(",\"capabilities\":[\"CAP_KILL\"]"), "process.capabilities: expected" },
		{ PROCESS(",\"oomScoreAdj\":1001"), "process.oomScoreAdj" },
		{ PROCESS(",\"ioPriority\":{\"class\":\"X\",\"priority\":1}"),
		  "process.ioPriority.class" },
		{ PROCESS(",\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}"),
		  "process.ioPriority.priority" },
		{ PROCESS(",\"scheduler\":{}"), "process.scheduler.policy: missing" },
		{ PROCESS(",\"scheduler\":{\"policy\":\"SCHED_X\"}"), "process.scheduler.policy" },
		{ PROCESS(",\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"flags\":[\"X\"]}"),
		  "process.scheduler.flags[0]: unknown value \"X\"" },
		{ PROCESS(",\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"),
		  "priority needs" },
		{ PROCESS(",\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":20}"),
		  "process.scheduler.nice" },
		{ PROCESS(",\"terminal\":\"true\""), "process.terminal: expected true or false" },
		{ DOC("\"hostname\":\"h\""), "hostname: needs a uts namespace" },
		{ DOC("\"domainname\":\"h\""), "domainname: needs a uts namespace" },
		{ DOC("\"mounts\":[{\"type\":\"proc\"}]"), "mounts[0].destination: missing" },
		{ DOC("\"mounts\":[{\"destination\":\"\"}]"), "mounts[0].destination: must not" },
		{ DOC("\"mounts\":{}"), "mounts: expected an array" },
		{ MOUNT("\"options\":[1]"), "mounts[0].options[0]: expected a string" },
		{ MOUNT("\"source\":\"/s\""), "mounts[0]: needs a type" },
		{ MOUNT("\"options\":[\"bind\"]"), "mounts[0]: a bind mount needs a source" },
		{ MOUNT("\"source\":\"/s\",\"options\":[\"bind\",\"idmap=uids=0-1-2\"]"),
		  "uidMappings and gidMappings" },
		{ MOUNT("\"type\":\"tmpfs\",\"uidMappings\":[{\"containerID\":0,\"hostID\":0,"
			"\"size\":1}]"),
		  "mounts[0]: uidMappings and gidMappings go together" },
		{ DOC("\"hooks\":{\"prestart\":[{\"path\":\"x\"}]}"),
		  "hooks.prestart[0].path: \"x\" is not an absolute path" },
		{ DOC("\"hooks\":{\"poststop\":[{\"args\":[]}]}"),
		  "hooks.poststop[0].path: missing" },
		{ DOC("\"hooks\":{\"poststart\":[{\"path\":\"/x\",\"timeout\":0}]}"),
		  "hooks.poststart[0].timeout" },
		{ DOC("\"annotations\":{\"a\":1}"), "annotations.a: expected a string" },
		{ LINUX("\"namespaces\":[{\"type\":\"pids\"}]"),
		  "linux.namespaces[0].type: unknown value \"pids\"" },
		{ LINUX("\"namespaces\":[{}]"), "linux.namespaces[0].type: missing" },
		{ LINUX("\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]"),
		  "linux.namespaces[1].type: second entry" },
		{ LINUX("\"namespaces\":[{\"type\":\"pid\",\"path\":\"proc/1\"}]"),
		  "linux.namespaces[0].path: \"proc/1\" is not an absolute path" },
		{ LINUX("\"namespaces\":[{\"type\":\"user\"}]"), "new user namespace needs" },
		{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"),
		  "need a user namespace" },
		{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":0}]"),
		  "linux.uidMappings[0]: the range" },
		{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":4294967295,\"size\":2}]"),
		  "linux.uidMappings[0]: the range" },
		{ LINUX("\"uidMappings\":[{\"containerID\":0,\"hostID\":-1,\"size\":2}]"),
		  "linux.uidMappings[0].hostID" },
		{ LINUX("\"timeOffsets\":{\"monotonic\":{\"secs\":1}}"), "need a time namespace" },
		{ LINUX("\"timeOffsets\":{\"tai\":{}}"),
		  "linux.timeOffsets: unknown clock \"tai\"" },
		{ LINUX("\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}"), "nanosecs" },
		{ LINUX("\"devices\":[{\"type\":\"x\",\"path\":\"/d\"}]"),
		  "linux.devices[0].type: unknown value" },
		{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"d\",\"major\":1,\"minor\":1}]"),
		  "linux.devices[0].path" },
		{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/"
			"d\",\"major\":4096,\"minor\":1}]"),
		  "linux.devices[0].major" },
		{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/d\",\"major\":-1,\"minor\":1}]"),
		  "major or minor" },
		{ LINUX("\"devices\":[{\"type\":\"c\",\"path\":\"/d\"}]"),
		  "linux.devices[0]: major or minor: missing" },
		{ LINUX("\"netDevices\":{\"eth0\":{\"name\":23}}"),
		  "linux.netDevices.eth0.name: expected a string" },
		{ LINUX("\"netDevices\":{\"a/b\":{}}"), "not a valid name of a network device" },
		{ LINUX("\"netDevices\":{\"eth0\":{}}"), "need a network namespace" },
		{ LINUX("\"rootfsPropagation\":\"public\""), "linux.rootfsPropagation: unknown" },
		{ LINUX("\"maskedPaths\":[\"/a\",\"b\"]"), "linux.maskedPaths[1]: \"b\" is not" },
		{ LINUX("\"readonlyPaths\":[\"b\"]"), "linux.readonlyPaths[0]" },
		{ LINUX("\"personality\":{}"), "linux.personality.domain: missing" },
		{ LINUX("\"personality\":{\"domain\":\"BSD\"}"),
		  "linux.personality.domain: unknown" },
		{ LINUX("\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"X\"]}"),
		  "linux.personality.flags[0]" },
		{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_X\"}"),
		  "linux.memoryPolicy.mode: unknown" },
		{ LINUX("\"intelRdt\":{\"memBwSchema\":\"L3:1\"}"), "memBwSchema" },
		{ LINUX("\"intelRdt\":{\"closID\":\"../x\"}"), "closID" },
		{ LINUX("\"intelRdt\":{\"schemata\":[\"a\\nb\"]}"), "newline" },
		{ LINUX("\"seccomp\":{}"), "linux.seccomp.defaultAction: missing" },
		{ LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]}"),
		  "linux.seccomp.flags[0]: unknown value \"X\"" },
		{ LINUX("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":"
			"\"m\"}"),
		  "listenerMetadata needs" },
		{ LINUX("\"resources\":{\"memory\":{\"limit\":-2}}"),
		  "linux.resources.memory.limit: -2" },
		{ LINUX("\"resources\":{\"memory\":{\"limit\":9223372036854775808}}"),
		  "memory.limit" },
		{ LINUX("\"resources\":{\"memory\":{\"swappiness\":101}}"), "memory.swappiness" },
		{ LINUX("\"resources\":{\"cpu\":{\"shares\":-1}}"), "cpu.shares" },
		{ LINUX("\"resources\":{\"cpu\":{\"idle\":2}}"), "cpu.idle" },
		{ LINUX("\"resources\":{\"cpu\":{\"cpus\":1}}"), "cpu.cpus: expected a string" },
		{ LINUX("\"resources\":{\"pids\":{\"limit\":\"1\"}}"),
		  "pids.limit: expected a number" },
		{ LINUX("\"resources\":{\"devices\":[{\"access\":\"r\"}]}"),
		  "devices[0].allow: missing" },
		{ LINUX("\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"x\"}]}"),
		  "devices[0].access" },
		{ LINUX("\"resources\":{\"devices\":[{\"allow\":true,\"type\":\"p\"}]}"),
		  "devices[0].type" },
		{ LINUX("\"resources\":{\"devices\":[{\"allow\":true,\"major\":-2}]}"),
		  "devices[0].major" },
		{ LINUX("\"resources\":{\"blockIO\":{\"weight\":65536}}"), "blockIO.weight" },
		{ LINUX("\"resources\":{\"blockIO\":{\"weightDevice\":[{\"major\":1,\"minor\":1}]}"
			"}"),
		  "weightDevice[0]: needs weight" },
		{ LINUX("\"resources\":{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":1,"
			"\"minor\":1,\"rate\":-1}]}}"),
		  "throttleReadBpsDevice[0].rate" },
		{ LINUX("\"resources\":{\"hugepageLimits\":[{\"limit\":1,\"pageSize\":\"64kB\"}]}"),
		  "hugepageLimits[0]: pageSize \"64kB\"" },
		{ LINUX("\"resources\":{\"hugepageLimits\":[{\"limit\":1,\"pageSize\":\"../"
			"2MB\"}]}"),
		  "pageSize" },
		{ LINUX("\"resources\":{\"rdma\":{\"m\":{\"hcaHandles\":\"x\"}}}"),
		  "rdma.m.hcaHandles: expected a number" },
		{ LINUX("\"resources\":{\"rdma\":{\"m\":{}}}"), "rdma.m: needs" },
		{ LINUX("\"resources\":{\"network\":{\"classID\":4294967296}}"),
		  "network.classID" },
		{ LINUX("\"resources\":{\"unified\":{\"../x\":\"1\"}}"),
		  "not the name of a cgroup file" },
		{ DOC("\"linux\":1"), "linux: expected an object" },
		{ DOC("\"hostname\":\"a\",\"hostname\":\"b\""), "duplicate key \"hostname\"" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_spec spec = { .version = "untouched" };
		struct masu_error err = { 0 };
		int r = parse(&arena, cases[i].text, &spec, &err);
		if (r != -EINVAL || !strstr(err.message, cases[i].message))
			fail_msg("%s\n%d \"%s\", expected \"%s\"", cases[i].text, r, err.message,
				 cases[i].message);
		assert_string_equal(spec.version, "untouched");
	}
}

static void test_accepted(void **state)
{
	static const char *const cases[] = {
		"{\"ociVersion\":\"1.0.0-rc5+dev.1\"," ROOT "}",
		"{\"ociVersion\":\"1.2.0+0\"," ROOT "}",
		"{\"ociVersion\":\"1.1.0-alpha-1.x.7\"," ROOT "}",
		"{" VERSION "," ROOT ",\"unknown\":{\"a\":[1]},\"vm\":{}}",
		DOC("\"process\":null,\"mounts\":null,\"hooks\":null,\"linux\":null"),
		PROCESS(",\"user\":{\"uid\":4294967294,\"gid\":2147483648}"),
		PROCESS(",\"env\":[\"NOEQUALS\",\"=\",\"\"]"),
		PROCESS(",\"capabilities\":{}"),
		MOUNT("\"options\":[\"rshared\"]"),
		MOUNT("\"type\":\"bind\",\"source\":\"s\""),
		LINUX("\"namespaces\":[{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}]"),
		LINUX("\"rootfsPropagation\":\"\",\"cgroupsPath\":\"\""),
		LINUX("\"devices\":[{\"type\":\"p\",\"path\":\"/p\"}]"),
		LINUX("\"resources\":{\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1}}"),
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_spec spec;
		struct masu_error err = { 0 };
		if (parse(&arena, cases[i], &spec, &err) < 0)
			fail_msg("%s: %s", cases[i], err.message);
	}
}

/* config.md: capabilities that cannot be granted are a warning. */
static void test_unknown_capability_is_dropped(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct oci_spec spec;
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, STDERR_FILENO);
	assert_int_equal(parse(&arena,
			       PROCESS(",\"capabilities\":{\"bounding\":[\"CAP_TEST\",\"CAP_KILL\","
				       "\"KILL\"],\"ambient\":[\"CAP_CHECKPOINT_RESTORE\"]}"),
			       &spec, NULL),
			 0);
	assert_true(spec.process.has_capabilities);
	assert_true(spec.process.capabilities.bounding == OCI_CAP_BIT(5));
	assert_true(spec.process.capabilities.ambient == OCI_CAP_BIT(40));
}

static void load(struct arena *arena, const char *name, struct oci_spec *spec, char **ret_text,
		 size_t *ret_len)
{
	char path[512];
	struct masu_error err = { 0 };
	assert_int_equal(str_format(path, sizeof(path), "%s/tests/fuzz/corpus/spec/%s",
				    getenv("MASU_SOURCE_ROOT"), name),
			 0);
	assert_int_equal(fs_read_arena(AT_FDCWD, path, 1 << 20, arena, ret_text, ret_len), 0);
	if (oci_spec_parse(arena, *ret_text, *ret_len, spec, &err) < 0)
		fail_msg("%s: %s", name, err.message);
}

static void check_process(const struct oci_process *p)
{
	assert_true(p->present && p->terminal && p->has_console_size && p->no_new_privileges);
	assert_int_equal(p->console_height, 25);
	assert_int_equal(p->uid, 1);
	assert_int_equal(p->gid, 2);
	assert_true(p->has_umask && p->umask == 077);
	assert_int_equal(p->additional_gid_count, 2);
	assert_int_equal(p->additional_gids[1], 6);
	assert_string_equal(p->args[2], "echo \"h\xc3\xa9\"");
	assert_null(p->args[3]);
	assert_string_equal(p->env[1], "EMPTY=");
	assert_int_equal(p->rlimit_count, 2);
	assert_int_equal(p->rlimits[0].resource, RLIMIT_NOFILE);
	assert_true(p->rlimits[0].hard == RLIM_INFINITY);
	assert_string_equal(p->rlimits[1].name, "RLIMIT_CORE");
	assert_true(p->has_oom_score_adj && p->oom_score_adj == -5);
	assert_int_equal(p->scheduler.policy, SCHED_DEADLINE);
	assert_int_equal(p->scheduler.nice, -5);
	assert_true(p->scheduler.flags == (SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM));
	assert_true(p->scheduler.period == 3000000);
	assert_true(p->has_io_priority && p->io_priority_class == 2 && p->io_priority == 0);
	assert_string_equal(p->cpu_affinity_final, "1");
}

static void check_linux(const struct oci_spec *spec)
{
	for (int i = 0; i < OCI_NS_COUNT; i++)
		assert_true(spec->namespaces[i].present && !spec->namespaces[i].path);
	assert_int_equal(spec->id_map.uid[0].host_id, 100000);
	assert_true(spec->monotonic.set && spec->monotonic.secs == -5);
	assert_int_equal(spec->monotonic.nanosecs, 7);
	assert_true(spec->boottime.set && spec->boottime.secs == 9);
	assert_int_equal(spec->device_count, 3);
	assert_int_equal(spec->devices[0].mode, 0666);
	assert_int_equal(spec->devices[1].type, 'p');
	assert_int_equal(spec->devices[2].type, 'c');
	assert_string_equal(spec->net_devices[0].new_name, "c0");
	assert_null(spec->net_devices[1].new_name);
	assert_int_equal(spec->personality, 8);
	assert_int_equal(spec->memory_policy.mode, 3 | 1 << 15);
	assert_true(spec->rootfs_propagation == (MS_SLAVE | MS_REC));
	assert_int_equal(spec->seccomp.flags, 2);
	assert_memory_equal(spec->seccomp.source, "{", 1);
	assert_int_equal(spec->seccomp.source[spec->seccomp.source_len - 1], '}');
	const struct oci_resources *r = &spec->resources;
	assert_true(r->present && r->blkio.present);
	assert_int_equal(r->device_count, 2);
	assert_int_equal(r->devices[0].type, 'a');
	assert_true(r->devices[1].has_minor && r->devices[1].minor == -1);
	assert_true(r->devices[1].read && r->devices[1].write && !r->devices[1].mknod);
	assert_true(r->memory.has_disable_oom_killer && !r->memory.disable_oom_killer);
	assert_true(r->memory.swap.set && r->memory.swap.value == -1);
	assert_true(r->pids_limit.set && r->pids_limit.value == 0);
	assert_int_equal(r->blkio.write_iops.list[0].rate, 300);
	assert_true(r->hugepages[0].limit == 9223372036854772000u);
	assert_string_equal(r->rdma[0].name, "mlx5_1");
	assert_string_equal(r->unified[0].key, "io.max");
}

static void test_full_document(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct oci_spec spec;
	char *text;
	size_t len;
	load(&arena, "full.json", &spec, &text, &len);
	check_process(&spec.process);
	check_linux(&spec);
	assert_int_equal(spec.mount_count, 5);
	assert_string_equal(spec.mounts[1].data, "mode=755,size=65536k");
	assert_string_equal(spec.mounts[4].destination, "/rel");
	assert_true(spec.mounts[2].bind && spec.mounts[2].recursive_bind);
	assert_true(spec.mounts[2].source_nofollow && !spec.mounts[2].target_nofollow);
	assert_true(spec.mounts[3].bind && !spec.mounts[3].recursive_bind && spec.mounts[3].idmap);
	assert_true(spec.mounts[4].idmap_recursive && spec.mounts[4].copy_up);
	assert_string_equal(spec.hooks[OCI_HOOK_PRESTART].list[0].args[1], "a");
	assert_int_equal(spec.hooks[OCI_HOOK_PRESTART].list[0].timeout, 3);
	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		assert_int_equal(spec.hooks[i].count, 1);
	assert_string_equal(spec.annotations[1].value, "");
}

static void render(const struct oci_spec *spec, struct buf *out)
{
	struct json_writer w;
	buf_init(out, 0);
	json_writer_init(&w, out, false);
	oci_spec_write(&w, spec);
	assert_int_equal(buf_error(out), 0);
}

static void test_round_trip(void **state)
{
	static const char *const files[] = { "full.json", "minimal.json", "nulls.json" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		_cleanup_buf_ struct buf first, second;
		struct oci_spec spec, again;
		char *text;
		size_t len;
		load(&arena, files[i], &spec, &text, &len);
		render(&spec, &first);
		assert_int_equal(oci_spec_parse(&arena, first.data, first.len, &again, NULL), 0);
		render(&again, &second);
		assert_string_equal(buf_str(&first), buf_str(&second));
		if (streq(files[i], "full.json")) {
			check_process(&again.process);
			check_linux(&again);
		}
	}
}

/* Case 1: no prefix of a document is accepted. */
static void test_truncated(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct oci_spec spec;
	char *text;
	size_t len;
	load(&arena, "full.json", &spec, &text, &len);
	while (len > 0 && text[len - 1] != '}')
		len--;
	for (size_t cut = 0; cut < len; cut++) {
		_cleanup_arena_ struct arena scratch = { 0 };
		assert_true(oci_spec_parse(&scratch, text, cut, &spec, NULL) < 0);
	}
}

/* Case 37: memory may end at any allocation. */
static void test_out_of_memory(void **state)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct oci_spec spec;
	char *text;
	size_t len;
	load(&arena, "full.json", &spec, &text, &len);
	int r = -ENOMEM;
	for (size_t limit = 1; r == -ENOMEM; limit += 64) {
		_cleanup_arena_ struct arena small = { 0 };
		struct masu_error err = { 0 };
		arena_init(&small, limit);
		r = oci_spec_parse(&small, text, len, &spec, &err);
		assert_true(r == 0 || r == -ENOMEM);
		assert_true(r == 0 || strstr(err.message, "out of memory"));
	}
	assert_int_equal(r, 0);
}

static void options_of(struct arena *arena, struct oci_mount *mount, const char *list)
{
	char *copy = arena_strdup(arena, list), *save = NULL;
	const char *options[16];
	size_t count = 0;
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		options[count++] = word;
	*mount = (struct oci_mount) { 0 };
	assert_int_equal(oci_mount_options(arena, options, count, mount, NULL), 0);
}

static void test_mount_options(void **state)
{
#define ATIME MOUNT_ATTR__ATIME
	static const struct {
		const char *options;
		uint64_t set, clear, rec_set, rec_clear;
		unsigned long sb, propagation;
		const char *data;
	} cases[] = {
		{ "", 0, 0, 0, 0, 0, 0, "" },
		{ "defaults", 0, 0, 0, 0, 0, 0, "" },
		{ "ro", MOUNT_ATTR_RDONLY, 0, 0, 0, MS_RDONLY, 0, "" },
		{ "ro rw", 0, MOUNT_ATTR_RDONLY, 0, 0, 0, 0, "" },
		{ "rw ro", MOUNT_ATTR_RDONLY, 0, 0, 0, MS_RDONLY, 0, "" },
		{ "nosuid nodev noexec", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		  0, 0, 0, 0, 0, "" },
		{ "nosuid suid nodev dev noexec exec", 0,
		  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0, 0, 0, "" },
		{ "noatime", MOUNT_ATTR_NOATIME, ATIME, 0, 0, 0, 0, "" },
		{ "noatime strictatime", MOUNT_ATTR_STRICTATIME, ATIME, 0, 0, 0, 0, "" },
		{ "strictatime relatime", 0, ATIME, 0, 0, 0, 0, "" },
		{ "nodiratime noatime", MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOATIME, ATIME, 0, 0, 0,
		  0, "" },
		{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0, 0, 0, 0, 0, "" },
		{ "rro rnosuid rnodev rnoexec", 0, 0,
		  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0,
		  0, 0, "" },
		{ "rro rrw rnoatime", 0, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR_RDONLY | ATIME, 0, 0,
		  "" },
		{ "rsymfollow rdiratime", 0, 0, 0, MOUNT_ATTR_NOSYMFOLLOW | MOUNT_ATTR_NODIRATIME,
		  0, 0, "" },
		{ "sync dirsync lazytime iversion silent mand", 0, 0, 0, 0,
		  MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME | MS_I_VERSION | MS_SILENT |
			  MS_MANDLOCK,
		  0, "" },
		{ "sync async lazytime nolazytime silent loud", 0, 0, 0, 0, 0, 0, "" },
		{ "rprivate", 0, 0, 0, 0, 0, MS_PRIVATE | MS_REC, "" },
		{ "private rslave", 0, 0, 0, 0, 0, MS_SLAVE | MS_REC, "" },
		{ "mode=755 ro size=1k unknown", MOUNT_ATTR_RDONLY, 0, 0, 0, MS_RDONLY, 0,
		  "mode=755,size=1k,unknown" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_mount m;
		options_of(&arena, &m, cases[i].options);
		if (m.attr_set != cases[i].set || m.attr_clear != cases[i].clear ||
		    m.rec_attr_set != cases[i].rec_set || m.rec_attr_clear != cases[i].rec_clear ||
		    m.sb_flags != cases[i].sb || m.propagation != cases[i].propagation ||
		    !streq(m.data, cases[i].data))
			fail_msg("options \"%s\"", cases[i].options);
	}
}

/* Every option that config.md lists is understood, none ends up in the filesystem's data. */
static void test_every_mount_option_is_known(void **state)
{
	static const char *const names[] = {
		"async",
		"atime",
		"bind",
		"defaults",
		"dev",
		"diratime",
		"dirsync",
		"exec",
		"iversion",
		"lazytime",
		"loud",
		"mand",
		"noatime",
		"nodev",
		"nodiratime",
		"noexec",
		"noiversion",
		"nolazytime",
		"nomand",
		"norelatime",
		"nostrictatime",
		"nosuid",
		"nosymfollow",
		"private",
		"ratime",
		"rbind",
		"rdev",
		"rdiratime",
		"relatime",
		"remount",
		"rexec",
		"rnoatime",
		"rnodev",
		"rnodiratime",
		"rnoexec",
		"rnorelatime",
		"rnostrictatime",
		"rnosuid",
		"rnosymfollow",
		"ro",
		"rprivate",
		"rrelatime",
		"rro",
		"rrw",
		"rshared",
		"rslave",
		"rstrictatime",
		"rsuid",
		"rsymfollow",
		"runbindable",
		"rw",
		"shared",
		"silent",
		"slave",
		"strictatime",
		"suid",
		"symfollow",
		"sync",
		"tmpcopyup",
		"unbindable",
		"idmap",
		"ridmap",
		"src-nofollow",
		"dest-nofollow",
		"copy-symlink",
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		struct oci_mount m;
		options_of(&arena, &m, names[i]);
		if (*m.data)
			fail_msg("%s is not known", names[i]);
	}
}

static void test_names(void **state)
{
	for (unsigned cap = 0; oci_capability_name(cap); cap++) {
		assert_int_equal(oci_capability_number(oci_capability_name(cap)), cap);
		assert_int_equal(oci_capability_number(oci_capability_name(cap) + 4), cap);
	}
	assert_int_equal(oci_capability_number("cap_net_admin"), 12);
	assert_int_equal(oci_capability_number("CAP_"), -1);
	assert_int_equal(oci_capability_number("ALL"), -1);
	assert_null(oci_capability_name(64));
	for (int ns = 0; ns < OCI_NS_COUNT; ns++)
		assert_int_equal(oci_namespace_number(oci_namespace_name(ns)), ns);
	assert_int_equal(oci_namespace_number("mnt"), -1);
	assert_int_equal(oci_namespace_clone_flag(OCI_NS_TIME), CLONE_NEWTIME);
	assert_int_equal(oci_rlimit_number("nofile"), RLIMIT_NOFILE);
	assert_int_equal(oci_rlimit_number("RLIMIT_RTTIME"), RLIMIT_RTTIME);
	assert_int_equal(oci_rlimit_number("RLIMIT_"), -1);
	assert_string_equal(oci_rlimit_name(RLIMIT_STACK), "RLIMIT_STACK");
}

static void test_parts_alone(void **state)
{
	static const char process[] = "{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":7}}";
	static const char resources[] = "{\"cpu\":{\"quota\":-1}}";
	_cleanup_arena_ struct arena arena = { 0 };
	struct oci_process p;
	struct oci_resources r;
	struct masu_error err = { 0 };
	assert_int_equal(oci_process_parse(&arena, process, strlen(process), &p, &err), 0);
	assert_true(p.present && p.uid == 7);
	assert_int_equal(oci_process_parse(&arena, "{}", 2, &p, &err), -EINVAL);
	assert_string_equal(err.message, "args: missing");
	assert_int_equal(oci_resources_parse(&arena, resources, strlen(resources), &r, &err), 0);
	assert_true(r.present && r.cpu.quota.set && r.cpu.quota.value == -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_unknown_capability_is_dropped),
		cmocka_unit_test(test_full_document),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_mount_options),
		cmocka_unit_test(test_every_mount_option_is_known),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_parts_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
