/* The parts of making a process that need no container: lookups, messages, checks, hooks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "exec/exec.h"
#include "exec/native/caps.h"
#include "exec/native/environment.h"
#include "exec/native/fds.h"
#include "exec/native/limits.h"
#include "exec/native/lookup.h"
#include "exec/native/namespaces.h"
#include "exec/native/sync.h"
#include "exec/native/sysctl.h"
#include "exec/native/userns.h"

static char directory[] = "/tmp/test-process.XXXXXX";

static void make_file(const char *name, mode_t mode)
{
	char path[PATH_MAX];
	str_format(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int setup(void **state)
{
	char path[PATH_MAX];
	if (!mkdtemp(directory))
		return -1;
	make_file("runs", 0755);
	make_file("plain", 0644);
	str_format(path, sizeof(path), "%s/sub", directory);
	return mkdir(path, 0755);
}

static int teardown(void **state)
{
	static const char *const names[] = { "runs", "plain", "sub" };
	char path[PATH_MAX];
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		str_format(path, sizeof(path), "%s/%s", directory, names[i]);
		remove(path);
	}
	return rmdir(directory);
}

static int look_up(const char *name, char *const *env, char *ret, struct masu_error *err)
{
	error_clear(err);
	return lookup_program(name, env, ret, PATH_MAX, err);
}

static void test_lookup_speaks_as_docker_does(void **state)
{
	char path_value[PATH_MAX], found[PATH_MAX], expected[PATH_MAX], absolute[PATH_MAX];
	struct masu_error err = { 0 };
	str_format(path_value, sizeof(path_value), "PATH=/no/such/dir:%s", directory);
	char *env[] = { (char *)"X=y", path_value, NULL };
	assert_int_equal(look_up("runs", env, found, &err), 0);
	str_format(expected, sizeof(expected), "%s/runs", directory);
	assert_string_equal(found, expected);
	assert_int_equal(look_up("missing", env, found, &err), -ENOENT);
	assert_int_equal(err.exit_status, 127);
	assert_string_equal(err.message, "exec: \"missing\": executable file not found in $PATH");
	str_format(absolute, sizeof(absolute), "%s/missing", directory);
	assert_int_equal(look_up(absolute, env, found, &err), -ENOENT);
	assert_int_equal(err.exit_status, 127);
	assert_non_null(strstr(err.message, "no such file or directory"));
	str_format(absolute, sizeof(absolute), "%s/sub", directory);
	assert_int_equal(look_up(absolute, env, found, &err), -EISDIR);
	assert_int_equal(err.exit_status, 126);
	str_format(absolute, sizeof(absolute), "%s/plain", directory);
	assert_int_equal(look_up(absolute, env, found, &err), -EACCES);
	assert_int_equal(err.exit_status, 126);
	assert_int_equal(look_up("", env, found, &err), -ENOENT);
	/* An empty PATH element is the working directory. */
	char *here[] = { (char *)"PATH=", NULL };
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(look_up("runs", here, found, &err), 0);
	assert_string_equal(found, "./runs");
	assert_int_equal(chdir("/"), 0);
}

static void test_cpu_lists(void **state)
{
	static const struct {
		const char *text;
		int result;
		unsigned long mask;
	} cases[] = {
		{ "0", 0, 1 },
		{ "0-3", 0, 15 },
		{ "1,3-4", 0, 26 },
		{ "", -EINVAL, 0 },
		{ "a", -EINVAL, 0 },
		{ "1-", -EINVAL, 0 },
		{ "3-1", -EINVAL, 0 },
		{ "1,", -EINVAL, 0 },
		{ "64", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 },
		{ "0-1000000", -ERANGE, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned long mask = 0;
		assert_int_equal(limits_parse_list(cases[i].text, &mask, 64), cases[i].result);
		if (cases[i].result == 0)
			assert_int_equal(mask, cases[i].mask);
	}
}

static void test_messages_and_errors_cross_whole(void **state)
{
	int pair[2], value = 0;
	struct sync_message message;
	struct masu_error sent = { 0 }, got = { 0 };
	assert_int_equal(sync_pair(pair), 0);
	assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(sync_send(pair[0], SYNC_PID, 42, -1), 0);
	assert_int_equal(sync_expect(pair[1], SYNC_PID, &value, NULL), 0);
	assert_int_equal(value, 42);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sync_send(pair[0], SYNC_CONSOLE, 0, null), 0);
	assert_int_equal(sync_receive(pair[1], &message, NULL), 0);
	assert_true(message.passed_fd >= 0 && message.passed_fd != null);
	assert_int_equal(fcntl(message.passed_fd, F_GETFD), FD_CLOEXEC);
	close(message.passed_fd);
	close(null);
	error_set(&sent, -ENOENT, "what %s", "went wrong");
	error_exit_status(&sent, 127);
	sync_send_error(pair[0], &sent);
	assert_int_equal(sync_receive(pair[1], &message, &got), -ENOENT);
	assert_string_equal(got.message, "what went wrong");
	assert_int_equal(got.exit_status, 127);
	assert_int_equal(sync_send(pair[0], SYNC_GO, 0, -1), 0);
	assert_int_equal(sync_expect(pair[1], SYNC_READY, NULL, &got), -EPROTO);
	/* Too short for a message. */
	assert_int_equal(send(pair[0], "x", 1, 0), 1);
	assert_int_equal(sync_receive(pair[1], &message, &got), -EPROTO);
	close(pair[0]);
	assert_int_equal(sync_receive(pair[1], &message, NULL), -EPIPE);
	assert_int_equal(sync_send(pair[1], SYNC_GO, 0, -1), -EPIPE);
	close(pair[1]);
}

