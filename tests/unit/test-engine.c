/* The engine's parts that need no container: table, names, records, users. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "engine/config.h"
#include "engine/internal.h"
#include "engine/lifecycle.h"
#include "engine/protocol.h"
#include "engine/validate.h"
#include "state/record.h"
#include "sys/fs.h"

struct fixture {
	char root[64], run[64];
	struct engine engine;
	struct arena arena;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct masu_error err = { 0 };
	strcpy(f->root, "/tmp/masu-engine-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->run, sizeof(f->run), "%s/run", f->root);
	arena_init(&f->arena, 0);
	assert_int_equal(engine_open(f->root, f->run, "/nonexistent", "masu", &f->engine, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	engine_close(&f->engine);
	arena_free(&f->arena);
	assert_int_equal(fs_remove_tree(AT_FDCWD, f->root), 0);
	free(f);
	return 0;
}

/* ---- stats ---- */

static void test_cpu_percentage(void **state)
{
	struct engine_stats before = { .running = true, .taken_ns = 1000000000, .cpu_ns = 500 };
	struct engine_stats now = before;
	assert_int_equal(engine_stats_cpu(&before, &now), 0);
	now.taken_ns += 2000000000;
	now.cpu_ns += 1000000000;
	assert_int_equal(engine_stats_cpu(&before, &now), 5000);
	/* More than one CPU. */
	now.cpu_ns = before.cpu_ns + 7000000000;
	assert_int_equal(engine_stats_cpu(&before, &now), 35000);
	/* Centuries of CPU time do not overflow. */
	now.cpu_ns = UINT64_MAX;
	assert_true(engine_stats_cpu(&before, &now) > 0);
	/* Started again in between, or not running any more. */
	now.cpu_ns = 100;
	assert_int_equal(engine_stats_cpu(&before, &now), 0);
	now.cpu_ns = 600;
	now.running = false;
	assert_int_equal(engine_stats_cpu(&before, &now), 0);
}

/* ---- lifecycle ---- */

static void test_lifecycle_is_complete(void **state)
{
	for (int status = CONTAINER_CREATED; status <= CONTAINER_DEAD; status++)
		for (int verb = 0; verb < VERB_COUNT; verb++) {
			const struct lifecycle_rule *rule = lifecycle_rule(
				(enum container_status)status, (enum lifecycle_verb)verb);
			assert_true((rule->answer == LIFECYCLE_REFUSED) == (rule->message != NULL));
		}
}

static void test_lifecycle_answers(void **state)
{
	struct masu_error err = { 0 };
	struct container c = { .name = "web", .status = CONTAINER_RUNNING };
	assert_int_equal(lifecycle_check(&c, VERB_START, &err), 1);
	assert_int_equal(lifecycle_check(&c, VERB_STOP, &err), 0);
	assert_int_equal(lifecycle_check(&c, VERB_REMOVE, &err), -EBUSY);
	assert_non_null(strstr(err.message, "running container web"));
	assert_int_equal(lifecycle_check(&c, VERB_REMOVE_FORCE, &err), 0);
	c.status = CONTAINER_EXITED;
	assert_int_equal(lifecycle_check(&c, VERB_STOP, &err), 1);
	assert_int_equal(lifecycle_check(&c, VERB_EXEC, &err), -EBUSY);
	assert_string_equal(err.message, "container web is not running");
}

/* ---- names ---- */

static const char id_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char id_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

static void make_record(struct fixture *f, const char *id)
{
	int dir, lock;
	assert_int_equal(store_make(&f->engine, id, &dir, &lock, NULL), 0);
	struct container c = { 0 };
	strcpy(c.id, id);
	assert_int_equal(store_publish(&f->engine, &c, NULL), 0);
	close(dir);
	close(lock);
}

