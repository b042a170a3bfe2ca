/*
 * From a created container to a running one, in the monitor: root, cgroup, processes, network.
 * launch_prepare() goes as far as the process that waits before its execve, launch_start() lets it
 * go; between the two a container may be parked.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "base/trace.h"
#include "engine/events.h"
#include "engine/monitor.h"
#include "engine/network.h"
#include "engine/volumes.h"
#include "sys/fs.h"
#include "sys/proc.h"
#include "sys/syscalls.h"

void launch_close(struct launch *launch)
{
	cleanup_close(&launch->rootfs_fd);
	cleanup_close(&launch->netns_fd);
	for (int i = 0; i < 3; i++)
		cleanup_close(&launch->stdio[i]);
	for (size_t i = 0; i < launch->spec.mount_count; i++) {
		if (launch->spec.mounts[i].source_fd)
			close(launch->spec.mounts[i].source_fd);
		launch->spec.mounts[i].source_fd = 0;
	}
}

static int mount_root(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	const struct container *container = &m->container;
	const struct storage_ops *ops;
	struct storage *storage;
	struct storage_mount_request request = container_layers(container);
	request.flags = container->config.auto_remove ? STORAGE_VOLATILE : 0;
	int r = store_lock_layer(container, &m->layer_fd, err);
	if (r == 0)
		r = container_storage(m->engine, container, &ops, &storage, err);
	if (r == 0)
		r = ops->mount(storage, &request, &launch->rootfs_fd, err);
	trace_mark("overlay mounted");
	return r;
}

/* A running container whose namespace is shared: "/proc/<pid>/ns/<kind>". @ret_other (may be NULL):
 * the container, without open files. */
static int join_container(struct launch *launch, const char *mode, const char *kind,
			  const char **ret, struct container *ret_other, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	struct container other;
	const char *name;
	char id[65];
	if (!mode_container(mode, &name))
		return 0;
	int r = engine_resolve(m->engine, name, id, err);
	if (r == 0)
		r = engine_load(m->engine, m->arena, id, &other, err);
	if (r < 0)
		return r;
	container_close(&other);
	if (!other.pid || other.status != CONTAINER_RUNNING)
		return error_set(err, -ESRCH,
				 "cannot join the %s namespace of container %s: it is not running",
				 kind, name);
	*ret = arena_printf(m->arena, "/proc/%d/ns/%s", other.pid, kind);
	if (!*ret)
		return error_set(err, -ENOMEM, "out of memory");
	if (ret_other)
		*ret_other = other;
	return 0;
}

/* Who shares a network shares its name and its files under /etc, as with docker. */
static int share_identity(struct launch *launch, struct container *other, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	launch->etc_from = arena_strdup(m->arena, other->id);
	m->container.config.hostname = arena_strdup(m->arena, container_hostname(other));
	return launch->etc_from && m->container.config.hostname
		       ? 0
		       : error_set(err, -ENOMEM, "out of memory");
}

static int join_others(struct launch *launch, struct masu_error *err)
{
	const struct container_config *config = &launch->monitor->container.config;
	const char *network = NULL;
	struct container other;
	int r = join_container(launch, config->network, "net", &network, &other, err);
	if (r == 0)
		r = join_container(launch, config->pid_mode, "pid", &launch->join_pid, NULL, err);
	if (r == 0)
		r = join_container(launch, config->ipc_mode, "ipc", &launch->join_ipc, NULL, err);
	if (r == 0 && network)
		r = share_identity(launch, &other, err);
	if (r == 0 && network) {
		launch->netns_fd = open(network, O_RDONLY | O_CLOEXEC);
		if (launch->netns_fd < 0)
			r = error_errno(err, -errno, "cannot join the network of %s",
					config->network + strlen("container:"));
		launch->join_network = network;
	}
	return r;
}

static const char *etc_file(struct launch *launch, const char *name)
{
	struct monitor *m = launch->monitor;
	return arena_printf(m->arena, "%s/containers/%s/%s", m->engine->root,
			    launch->etc_from ? launch->etc_from : m->container.id, name);
}

static int build_spec(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	struct spec_context context = {
		.engine = m->engine,
		.arena = m->arena,
		.container = &m->container,
		.root_fd = launch->rootfs_fd,
		.hosts = etc_file(launch, "hosts"),
		.hostname = etc_file(launch, "hostname"),
		.resolv_conf = etc_file(launch, "resolv.conf"),
		.join_network = launch->join_network,
		.join_pid = launch->join_pid,
		.join_ipc = launch->join_ipc,
	};
	if (!context.hosts || !context.hostname || !context.resolv_conf)
		return error_set(err, -ENOMEM, "out of memory");
	int r = launch->etc_from ? 0 : etc_files_write(&m->container, err);
	if (r == 0)
		r = spec_build(&context, &launch->spec, err);
	trace_mark("spec built");
	return r;
}