static void test_environment(void **state)
{
	struct masu_error err = { 0 };
	char *full[] = { (char *)"HOME=/x", NULL }, *bare[] = { (char *)"A=b", NULL }, **env;
	struct oci_process process = { .env = full };
	assert_int_equal(environment_build(&process, 0, &env, &err), 0);
	assert_ptr_equal(env, full);
	process = (struct oci_process) { .env = bare, .uid = 0 };
	assert_int_equal(environment_build(&process, 2, &env, &err), 0);
	assert_string_equal(lookup_env(env, "A"), "b");
	assert_string_equal(lookup_env(env, "HOME"), "/root");
	assert_string_equal(lookup_env(env, "LISTEN_FDS"), "2");
	assert_int_equal(atoi(lookup_env(env, "LISTEN_PID")), getpid());
	for (size_t i = 1; env[i]; i++)
		free(env[i]);
	free(env);
	/* Nobody of that id: the root directory. */
	process = (struct oci_process) { .uid = 4000000000u };
	assert_int_equal(environment_build(&process, 0, &env, &err), 0);
	assert_string_equal(lookup_env(env, "HOME"), "/");
	free(env[0]);
	free(env);
	assert_null(lookup_env(NULL, "HOME"));
}

static void test_capabilities_are_clamped(void **state)
{
	uint64_t permitted = 0;
	assert_int_equal(caps_permitted(&permitted), 0);
	struct oci_capabilities caps = { .bounding = ~UINT64_C(0),
					 .permitted = ~UINT64_C(0),
					 .effective = ~UINT64_C(0),
					 .ambient = ~UINT64_C(0) };
	caps_clamp(&caps);
	assert_int_equal(caps.permitted, permitted);
	assert_int_equal(caps.effective, permitted);
	assert_int_equal(caps.bounding & ~(permitted | caps_bounding()), 0);
	assert_int_equal(caps.ambient, 0); /* none is inheritable */
}