static void test_name_belongs_to_one(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	char found[65];
	make_record(f, id_a);
	assert_int_equal(name_claim(&f->engine, "web", id_a, &err), 0);
	assert_int_equal(name_claim(&f->engine, "web", id_b, &err), -EEXIST);
	assert_non_null(strstr(err.message, "already in use by container \"aaaa"));
	assert_int_equal(name_lookup(&f->engine, "web", found), 0);
	assert_string_equal(found, id_a);
	/* Not its own: nothing happens. */
	name_release(&f->engine, "web", id_b);
	assert_int_equal(name_lookup(&f->engine, "web", found), 0);
	name_release(&f->engine, "web", id_a);
	assert_int_equal(name_lookup(&f->engine, "web", found), -ENOENT);
}

static void test_name_of_killed_creation_is_taken_over(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	char found[65], path[CONTAINER_PATH_MAX];
	int dir, lock;
	/* Being made: a directory in the making whose lock is held. */
	assert_int_equal(store_make(&f->engine, id_a, &dir, &lock, &err), 0);
	assert_int_equal(name_claim(&f->engine, "web", id_a, &err), 0);
	assert_int_equal(name_claim(&f->engine, "web", id_b, &err), -EEXIST);
	recover_unfinished(&f->engine);
	assert_int_equal(name_claim(&f->engine, "web", id_b, &err), -EEXIST);
	/* Its maker dies. */
	close(lock);
	close(dir);
	assert_int_equal(name_claim(&f->engine, "web", id_b, &err), 0);
	assert_int_equal(name_lookup(&f->engine, "web", found), 0);
	assert_string_equal(found, id_b);
	recover_unfinished(&f->engine);
	assert_int_equal(faccessat(f->engine.root_fd, store_making_path(id_a, path), F_OK, 0), -1);
}

/* HOSTILE 7 and 33 */
static void test_hostile_names(void **state)
{
	struct fixture *f = *state;
	char long_name[301], found[65];
	memset(long_name, 'a', 300);
	long_name[300] = '\0';
	const char *const bad[] = {
		"", "../../x", "a/b", ".hidden", "-dash", "a", long_name, "a\nb"
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct masu_error err = { 0 };
		assert_int_equal(name_claim(&f->engine, bad[i], id_a, &err), -EINVAL);
		assert_true(engine_resolve(&f->engine, bad[i], found, &err) < 0);
	}
}

static void test_hundred_claims_one_winner(void **state)
{
	struct fixture *f = *state;
	int winners = 0;
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			char id[ID_LENGTH + 1];
			int dir, lock;
			id_random(id);
			if (store_make(&f->engine, id, &dir, &lock, NULL) < 0)
				_exit(2);
			int r = name_claim(&f->engine, "one", id, NULL);
			struct container c = { 0 };
			strcpy(c.id, id);
			if (r == 0) /* the winner exists before it lets go of the lock */
				r = store_publish(&f->engine, &c, NULL);
			_exit(r == 0 ? 0 : r == -EEXIST ? 1 : 3);
		}
	}
	for (int i = 0; i < 100; i++) {
		int status;
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
		winners += WEXITSTATUS(status) == 0;
	}
	assert_int_equal(winners, 1);
}

/* ---- records ---- */

static char *strings_a[] = { (char *)"A=1", (char *)"B=<&>", NULL };

