/* `masu oci exec`: one more process in a running container. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "cli/oci.h"
#include "exec/exec.h"
#include "sys/fs.h"

#define PROCESS_MAX_BYTES (4u << 20)

struct exec_options {
	const char *console_socket, *cwd, *user, *process, *pid_file, *process_label, *apparmor,
		*cgroup;
	struct cli_list env, additional_gids, caps;
	int64_t preserve_fds;
	bool tty, detach, no_new_privs, ignore_paused;
};

static const struct cli_option exec_options[] = {
	CLI_OPT(struct exec_options, console_socket, "console-socket", 0, CLI_STRING, "path",
		"Unix socket that gets the terminal's master"),
	CLI_OPT(struct exec_options, cwd, "cwd", 0, CLI_STRING, "dir", "Working directory"),
	CLI_OPT(struct exec_options, env, "env", 'e', CLI_LIST, "NAME=value",
		"Add to the environment"),
	CLI_OPT(struct exec_options, tty, "tty", 't', CLI_BOOL, NULL, "Give it a terminal"),
	CLI_OPT(struct exec_options, user, "user", 'u', CLI_STRING, "uid[:gid]", "Who it runs as"),
	CLI_OPT(struct exec_options, additional_gids, "additional-gids", 'g', CLI_LIST, "gid",
		"Supplementary groups"),
	CLI_OPT(struct exec_options, process, "process", 'p', CLI_STRING, "file",
		"The process as in config.json, instead of COMMAND"),
	CLI_OPT(struct exec_options, detach, "detach", 'd', CLI_BOOL, NULL,
		"Leave it running and return"),
	CLI_OPT(struct exec_options, pid_file, "pid-file", 0, CLI_STRING, "file",
		"Where to write its pid"),
	CLI_OPT(struct exec_options, process_label, "process-label", 0, CLI_STRING, "label",
		"SELinux label"),
	CLI_OPT(struct exec_options, apparmor, "apparmor", 0, CLI_STRING, "profile",
		"AppArmor profile"),
	CLI_OPT(struct exec_options, no_new_privs, "no-new-privs", 0, CLI_BOOL, NULL,
		"No privileges may be gained by execve"),
	CLI_OPT(struct exec_options, caps, "cap", 'c', CLI_LIST, "capability", "Add a capability"),
	CLI_OPT(struct exec_options, preserve_fds, "preserve-fds", 0, CLI_INT, "number",
		"File descriptors to hand on besides stdio and $LISTEN_FDS"),
	CLI_OPT(struct exec_options, cgroup, "cgroup", 0, CLI_STRING, "[controllers:]path",
		"An existing group below the container's to run in"),
	CLI_OPT(struct exec_options, ignore_paused, "ignore-paused", 0, CLI_BOOL, NULL,
		"Also where the container is paused: it waits until resumed"),
};

static int parse_user(const char *text, struct oci_process *process, struct masu_error *err)
{
	char uid[16];
	size_t len = strcspn(text, ":");
	int r = str_format(uid, sizeof(uid), "%.*s", (int)len, text);
	if (r == 0)
		r = str_to_u32(uid, &process->uid);
	if (r == 0 && text[len] == ':')
		r = str_to_u32(text + len + 1, &process->gid);
	if (r < 0 || process->uid == UINT32_MAX || process->gid == UINT32_MAX)
		return error_set(err, -EINVAL, "--user \"%s\": expected uid or uid:gid", text);
	return 0;
}

static int add_environment(const struct cli_list *list, struct oci_process *process,
			   struct masu_error *err)
{
	size_t count = strv_length(process->env);
	char **env = arena_array(oci_runtime.arena, char *, count + list->count + 1);
	if (!env)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		env[i] = process->env[i];
	for (size_t i = 0; i < list->count; i++)
		env[count + i] = (char *)list->items[i];
	process->env = env;
	return 0;
}

static int add_groups(const struct cli_list *list, struct oci_process *process,
		      struct masu_error *err)
{
	size_t count = process->additional_gid_count;
	uint32_t *gids = arena_array(oci_runtime.arena, uint32_t, count + list->count + 1);
	if (!gids)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		gids[i] = process->additional_gids[i];
	for (size_t i = 0; i < list->count; i++)
		if (str_to_u32(list->items[i], &gids[count + i]) < 0)
			return error_set(err, -EINVAL, "--additional-gids \"%s\"", list->items[i]);
	process->additional_gids = gids;
	process->additional_gid_count = count + list->count;
	return 0;
}

static int add_capabilities(const struct cli_list *list, struct oci_process *process,
			    struct masu_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		int cap = oci_capability_number(list->items[i]);
		if (cap < 0)
			return error_set(err, -EINVAL, "--cap: unknown capability \"%s\"",
					 list->items[i]);
		process->capabilities.bounding |= OCI_CAP_BIT(cap);
		process->capabilities.effective |= OCI_CAP_BIT(cap);
		process->capabilities.permitted |= OCI_CAP_BIT(cap);
	}
	return 0;
}

/* The container's own process with another command and the flags on top. */
static int process_from_flags(const struct exec_options *options, const struct oci_spec *spec,
			      int argc, char **argv, struct oci_process *ret,
			      struct masu_error *err)
{
	if (argc == 0)
		return error_set(err, -EINVAL, "exec needs a COMMAND or --process FILE");
	*ret = spec->process;
	ret->present = true;
	ret->args = argv;
	ret->terminal = options->tty;
	ret->has_console_size = false;
	if (!ret->cwd)
		ret->cwd = "/";
	if (options->cwd)
		ret->cwd = options->cwd;
	if (ret->cwd[0] != '/')
		return error_set(err, -EINVAL, "--cwd \"%s\" is not absolute", ret->cwd);
	if (options->process_label)
		ret->selinux_label = options->process_label;
	if (options->apparmor)
		ret->apparmor_profile = options->apparmor;
	ret->no_new_privileges |= options->no_new_privs;
	int r = options->user ? parse_user(options->user, ret, err) : 0;
	if (r == 0 && options->env.count)
		r = add_environment(&options->env, ret, err);
	if (r == 0 && options->additional_gids.count)
		r = add_groups(&options->additional_gids, ret, err);
	if (r == 0)
		r = add_capabilities(&options->caps, ret, err);
	return r;
}

