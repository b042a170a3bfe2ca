/* `masu oci delete`, and the removal of what a killed creation left. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/oci.h"
#include "exec/exec.h"
#include "sys/fs.h"
#include "sys/syscalls.h"

/*
 * A group whose making was interrupted before it was recorded: it is found by asking for it again,
 * which is harmless.
 */
static int reopen_cgroup(const struct oci_container *container, struct cgroup **ret,
			 struct masu_error *err)
{
	if (container->cgroup)
		return oci_cgroup(container, ret, err);
	*ret = NULL;
	if (container->committed || container->cgroups_disabled)
		return 0;
	const struct oci_resources none = { 0 };
	struct cgroup_request request = {
		.libexec = oci_runtime.libexec,
		.manager = container->systemd ? CGROUP_SYSTEMD : CGROUP_CGROUPFS,
		.path = container->cgroups_path,
		.id = container->id,
		.resources = &none,
		.owner_uid = (uid_t)-1,
		.owner_gid = (gid_t)-1,
	};
	int r = cgroup_create(&request, ret, err);
	/* The path is refused, or the group is somebody else's: nothing there was made for us. */
	if (r != -EINVAL && r != -ENAMETOOLONG && r != -EBUSY)
		return r;
	error_clear(err);
	return 0;
}

/* Kills the init and, without a pid namespace, whatever else is in the group. */
static int end_processes(const struct oci_container *container, struct cgroup *cgroup,
			 struct masu_error *err)
{
	_cleanup_close_ int pidfd = oci_pidfd(container);
	if (pidfd >= 0)
		(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	/* A frozen process does not die of it. */
	if (cgroup) {
		bool frozen = false;
		int r = cgroup_kill(cgroup, SIGKILL, err);
		if (r == 0 && cgroup_is_frozen(cgroup, &frozen) == 0 && frozen)
			r = cgroup_freeze(cgroup, false, err);
		if (r < 0)
			return r;
	}
	if (pidfd < 0)
		return 0;
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	int r;
	do
		r = poll(&ended, 1, 10000);
	while (r < 0 && errno == EINTR);
	return r > 0 ? 0
		     : error_set(err, -EBUSY,
				 "container %s: process %d does not die of SIGKILL; is it stuck in "
				 "the kernel?",
				 container->id, (int)container->pid);
}

static void run_poststop(struct oci_container *container)
{
	struct masu_error err = { 0 };
	if (oci_container_spec(container, &err) < 0) {
		log_warn("poststop hooks: %s", err.message);
		return;
	}
	const struct oci_hooks *hooks = &container->spec->hooks[OCI_HOOK_POSTSTOP];
	if (hooks->count == 0)
		return;
	_cleanup_buf_ struct buf state;
	buf_init(&state, 0);
	if (exec_state_json(&state, container->spec, container->id, container->bundle, "stopped",
			    0) == 0)
		(void)exec_run_hooks(hooks, OCI_HOOK_POSTSTOP, buf_str(&state), 0, NULL);
}

/* What outlived an init without a pid namespace of its own is killed: nobody can name it later. */
static int remove_cgroup(struct cgroup *cgroup, struct masu_error *err)
{
	int r = cgroup_remove(cgroup, err);
	if (r != -EBUSY)
		return r;
	error_clear(err);
	r = cgroup_kill(cgroup, SIGKILL, err);
	return r < 0 ? r : cgroup_remove(cgroup, err);
}

int oci_remove(struct oci_container *container, struct cgroup *known, bool force,
	       struct masu_error *err)
{
	enum oci_status status = OCI_STOPPED;
	_cleanup_cgroup_ struct cgroup *opened = NULL;
	struct cgroup *cgroup = known;
	int r = oci_status(container, &status, err);
	if (r == 0 && !force && status != OCI_STOPPED && status != OCI_CREATED)
		return error_set(err, -EBUSY,
				 "cannot delete container %s that is not stopped: %s; kill it "
				 "first or use --force",
				 container->id, oci_status_name(status));
	if (r == 0 && !known) {
		r = reopen_cgroup(container, &opened, err);
		cgroup = opened;
	}
	if (r == 0 && (status != OCI_STOPPED || force || !container->committed))
		r = end_processes(container, cgroup, err);
	if (r == 0 && cgroup)
		r = remove_cgroup(cgroup, err);
	if (r < 0)
		return r;
	/* Hooks of a container that never came to be have nothing to undo. */
	if (container->begun)
		run_poststop(container);
	r = fs_remove_tree(oci_runtime.root_fd, container->id);
	return r < 0 ? error_errno(err, r, "cannot remove %s/%s", oci_runtime.root, container->id)
		     : 0;
}

struct delete_options {
	bool force;
};

static const struct cli_option delete_options[] = {
	CLI_OPT(struct delete_options, force, "force", 'f', CLI_BOOL, NULL,
		"Kill the container first if it runs; no error if there is none"),
};

static int delete_run(struct cli_context *context, void *opaque, int argc, char **argv,
		      struct masu_error *err)
{
	const struct delete_options *options = opaque;
	_cleanup_oci_container_ struct oci_container container = { .dir_fd = -1 };
	int r = oci_load(argv[0], true, &container, err);
	if (r == -ENOENT && options->force)
		return 0;
	return r < 0 ? r : oci_remove(&container, NULL, options->force, err);
}

const struct cli_command oci_delete_command = {
	.name = "delete",
	.synopsis = "[OPTIONS] CONTAINER",
	.summary = "Remove a stopped container and everything that belongs to it",
	.options = delete_options,
	.option_count = ARRAY_SIZE(delete_options),
	.options_size = sizeof(struct delete_options),
	.run = delete_run,
	.min_args = 1,
	.max_args = 1,
};