static void test_config_survives_the_record(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	struct mount_config mounts[] = {
		{ .kind = MOUNT_BIND,
		  .source = "/src",
		  .target = "/dst",
		  .readonly = true,
		  .create_source = true,
		  .propagation = "rslave" },
		{ .kind = MOUNT_TMPFS,
		  .target = "/t",
		  .tmpfs_options = "size=1m",
		  .tmpfs_mode = 0700 },
	};
	struct network_port ports[] = {
		{ .protocol = NETWORK_UDP, .container_port = 53, .host_port = 5353 }
	};
	struct oci_rlimit limits[] = { { .name = "nofile", .soft = 10, .hard = UINT64_MAX } };
	struct oci_pair labels[] = { { "k", "v" }, { "empty", "" } };
	struct container c = {
		.name = "web",
		.image_id = "sha256:x",
		.created = "2026-01-01T00:00:00.000000000Z",
		.chain_ids = (const char *[]) { id_b, NULL },
		.config = { .image = "busybox",
			    .env = strings_a,
			    .cmd = strings_a,
			    .tty = true,
			    .stop_timeout = 7,
			    .memory_swappiness = -1,
			    .mounts = mounts,
			    .mount_count = 2,
			    .ports = ports,
			    .port_count = 1,
			    .ulimits = limits,
			    .ulimit_count = 1,
			    .labels = labels,
			    .label_count = 2,
			    .memory = 123456789,
			    .network = "none",
			    .oom_score_adj = -5,
			    .restart = RESTART_ON_FAILURE,
			    .restart_max = 3,
			    .log_driver = "none" },
	};
	struct container back;
	int lock;
	strcpy(c.id, id_a);
	assert_int_equal(store_make(&f->engine, c.id, &c.dir_fd, &lock, &err), 0);
	assert_int_equal(store_write_record(&c, false, &err), 0);
	assert_int_equal(store_publish(&f->engine, &c, &err), 0);
	assert_int_equal(store_load(&f->engine, &f->arena, c.id, &back, &err), 0);
	const struct container_config *k = &back.config;
	assert_string_equal(back.name, "web");
	assert_string_equal(k->env[1], "B=<&>");
	assert_null(k->env[2]);
	assert_true(k->tty && !k->open_stdin);
	assert_int_equal(k->stop_timeout, 7);
	assert_int_equal(k->memory_swappiness, -1);
	assert_int_equal(k->mount_count, 2);
	assert_true(k->mounts[0].readonly && k->mounts[0].create_source);
	assert_string_equal(k->mounts[0].propagation, "rslave");
	assert_string_equal(k->mounts[1].tmpfs_options, "size=1m");
	assert_int_equal(k->mounts[1].tmpfs_mode, 0700);
	assert_int_equal(k->ports[0].host_port, 5353);
	assert_int_equal(k->ports[0].protocol, NETWORK_UDP);
	assert_true(k->ulimits[0].hard == UINT64_MAX);
	assert_string_equal(k->labels[1].value, "");
	assert_int_equal(k->memory, 123456789);
	assert_int_equal(k->oom_score_adj, -5);
	assert_int_equal(k->restart, RESTART_ON_FAILURE);
	assert_string_equal(back.args[0], "A=1");
	assert_string_equal(back.log_path, "");
	assert_int_equal(back.status, CONTAINER_CREATED);
	close(c.dir_fd);
	close(lock);
	container_close(&back);
}

static void test_damaged_record_is_refused(void **state)
{
	static const char *const bad[] = { "{",
					   "[]",
					   "{\"Config\":{\"Env\":[1]}}",
					   "{\"HostConfig\":{\"Memory\":\"x\"}}",
					   "{\"Name\":\"x\"}",
					   "{\"Mounts\":[{\"Type\":\"odd\"}]}" };
	struct fixture *f = *state;
	int dir, lock;
	struct container made = { 0 };
	strcpy(made.id, id_a);
	assert_int_equal(store_make(&f->engine, id_a, &dir, &lock, NULL), 0);
	assert_int_equal(store_publish(&f->engine, &made, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct masu_error err = { 0 };
		struct container c;
		assert_int_equal(
			fs_write_atomic(dir, "container.json", bad[i], strlen(bad[i]), 0600, false),
			0);
		assert_true(store_load(&f->engine, &f->arena, id_a, &c, &err) < 0);
		assert_true(err.message[0] != '\0');
	}
	close(dir);
	close(lock);
}

/* A live record of another boot, or of a pid that is somebody else's now, says nothing. */
static void test_reused_pid_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	struct container back,
		c = { .name = "web",
		      .image_id = "x",
		      .created = "2026",
		      .chain_ids = (const char *[]) { NULL },
		      .status = CONTAINER_RUNNING,
		      .started = "2026",
		      .run_fd = -1,
		      .config = { .stop_timeout = -1, .memory_swappiness = -1, .cmd = strings_a } };
	int lock;
	strcpy(c.id, id_a);
	assert_int_equal(store_make(&f->engine, c.id, &c.dir_fd, &lock, &err), 0);
	assert_int_equal(store_write_record(&c, false, &err), 0);
	assert_int_equal(store_publish(&f->engine, &c, &err), 0);
	assert_int_equal(store_open_run(&f->engine, &c, &err), 0);
	c.pid = c.monitor_pid = getpid();
	c.pid_start_time = 1; /* not ours */
	assert_int_equal(store_write_live(&c, 1, NULL, &err), 0);
	assert_int_equal(store_load(&f->engine, &f->arena, id_a, &back, &err), 0);
	assert_int_equal(back.pid, 0);
	assert_int_equal(back.monitor_pid, 0);
	assert_int_not_equal(back.status, CONTAINER_RUNNING);
	container_close(&back);
	container_close(&c);
	close(lock);
}