/* The bundle is complete with it: any OCI tool can read what was started. */
static int write_bundle(struct launch *launch, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	struct json_writer w;
	buf_init(&text, 0);
	json_writer_init(&w, &text, false);
	oci_spec_write(&w, &launch->spec);
	int r = buf_error(&text);
	if (r == 0)
		r = fs_rewrite(launch->monitor->container.dir_fd, "config.json", buf_str(&text),
			       text.len, 0600);
	trace_mark("bundle written");
	return r < 0 ? error_errno(err, r, "%s/config.json", launch->bundle) : 0;
}

static int make_cgroup(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	int r = container_cgroup_create(&m->container, &launch->spec, &m->cgroup, err);
	trace_mark("cgroup made");
	return r;
}

/* The write end of a pipe belongs to the container's user, so that a program that opens
 * /dev/stdout again may. */
static int make_pipe(struct launch *launch, int index, int *ret_mine, struct masu_error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, -errno, "cannot make a pipe");
	int mine = index == 0 ? ends[1] : ends[0];
	launch->stdio[index] = index == 0 ? ends[0] : ends[1];
	*ret_mine = mine;
	const struct oci_process *process = &launch->spec.process;
	if (process->uid && fchown(launch->stdio[index], process->uid, process->gid) < 0)
		return error_errno(err, -errno, "cannot hand a pipe to the container's user");
	if (fcntl(mine, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, -errno, "cannot make a pipe non-blocking");
	return 0;
}

static int make_stdio(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	const struct container_config *config = &m->container.config;
	if (config->tty)
		return 0;
	int r = make_pipe(launch, 1, &m->io.outputs[0], err);
	if (r == 0)
		r = make_pipe(launch, 2, &m->io.outputs[1], err);
	if (r == 0 && config->open_stdin)
		return make_pipe(launch, 0, &m->io.stdin_fd, err);
	if (r == 0) {
		launch->stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (launch->stdio[0] < 0)
			r = error_errno(err, -errno, "/dev/null");
	}
	return r;
}

static int connect_network(struct launch *launch, pid_t pid, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	if (!engine_network_connects(&m->container.config)) {
		event_network(m->engine, &m->container, "connect");
		return 0;
	}
	int r = engine_network_connect(m->engine, m->arena, &m->container, pid, err);
	trace_mark("network connected");
	if (r == 0)
		r = monitor_open(m, err);
	if (r == 0)
		r = resolver_begin(m, pid, err);
	return r < 0 ? r : etc_hosts_write(&m->container, err);
}

/* What is alive, so that whoever looks can find, end and clean it up. */
static int record_live(struct launch *launch, enum container_status status, pid_t pid,
		       struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	char started[TIME_TEXT_SIZE];
	struct container *container = &m->container;
	bool known = container->pid == pid && container->pid_start_time;
	container->pid = pid;
	container->monitor_pid = getpid();
	container->status = status;
	if (status == CONTAINER_RUNNING) {
		container->exit_code = 0;
		container->oom_killed = false;
		container->error = "";
		container->finished = TIME_TEXT_NEVER;
		container->started = arena_strdup(m->arena, time_now_text(started));
		if (!container->started)
			return error_set(err, -ENOMEM, "out of memory");
	}
	/* Where it has failed already, it says why when it is listened to. */
	int r = known ? 0 : proc_child_start_time(pid, &container->pid_start_time);
	if (r == 0 && !m->start_time)
		r = proc_start_time(container->monitor_pid, &m->start_time);
	if (r < 0)
		return error_errno(err, r, "cannot record the start");
	r = store_write_live(container, m->start_time, m->cgroup, err);
	trace_mark("recorded");
	return r;
}

/* All that can be done while the process makes its mounts is done meanwhile. */
static int on_namespaces(void *opaque, pid_t pid, struct masu_error *err)
{
	struct launch *launch = opaque;
	struct monitor *m = launch->monitor;
	trace_mark("cloned");
	int r = 0;
	if (!launch->parked) {
		r = connect_network(launch, pid, err);
		if (r == 0 && engine_network_accelerates(&m->container.config))
			r = engine_network_accelerate(m->engine, &m->container,
						      cgroup_clone_fd(m->cgroup), err);
		if (r == 0)
			r = monitor_open(launch->monitor, err);
	}
	if (r == 0)
		r = record_live(launch, launch->parked ? CONTAINER_CREATED : CONTAINER_RUNNING, pid,
				err);
	/* It has failed already, and why is what the driver hears of it next. */
	if (r == -ESRCH)
		return 0;
	return r < 0 ? r : write_bundle(launch, err);
}

static struct exec_request request_of(struct launch *launch)
{
	const struct monitor *m = launch->monitor;
	return (struct exec_request) {
		.driver = m->container.config.runtime,
		.state_dir = launch->state_dir,
		.id = m->container.id,
		.bundle = launch->bundle,
		.bundle_fd = m->container.dir_fd,
		.spec = &launch->spec,
		.rootfs_fd = launch->rootfs_fd,
		.cgroup = m->cgroup,
		.network_ns_fd = launch->netns_fd,
		.stdio = { launch->stdio[0], launch->stdio[1], launch->stdio[2] },
		.gate_listen_fd = -1,
		.sysctl_last = m->container.config.sysctl_count > 0,
		/* A terminal gets its size between ready and start. */
		.start_at_once = !launch->parked && !m->container.config.tty,
		.traps = engine_network_traps(&m->container.config),
		.waits_filtered = launch->parked && spec_filter_is_default(&m->container.config),
		.on_namespaces = on_namespaces,
		.opaque = launch,
	};
}

