#include "exec/native/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/str.h"
#include "exec/native/caps.h"
#include "exec/native/console.h"
#include "exec/native/environment.h"
#include "exec/native/fds.h"
#include "exec/native/limits.h"
#include "exec/native/lookup.h"
#include "exec/native/lsm.h"
#include "exec/native/sync.h"
#include "exec/native/trap.h"
#include "sys/syscalls.h"

#define NODES_MAX 1024

static bool seccomp_needs_privilege(const struct process_plan *plan)
{
	return plan->seccomp && !plan->process->no_new_privileges;
}

int process_check(struct process_plan *plan, struct masu_error *err)
{
	const struct oci_process *process = plan->process;
	plan->capabilities = process->capabilities;
	if (!plan->user_ns)
		caps_clamp(&plan->capabilities);
	return lsm_check(process, err);
}

/*
 * The user's own streams must be his to reopen (/dev/stdout): a pipe or file made by the caller is
 * given to him. What cannot be given away (another filesystem's rules, an unmapped owner) is left.
 */
static void give_streams_to_user(const struct oci_process *process)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;
		if (fstat(fd, &st) < 0 || st.st_uid == process->uid)
			continue;
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			continue;
		if (fchown(fd, process->uid, (gid_t)-1) < 0)
			continue;
	}
}

int process_streams(struct process_plan *plan, int slave, struct masu_error *err)
{
	if (slave >= 0)
		return console_attach(slave, err);
	for (int i = 0; i < 3; i++)
		if (plan->stdio[i] >= 0 && plan->stdio[i] != i && dup2(plan->stdio[i], i) < 0)
			return error_errno(err, -errno, "standard stream %d", i);
	if (plan->process->uid != 0)
		give_streams_to_user(plan->process);
	return 0;
}

/* The session keyring is the container's own: the host's keys are out of reach (keyrings(7)). */
static int join_keyring(const char *id, struct masu_error *err)
{
	char name[300];
	int r = str_format(name, sizeof(name), "_ses.%s", id);
	if (fault_without("session-keyring"))
		return 0;
	if (r < 0)
		return error_errno(err, r, "session keyring");
	long key = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
	if (key < 0 && (errno == ENOSYS || errno == EPERM))
		return 0; /* a kernel without keys, or a caller whose seccomp forbids them */
	if (key < 0)
		return error_errno(err, -errno, "cannot create the session keyring");
	/* The user may search it, so that keys that he adds are found. */
	long perm = 0x3f3f0000 | 0x00080000;
	(void)syscall(SYS_keyctl, KEYCTL_SETPERM, (int)key, perm);
	return 0;
}

static int set_memory_policy(const struct oci_spec *spec, struct masu_error *err)
{
	unsigned long nodes[NODES_MAX / (8 * sizeof(unsigned long))];
	const char *list = spec->memory_policy.nodes;
	bool none = !list || !*list;
	int r = none ? 0 : limits_parse_list(list, nodes, NODES_MAX);
	if (r < 0)
		return error_errno(err, r, "linux.memoryPolicy.nodes: \"%s\"", list);
	if (syscall(SYS_set_mempolicy, spec->memory_policy.mode, none ? NULL : nodes,
		    none ? 0 : NODES_MAX) < 0)
		return error_errno(err, -errno, "linux.memoryPolicy");
	return 0;
}

static int set_attributes(const struct process_plan *plan, struct masu_error *err)
{
	const struct oci_process *process = plan->process;
	int r = plan->new_keyring ? join_keyring(plan->id, err) : 0;
	if (r == 0 && plan->spec->has_personality &&
	    syscall(SYS_personality, plan->spec->personality) < 0)
		r = error_errno(err, -errno, "linux.personality");
	if (r == 0 && plan->spec->memory_policy.present)
		r = set_memory_policy(plan->spec, err);
	if (r == 0)
		r = lsm_apply(process, plan->proc_fd, err);
	if (r == 0 && process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = error_errno(err, -errno, "process.noNewPrivileges");
	return r;
}

/* Enters @path without following magic links, and makes sure that it lies inside the root: a
 * leaked directory fd would lead to a place that has no path here (CVE-2024-21626). */
static int change_directory(const char *path, struct masu_error *err)
{
	char cwd[PATH_MAX];
	bool anywhere = fault_without("cwd-inside");
	_cleanup_close_ int dir = sys_openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0,
					      anywhere ? 0 : RESOLVE_NO_MAGICLINKS);
	int r = dir < 0 ? dir : fchdir(dir) < 0 ? -errno : 0;
	if (r < 0)
		return error_errno(err, r, "chdir to cwd (\"%s\") set in config.json failed", path);
	/* The system call itself: libc may hide "(unreachable)". */
	long len = syscall(SYS_getcwd, cwd, sizeof(cwd));
	if (!anywhere && (len < 0 || cwd[0] != '/'))
		return error_set(err, -EXDEV,
				 "process.cwd: \"%s\" lies outside the container's root", path);
	return 0;
}