/* ---- users ---- */

static int make_etc(struct fixture *f, const char *passwd, const char *group)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/etc", f->root);
	mkdir(path, 0755);
	int etc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(fs_write_atomic(etc, "passwd", passwd, strlen(passwd), 0644, false), 0);
	assert_int_equal(fs_write_atomic(etc, "group", group, strlen(group), 0644, false), 0);
	close(etc);
	return f->engine.root_fd;
}

static void test_users(void **state)
{
	static const struct {
		const char *user;
		int r;
		uint32_t uid, gid;
		size_t groups;
	} cases[] = {
		{ "", 0, 0, 0, 2 },
		{ "bob", 0, 1000, 100, 3 },
		{ "1000", 0, 1000, 100, 3 },
		{ "bob:wheel", 0, 1000, 10, 1 },
		{ "4242", 0, 4242, 0, 1 },
		{ "4242:7", 0, 4242, 7, 1 },
		{ ":wheel", 0, 0, 10, 1 },
		{ "nobody", -EINVAL, 0, 0, 0 },
		{ "bob:nogroup", -EINVAL, 0, 0, 0 },
		{ "-1", -EINVAL, 0, 0, 0 },
		{ "2147483648", -ERANGE, 0, 0, 0 },
		{ "4294967296", -ERANGE, 0, 0, 0 },
		{ "bob:2147483648", -ERANGE, 0, 0, 0 },
		{ "evil", -EINVAL, 0, 0, 0 },
	};
	struct fixture *f = *state;
	int root = make_etc(f,
			    "root:x:0:0:root:/root:/bin/sh\n# comment\n:::\nshort:x\n"
			    "evil:x:4294967295:0::/:\nbob:x:1000:100:Bob:/home/bob:/bin/sh\n",
			    "root:x:0:\nwheel:x:10:root,bob\nusers:x:100:\nbad:x:notanumber:bob\n"
			    "games:x:20:alice,bob\n");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct masu_error err = { 0 };
		struct user_identity user;
		int r = user_resolve(&f->arena, root, cases[i].user, NULL, &user, &err);
		assert_int_equal(r, cases[i].r);
		if (r < 0)
			continue;
		assert_int_equal(user.uid, cases[i].uid);
		assert_int_equal(user.gid, cases[i].gid);
		assert_int_equal(user.group_count, cases[i].groups);
	}
}

/* HOSTILE 20: a FIFO that nobody writes, a link out of the root. */
static void test_hostile_passwd(void **state)
{
	struct fixture *f = *state;
	struct masu_error err = { 0 };
	struct user_identity user;
	char path[128];
	snprintf(path, sizeof(path), "%s/etc", f->root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/etc/passwd", f->root);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/etc/group", f->root);
	assert_int_equal(symlink("/../../../../etc/group", path), 0);
	assert_int_equal(user_resolve(&f->arena, f->engine.root_fd, "1:root", NULL, &user, &err),
			 -EINVAL);
	assert_int_equal(user_resolve(&f->arena, f->engine.root_fd, "12:13", NULL, &user, &err), 0);
	assert_int_equal(user.uid, 12);
}

/* ---- spec ---- */