static bool mounts_of_others(const struct container_config *config)
{
	for (size_t i = 0; i < config->mount_count; i++)
		if (config->mounts[i].kind != MOUNT_TMPFS)
			return true;
	return false;
}

static int create_process(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	const struct exec_request request = request_of(launch);
	int r = launch->driver->create(&request, &m->process, err);
	trace_mark("process created");
	launch_close(launch);
	if (r == 0 && !mounts_of_others(&m->container.config))
		m->mounts_fd = proc_mount_namespace(m->process.pidfd, m->process.pid);
	return r;
}

static void console_resize(struct monitor *m, unsigned short rows, unsigned short columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };
	if (m->io.tty && rows && columns)
		ioctl(m->io.outputs[0], TIOCSWINSZ, &size);
}

static int use_console(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	int console = m->process.console_fd;
	if (!m->container.config.tty)
		return 0;
	if (console < 0)
		return error_set(err, -EIO, "the exec driver returned no terminal");
	if (fcntl(console, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, -errno, "cannot make the terminal non-blocking");
	m->io.outputs[0] = take_fd(&m->process.console_fd);
	if (m->container.config.open_stdin)
		m->io.stdin_fd = m->io.outputs[0];
	return 0;
}

/* The starter's namespace for this container; without one the exec driver makes its own. */
static void receive_network(struct launch *launch)
{
	struct ctl_message message;
	int fd = -1;
	if (launch->network_follows &&
	    ctl_receive(launch->monitor->control_fd, &message, &fd) == 0 &&
	    message.type == CTL_NETWORK)
		launch->netns_fd = take_fd(&fd);
	cleanup_close(&fd);
	trace_mark("network received");
}

static int make_all(struct launch *launch, struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	const char *runtime = m->container.config.runtime;
	launch->driver = exec_driver(runtime);
	if (!launch->driver)
		return error_set(err, -EINVAL, "unknown or invalid runtime name: %s", runtime);
	int r = runtime ? container_state_dir(m->engine, m->arena, &m->container,
					      &launch->state_dir, err)
			: 0;
	if (r == 0)
		r = join_others(launch, err);
	if (r == 0)
		r = mount_root(launch, err);
	if (r == 0)
		r = volumes_populate(m->engine, &m->container, launch->rootfs_fd, err);
	if (r == 0)
		r = build_spec(launch, err);
	if (r == 0)
		r = make_cgroup(launch, err);
	if (r == 0)
		r = make_stdio(launch, err);
	if (r == 0)
		receive_network(launch);
	if (r == 0)
		r = create_process(launch, err);
	if (r == 0)
		r = use_console(launch, err);
	return r;
}

int launch_prepare(struct launch *launch, struct monitor *monitor,
		   const struct monitor_start *start, struct masu_error *err)
{
	*launch = (struct launch) { .monitor = monitor,
				    .parked = start->parked,
				    .network_follows = start->network_follows,
				    .rootfs_fd = -1,
				    .netns_fd = -1,
				    .stdio = { -1, -1, -1 } };
	int r = str_format(launch->bundle, sizeof(launch->bundle), "%s/containers/%s",
			   monitor->engine->root, monitor->container.id);
	if (r < 0)
		return error_errno(err, r, "--root %s", monitor->engine->root);
	r = make_all(launch, err);
	if (r < 0)
		launch_undo(launch);
	return r;
}

int launch_start(struct launch *launch, unsigned short rows, unsigned short columns,
		 struct masu_error *err)
{
	struct monitor *m = launch->monitor;
	int r = 0;
	if (launch->parked) {
		/* The network is not taken before it is needed, and the host's files may be others
		 * by now. */
		r = etc_files_refresh(&m->container, err);
		if (r == 0)
			r = connect_network(launch, m->process.pid, err);
		if (r == 0)
			r = record_live(launch, CONTAINER_RUNNING, m->process.pid, err);
		launch->parked = false;
	}
	console_resize(m, rows, columns);
	const struct exec_request request = request_of(launch);
	if (r == 0)
		r = launch->driver->start(&request, &m->process, err);
	trace_mark("process started");
	if (r < 0)
		launch_undo(launch);
	return r;
}

void launch_unmount(struct monitor *m)
{
	cleanup_close(&m->mounts_fd);
	cleanup_close(&m->layer_fd);
}

/* Also ends the process, where there is one. */
void launch_undo(struct launch *launch)
{
	struct monitor *m = launch->monitor;
	launch_close(launch);
	if (m->process.pidfd >= 0)
		sys_pidfd_send_signal(m->process.pidfd, SIGKILL);
	exec_container_close(&m->process);
	resolver_end(m);
	launch_unmount(m);
	if (container_cleanup(m->engine, m->arena, &m->container, m->cgroup, NULL) < 0)
		launch->unclean = true;
	cgroup_close(m->cgroup);
	m->cgroup = NULL;
}