static void test_sysctls(void **state)
{
	static const struct {
		const char *key;
		int result;
	} cases[] = {
		{ "net.ipv4.ip_forward", 0 },
		{ "net/ipv4/conf/eth0.1/forwarding", 0 },
		{ "kernel.shmmax", 0 },
		{ "fs.mqueue.msg_max", 0 },
		{ "kernel.domainname", 0 },
		{ "kernel.hostname", -EINVAL }, /* hostname is given as well */
		{ "kernel.panic", -EPERM },
		{ "vm.swappiness", -EPERM },
		{ "kernel.shmmax.x", -EPERM },
		{ "net", -EINVAL },
		{ "", -EINVAL },
		{ ".net", -EINVAL },
		{ "net..ipv4", -EINVAL },
		{ "net/../kernel/panic", -EINVAL },
		{ "/etc/passwd", -EINVAL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_pair pair = { cases[i].key, "1" };
		struct oci_spec spec = { .sysctl = &pair, .sysctl_count = 1, .hostname = "x" };
		struct namespaces none = { 0 }, own = { 0 };
		struct masu_error err = { 0 };
		memset(own.own, true, sizeof(own.own));
		assert_int_equal(sysctl_check(&spec, &own, &err), cases[i].result);
		assert_true(sysctl_check(&spec, &none, &err) < 0);
		assert_non_null(strstr(err.message, cases[i].key));
	}
}

static void test_user_maps_are_checked(void **state)
{
	struct oci_id_mapping all = { 0, 100000, 65536 }, upper = { 1000, 100000, 10 };
	struct oci_spec spec = { 0 };
	struct masu_error err = { 0 };
	assert_int_equal(userns_check(&spec, &err), 0);
	spec.namespaces[OCI_NS_USER].present = true;
	assert_int_equal(userns_check(&spec, &err), -EINVAL);
	spec.id_map = (struct oci_id_map) { &upper, 1, &all, 1 };
	assert_int_equal(userns_check(&spec, &err), -EINVAL);
	spec.id_map = (struct oci_id_map) { &all, 1, &all, 1 };
	assert_int_equal(userns_check(&spec, &err), 0);
	spec.process.present = true;
	spec.process.uid = 70000;
	assert_int_equal(userns_check(&spec, &err), -EINVAL);
}

static void test_time_offsets(void **state)
{
	char text[160];
	struct oci_spec spec = { .boottime = { true, -5, 7 } };
	assert_int_equal(namespaces_time_offsets(&spec, text, sizeof(text)), 0);
	assert_string_equal(text, "monotonic 0 0\nboottime -5 7\n");
}

/*
 * In a child, whose fds are its own to rearrange: 3 is needed until execve, 10 and 11 are to become
 * 3 and 4, and what else is open must not be handed on.
 */
static void arrange_in_child(void)
{
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDONLY), kept = 3;
	struct stat at_three, at_four, is_zero, is_null;
	if (fstat(zero, &is_zero) < 0 || fstat(null, &is_null) < 0 || dup2(zero, 10) < 0 ||
	    dup2(null, 11) < 0 || dup2(STDERR_FILENO, 3) < 0 || dup2(STDERR_FILENO, 40) < 0)
		_exit(1);
	const int sources[] = { 10, 11 };
	int *const keep[] = { &kept };
	if (fds_arrange(sources, 2, keep, 1, NULL) < 0)
		_exit(2);
	if (fstat(3, &at_three) < 0 || fstat(4, &at_four) < 0 ||
	    at_three.st_rdev != is_zero.st_rdev || at_four.st_rdev != is_null.st_rdev)
		_exit(3);
	if (kept < 5 || fcntl(kept, F_GETFD) != FD_CLOEXEC || fcntl(3, F_GETFD) != 0 ||
	    fcntl(4, F_GETFD) != 0)
		_exit(4);
	for (int fd = 5; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) == 0)
			_exit(5);
	_exit(0);
}

static void test_fds_are_arranged(void **state)
{
	int status = -1;
	pid_t pid = fork();
	if (pid == 0)
		arrange_in_child();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_hooks(void **state)
{
	char *args[] = { (char *)"sh", (char *)"-c",
			 (char *)"read line; [ \"$line\" = state ] && [ \"$X\" = y ]", NULL };
	char *env[] = { (char *)"X=y", NULL };
	char *fails[] = { (char *)"sh", (char *)"-c", (char *)"echo out; echo err >&2; exit 9",
			  NULL };
	char *hangs[] = { (char *)"sh", (char *)"-c", (char *)"exec sleep 100", NULL };
	struct oci_hook list[] = { { .path = "/bin/sh", .args = args, .env = env },
				   { .path = "/bin/sh", .args = fails } };
	struct oci_hooks hooks = { list, 1 };
	struct masu_error err = { 0 };
	assert_int_equal(exec_run_hooks(&hooks, OCI_HOOK_PRESTART, "state\n", 0, &err), 0);
	hooks.count = 2;
	assert_true(exec_run_hooks(&hooks, OCI_HOOK_PRESTART, "state\n", 0, &err) < 0);
	assert_non_null(strstr(err.message, "hooks.prestart[1]"));
	assert_non_null(strstr(err.message, "9"));
	assert_non_null(strstr(err.message, "out err"));
	list[0] = (struct oci_hook) { .path = "/no/such/hook" };
	assert_true(exec_run_hooks(&hooks, OCI_HOOK_PRESTART, "", 0, &err) < 0);
	assert_int_equal(exec_run_hooks(&hooks, OCI_HOOK_POSTSTOP, "", 0, &err), 0);
	list[0] = (struct oci_hook) { .path = "/bin/sh", .args = hangs };
	assert_int_equal(exec_run_hooks(&hooks, OCI_HOOK_PRESTART, "", 1, &err), -ETIMEDOUT);
}

static void test_ids_of_the_command_line(void **state)
{
	assert_true(oci_id_valid("a"));
	assert_true(oci_id_valid("a+b_c.d-E9"));
	assert_false(oci_id_valid(""));
	assert_false(oci_id_valid(".."));
	assert_false(oci_id_valid("a/b"));
	assert_false(oci_id_valid("a b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup_speaks_as_docker_does),
		cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_messages_and_errors_cross_whole),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_capabilities_are_clamped),
		cmocka_unit_test(test_sysctls),
		cmocka_unit_test(test_user_maps_are_checked),
		cmocka_unit_test(test_time_offsets),
		cmocka_unit_test(test_fds_are_arranged),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_ids_of_the_command_line),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