static void build(struct fixture *f, const struct container *container, struct oci_spec *ret)
{
	struct masu_error err = { 0 };
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	struct oci_spec spec;
	const struct spec_context context = { .engine = &f->engine,
					      .arena = &f->arena,
					      .container = container,
					      .root_fd = f->engine.root_fd,
					      .hosts = "/h",
					      .hostname = "/n",
					      .resolv_conf = "/r" };
	assert_int_equal(spec_build(&context, &spec, &err), 0);
	/* What is written as config.json is a valid spec that says the same. */
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	oci_spec_write(&w, &spec);
	char *kept = arena_strndup(&f->arena, text.data, text.len);
	assert_int_equal(oci_spec_parse(&f->arena, kept, text.len, ret, &err), 0);
}

static const struct oci_mount *mount_at(const struct oci_spec *spec, const char *destination)
{
	const struct oci_mount *found = NULL;
	for (size_t i = 0; i < spec->mount_count; i++)
		if (streq(spec->mounts[i].destination, destination))
			found = &spec->mounts[i];
	return found;
}

static struct container plain_container(void)
{
	struct container c = {
		.name = "web",
		.args = (const char *[]) { "true", NULL },
		.config = { .stop_timeout = -1, .memory_swappiness = -1, .network = "none" }
	};
	strcpy(c.id, id_a);
	return c;
}