static int set_identity(const struct process_plan *plan, struct masu_error *err)
{
	const struct oci_process *process = plan->process;
	int r = caps_drop_bounding(plan->capabilities.bounding, err);
	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_errno(err, -errno, "cannot keep the capabilities over setuid");
	if (!fault_without("set-groups") &&
	    setgroups(process->additional_gid_count, process->additional_gids) < 0 &&
	    (errno != EPERM || process->additional_gid_count))
		return error_errno(err, -errno, "process.user.additionalGids");
	if (setresgid(process->gid, process->gid, process->gid) < 0)
		return error_errno(err, -errno, "process.user.gid: %u", process->gid);
	if (setresuid(process->uid, process->uid, process->uid) < 0)
		return error_errno(err, -errno, "process.user.uid: %u", process->uid);
	return 0;
}

static int set_capabilities(const struct process_plan *plan, struct masu_error *err)
{
	const struct oci_capabilities *caps = &plan->capabilities;
	if (fault_without("set-capabilities"))
		return 0;
	int r = caps_set(caps->effective, caps->permitted, caps->inheritable, err);
	return r < 0 ? r : caps_set_ambient(caps->ambient, err);
}

int process_prepare(struct process_plan *plan, int *const keep[], size_t keep_count,
		    struct masu_error *err)
{
	const struct oci_process *process = plan->process;
	int r = set_attributes(plan, err);
	if (r < 0)
		return r;
	/* Root may enter what the user may not, and on some filesystems the other way round. */
	struct masu_error first = { 0 };
	int entered = change_directory(process->cwd, &first);
	if (entered < 0 && entered != -EACCES) {
		if (err)
			*err = first;
		return entered;
	}
	r = fds_arrange(plan->extra_fds, plan->preserve_fds, keep, keep_count, err);
	if (r == 0 && caps_permitted(&plan->full_caps) < 0)
		r = error_errno(err, -errno, "cannot read the capabilities");
	if (r == 0 && !plan->user_ns)
		r = limits_set_resources(0, process, err);
	if (r == 0)
		r = set_identity(plan, err);
	if (r == 0 && !seccomp_needs_privilege(plan))
		r = set_capabilities(plan, err);
	if (r == 0 && entered < 0)
		r = change_directory(process->cwd, err);
	if (r == 0)
		r = environment_build(process, plan->listen_fds, &plan->env, err);
	if (r == 0)
		r = lookup_program(process->args[0], plan->env, plan->path, sizeof(plan->path),
				   err);
	umask(process->has_umask ? (mode_t)process->umask : 0022);
	return r;
}

/* Before the container's own filter, which may forbid seccomp(2). */
static int load_traps(unsigned traps, int sync_fd, struct masu_error *err)
{
	_cleanup_close_ int listener = -1;
	int r = trap_load(traps, &listener, err);
	if (r < 0)
		return r;
	r = sync_send(sync_fd, SYNC_TRAP, 0, listener);
	return r < 0 ? error_errno(err, r, "cannot hand over the listener of trapped calls") : 0;
}

int process_filter(struct process_plan *plan, int sync_fd, struct masu_error *err)
{
	int r = 0;
	_cleanup_close_ int listener = -1;
	if (!plan->seccomp || plan->filtered)
		return 0;
	plan->filtered = true;
	if (seccomp_needs_privilege(plan))
		r = caps_set(plan->full_caps, plan->full_caps, 0, err);
	if (r == 0 && plan->traps)
		r = load_traps(plan->traps, sync_fd, err);
	if (r == 0)
		r = seccomp_enter(plan->seccomp, &listener, err);
	if (r == 0 && listener >= 0) {
		r = sync_send(sync_fd, SYNC_LISTENER, 0, listener);
		if (r < 0)
			error_errno(err, r, "linux.seccomp: cannot hand over the listener");
	}
	if (r == 0 && seccomp_needs_privilege(plan))
		r = set_capabilities(plan, err);
	return r;
}

static int run_start_hooks(const struct process_plan *plan, struct masu_error *err)
{
	const struct oci_hooks *hooks = &plan->spec->hooks[OCI_HOOK_START_CONTAINER];
	if (!plan->first || hooks->count == 0)
		return 0;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	int r = exec_state_json(&state, plan->spec, plan->id, plan->bundle, "created", getpid());
	if (r < 0)
		return error_errno(err, r, "hooks.startContainer");
	return exec_run_hooks(hooks, OCI_HOOK_START_CONTAINER, buf_str(&state), 0, err);
}

int process_execute(struct process_plan *plan, int sync_fd, struct masu_error *err)
{
	int r = process_filter(plan, sync_fd, err);
	if (r == 0)
		r = run_start_hooks(plan, err);
	if (r < 0)
		return r;
	execve(plan->path, plan->process->args, plan->env);
	return lookup_exec_error(plan->path, -errno, err);
}