static int process_from_file(const char *path, struct oci_process *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, PROCESS_MAX_BYTES + 1);
	int r = fs_read_at(AT_FDCWD, path, PROCESS_MAX_BYTES, &text);
	if (r < 0)
		return error_errno(err, r, "--process %s", path);
	const char *kept = arena_strndup(oci_runtime.arena, buf_str(&text), text.len);
	if (!kept)
		return error_set(err, -ENOMEM, "out of memory");
	r = oci_process_parse(oci_runtime.arena, kept, text.len, ret, err);
	return r < 0 ? error_wrap(err, "--process %s", path) : 0;
}

static int check_status(const struct exec_options *options, const struct oci_container *container,
			struct masu_error *err)
{
	enum oci_status status;
	int r = oci_status(container, &status, err);
	if (r < 0)
		return r;
	if (status == OCI_STOPPED)
		return error_set(err, -EINVAL, "cannot exec in a stopped container");
	if (status == OCI_PAUSED && !options->ignore_paused)
		return error_set(err, -EINVAL,
				 "cannot exec in a paused container (use --ignore-paused to "
				 "override)");
	return 0;
}

static int check_terminal(const struct exec_options *options, const struct oci_process *process,
			  struct masu_error *err)
{
	if (process->terminal && options->detach && !options->console_socket)
		return error_set(err, -EINVAL,
				 "cannot allocate a tty without --console-socket when detached");
	if (!process->terminal && options->console_socket)
		return error_set(err, -EINVAL, "--console-socket: the process has no terminal");
	return 0;
}

static int exec_run(struct cli_context *context, void *opaque, int argc, char **argv,
		    struct masu_error *err)
{
	const struct exec_options *options = opaque;
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	_cleanup_cgroup_ struct cgroup *cgroup = NULL;
	_cleanup_exec_container_ struct exec_container started = EXEC_CONTAINER_NONE;
	struct oci_process process = { 0 };
	struct exec_process_request request = { .process = &process, .stdio = { -1, -1, -1 } };
	int r = oci_count_fds(options->preserve_fds, &request.preserve_fds, &request.listen_fds,
			      err);
	if (r == 0)
		r = oci_load(argv[0], false, &container, err);
	if (r == 0)
		r = check_status(options, &container, err);
	if (r == 0)
		r = oci_container_spec(&container, err);
	if (r == 0)
		r = options->process ? process_from_file(options->process, &process, err)
				     : process_from_flags(options, container.spec, argc - 1,
							  argv + 1, &process, err);
	if (r == 0 && options->tty)
		process.terminal = true;
	if (r == 0)
		r = check_terminal(options, &process, err);
	if (r == 0)
		r = oci_cgroup(&container, &cgroup, err);
	if (r == 0 && cgroup)
		r = cgroup_select(cgroup, options->cgroup, container.pid, err);
	if (r < 0)
		return r;
	_cleanup_close_ int pidfd = oci_pidfd(&container);
	if (pidfd < 0)
		return error_set(err, -EINVAL, "cannot exec in a stopped container");
	request.id = container.id;
	request.bundle = container.bundle;
	request.spec = container.spec;
	request.init_pid = container.pid;
	request.init_pidfd = pidfd;
	request.cgroup = cgroup;
	request.console_socket = options->console_socket;
	if (!options->detach)
		oci_foreground_prepare(false);
	r = exec_driver("native")->exec(&request, &started, err);
	if (r == 0 && options->pid_file)
		r = oci_write_pid_file(options->pid_file, started.pid, err);
	if (r < 0 || options->detach)
		return r;
	return oci_foreground(started.pid, started.pidfd, started.console_fd, err);
}

const struct cli_command oci_exec_command = {
	.name = "exec",
	.synopsis = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Run one more process in a running container",
	.options = exec_options,
	.option_count = ARRAY_SIZE(exec_options),
	.options_size = sizeof(struct exec_options),
	.run = exec_run,
	.min_args = 1,
	.max_args = -1,
	.stop_at_positional = true,
	.enters_container = true,
	.failure_status = 255,
};