static void test_default_spec_is_dockers(void **state)
{
	static const char *const mounts[] = {
		"/proc",       "/dev",	   "/dev/pts",	       "/sys",		"/sys/fs/cgroup",
		"/dev/mqueue", "/dev/shm", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"
	};
	struct container c = plain_container();
	struct oci_spec spec;
	build(*state, &c, &spec);
	assert_int_equal(spec.process.capabilities.bounding, 0xa80425fb);
	assert_int_equal(spec.process.capabilities.effective, 0xa80425fb);
	assert_int_equal(spec.process.capabilities.inheritable, 0);
	assert_int_equal(spec.process.capabilities.ambient, 0);
	assert_false(spec.process.no_new_privileges);
	assert_true(spec.seccomp.present);
	assert_int_equal(spec.mount_count, ARRAY_SIZE(mounts));
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		assert_string_equal(spec.mounts[i].destination, mounts[i]);
	assert_int_equal(strv_length(spec.masked_paths), 12);
	assert_int_equal(strv_length(spec.readonly_paths), 5);
	for (int ns = 0; ns < OCI_NS_COUNT; ns++)
		assert_int_equal(spec.namespaces[ns].present,
				 ns != OCI_NS_USER && ns != OCI_NS_TIME);
	assert_string_equal(spec.hostname, "aaaaaaaaaaaa");
	assert_string_equal(spec.process.env[0],
			    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	assert_string_equal(spec.process.env[1], "HOSTNAME=aaaaaaaaaaaa");
	assert_null(spec.process.env[2]);
	assert_string_equal(spec.process.cwd, "/");
	/* Nothing may be read or written but the named devices. */
	assert_false(spec.resources.devices[0].allow);
	assert_int_equal(spec.resources.devices[0].type, 'a');
}

static void test_options_shape_the_spec(void **state)
{
	struct mount_config mounts[] = {
		{ .kind = MOUNT_BIND, .source = "/a", .target = "/deep/er/path" },
		{ .kind = MOUNT_BIND, .source = "/b", .target = "/deep", .readonly = true },
		{ .kind = MOUNT_TMPFS, .target = "/dev/shm", .tmpfs_options = "size=1m" },
	};
	struct container c = plain_container();
	struct oci_spec spec;
	c.config.mounts = mounts;
	c.config.mount_count = ARRAY_SIZE(mounts);
	c.config.init = true;
	c.config.network = "host";
	c.config.pid_mode = "host";
	c.config.readonly_rootfs = true;
	c.config.nano_cpus = 1500000000;
	c.config.memory = 64 << 20;
	c.config.cap_drop = (const char *[]) { "ALL", NULL };
	c.config.cap_add = (const char *[]) { "net_raw", NULL };
	build(*state, &c, &spec);
	assert_string_equal(spec.process.args[0], "/sbin/docker-init");
	assert_string_equal(spec.process.args[2], "true");
	assert_non_null(mount_at(&spec, "/sbin/docker-init"));
	assert_true(mount_at(&spec, "/deep") < mount_at(&spec, "/deep/er/path"));
	assert_true(mount_at(&spec, "/deep")->rec_attr_set != 0);
	assert_non_null(strstr(mount_at(&spec, "/dev/shm")->data, "size=1m"));
	assert_false(spec.namespaces[OCI_NS_NETWORK].present);
	assert_false(spec.namespaces[OCI_NS_PID].present);
	assert_int_equal(spec.sysctl_count, 0);
	assert_true(spec.root_readonly);
	assert_int_equal(spec.process.capabilities.bounding, 1 << 13);
	assert_int_equal(spec.resources.cpu.quota.value, 150000);
	assert_int_equal(spec.resources.memory.swap.value, 128 << 20);
}

/* ---- signals, protocol ---- */

static void test_signals(void **state)
{
	int sig;
	assert_int_equal(signal_parse("SIGTERM", &sig, NULL), 0);
	assert_int_equal(sig, 15);
	assert_int_equal(signal_parse("kill", &sig, NULL), 0);
	assert_int_equal(sig, 9);
	assert_int_equal(signal_parse("SIGRTMIN+3", &sig, NULL), 0);
	assert_int_equal(sig, 37);
	assert_int_equal(signal_parse("64", &sig, NULL), 0);
	assert_int_equal(signal_parse("65", &sig, NULL), -EINVAL);
	assert_int_equal(signal_parse("0", &sig, NULL), -EINVAL);
	assert_int_equal(signal_parse("SIGFOO", &sig, NULL), -EINVAL);
	assert_int_equal(signal_parse("RTMAX-31", &sig, NULL), -EINVAL);
}

static void test_protocol(void **state)
{
	int pair[2], fd;
	struct ctl_message in;
	const struct ctl_message attach = { .type = CTL_ATTACHED, .flags = 7, .value = 3 };
	const struct masu_error err = { .code = -ENOENT, .exit_status = 127, .message = "no" };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	assert_int_equal(ctl_send(pair[0], &attach, pair[1]), 0);
	assert_int_equal(ctl_receive(pair[1], &in, &fd), 0);
	assert_int_equal(in.type, CTL_ATTACHED);
	assert_true(fd >= 0);
	close(fd);
	ctl_send_error(pair[0], &err);
	assert_int_equal(ctl_receive(pair[1], &in, &fd), 0);
	assert_int_equal(in.value2, 127);
	assert_string_equal(in.text, "no");
	assert_int_equal(fd, -1);
	/* Short and oversized packets are no messages. */
	static char junk[sizeof(struct ctl_message) + 1];
	assert_int_equal(send(pair[0], junk, 3, 0), 3);
	assert_int_equal(ctl_receive(pair[1], &in, NULL), -EBADMSG);
	assert_int_equal(send(pair[0], junk, sizeof(junk), 0), sizeof(junk));
	assert_int_equal(ctl_receive(pair[1], &in, NULL), -EBADMSG);
	close(pair[0]);
	assert_int_equal(ctl_receive(pair[1], &in, NULL), -EPIPE);
	assert_int_equal(ctl_send(pair[1], &attach, -1), -EPIPE);
	close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cpu_percentage),
		TEST(test_lifecycle_is_complete),
		TEST(test_lifecycle_answers),
		TEST(test_name_belongs_to_one),
		TEST(test_name_of_killed_creation_is_taken_over),
		TEST(test_hostile_names),
		TEST(test_hundred_claims_one_winner),
		TEST(test_config_survives_the_record),
		TEST(test_damaged_record_is_refused),
		TEST(test_reused_pid_is_not_believed),
		TEST(test_users),
		TEST(test_hostile_passwd),
		TEST(test_default_spec_is_dockers),
		TEST(test_options_shape_the_spec),
		TEST(test_signals),
		TEST(test_protocol),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
