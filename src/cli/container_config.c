/* From options to the configuration of a container. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/container_options.h"
#include "cli/image_pull.h"
#include "cli/parse.h"
#include "sys/fs.h"

struct fill {
	struct arena *arena;
	const struct container_options *options;
	struct container_config *config;
	struct masu_error *err;
};

static int no_memory(struct fill *f)
{
	return error_set(f->err, -ENOMEM, "out of memory");
}

static int refuse(struct fill *f, const char *message)
{
	return error_set(f->err, -EINVAL, "%s", message);
}

/* ---- what is there to be refused ---- */

static int check_unsupported(struct fill *f)
{
	const struct container_options *o = f->options;
	if (o->link.count)
		return error_set(
			f->err, -ENOTSUP,
			"--link is not supported; containers of one user-defined network reach "
			"each other by name (--network NAME, with --network-alias for another)");
	if (o->link_local_ip.count)
		return error_set(f->err, -ENOTSUP,
				 "--link-local-ip is not supported; use --ip or --ip6");
	if (o->gpus)
		return error_set(f->err, -ENOTSUP,
				 "--gpus is not supported; give the container the GPU's nodes with "
				 "--device and its libraries with --volume");
	if (o->isolation && *o->isolation && !streq(o->isolation, "default"))
		return error_set(f->err, -EINVAL, "invalid isolation \"%.100s\" on linux",
				 o->isolation);
	if (!o->disable_content_trust)
		return error_set(f->err, -ENOTSUP,
				 "--disable-content-trust=false: content trust is not supported");
	return image_pull_policy_check(o->pull, f->err);
}

static int check_platform(struct fill *f)
{
	struct utsname host;
	const char *platform = f->options->platform;
	if (!platform || !*platform || streq(platform, "linux"))
		return 0;
	const char *architecture = str_after(platform, "linux/");
	if (!architecture)
		architecture = platform;
	if (uname(&host) == 0) {
		const char *goarch = streq(host.machine, "x86_64")    ? "amd64"
				     : streq(host.machine, "aarch64") ? "arm64"
								      : host.machine;
		if (streq(architecture, host.machine) || streq(architecture, goarch) ||
		    (streq(goarch, "arm64") && streq(architecture, "arm64/v8")))
			return 0;
	}
	return error_set(f->err, -ENOTSUP, "--platform %.100s: this machine cannot run it",
			 platform);
}

static bool is_container_mode(const char *mode)
{
	const char *name = str_after(mode, "container:");
	return name && *name;
}

static int check_modes(struct fill *f)
{
	const struct container_options *o = f->options;
	if (o->pid && *o->pid && !streq(o->pid, "host") && !is_container_mode(o->pid))
		return refuse(f, "--pid: invalid PID mode");
	if (o->uts && *o->uts && !streq(o->uts, "host"))
		return refuse(f, "--uts: invalid UTS mode");
	if (o->userns && *o->userns && !streq(o->userns, "host"))
		return refuse(f, "--userns: invalid USER mode");
	if (o->cgroupns && *o->cgroupns && !streq(o->cgroupns, "host") &&
	    !streq(o->cgroupns, "private"))
		return refuse(f, "--cgroupns: invalid CGROUP mode");
	return 0;
}

/* container:NAME shares that container's whole network, so nothing of it can be set here. */
static int check_network_conflicts(struct fill *f)
{
	const struct container_options *o = f->options;
	if (!f->config->network || !is_container_mode(f->config->network))
		return 0;
	if (o->hostname)
		return refuse(f, "conflicting options: hostname and the network mode");
	if (o->publish.count || o->publish_all)
		return refuse(
			f,
			"conflicting options: port publishing and the container type network mode");
	if (o->expose.count)
		return refuse(
			f,
			"conflicting options: port exposing and the container type network mode");
	if (o->dns.count || o->dns_search.count || o->dns_option.count)
		return refuse(f, "conflicting options: dns and the network mode");
	if (o->add_host.count)
		return refuse(
			f, "conflicting options: custom host-to-IP mapping and the network mode");
	if (o->mac_address)
		return refuse(f, "conflicting options: mac-address and the network mode");
	return 0;
}

/* ---- parts ---- */

static int fill_streams(struct fill *f)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	for (size_t i = 0; i < o->attach.count; i++) {
		const char *stream = o->attach.items[i];
		if (strcasecmp(stream, "stdin") == 0)
			c->attach_stdin = true;
		else if (strcasecmp(stream, "stdout") == 0)
			c->attach_stdout = true;
		else if (strcasecmp(stream, "stderr") == 0)
			c->attach_stderr = true;
		else
			return parse_refuse(f->err, "-a, --attach", stream,
					    "valid streams are STDIN, STDOUT and STDERR");
	}
	if (o->attach.count == 0)
		c->attach_stdout = c->attach_stderr = true;
	if (o->interactive)
		c->attach_stdin = true;
	c->tty = o->tty;
	c->open_stdin = o->interactive;
	c->stdin_once = c->open_stdin && c->attach_stdin;
	return 0;
}

static int fill_process(struct fill *f, int argc, char **argv)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	c->image = argv[0];
	if (argc > 1) {
		c->cmd = argv + 1;
		c->cmd_set = true;
	}
	if (o->entrypoint) {
		c->entrypoint = arena_array(f->arena, char *, 2);
		if (!c->entrypoint)
			return no_memory(f);
		c->entrypoint[0] = (char *)o->entrypoint;
		c->entrypoint_set = true;
	}
	if (o->workdir && *o->workdir != '/')
		return error_set(f->err, -EINVAL,
				 "the working directory '%.200s' is invalid, it needs to be an "
				 "absolute path",
				 o->workdir);
	c->name = o->name;
	c->user = o->user;
	c->working_dir = o->workdir;
	c->stop_signal = o->stop_signal;
	c->stop_timeout = o->stop_timeout < INT32_MAX ? (int)o->stop_timeout : INT32_MAX;
	c->privileged = o->privileged;
	c->init = o->init;
	c->auto_remove = o->rm;
	int r = parse_runtime(f->arena, o->exec, o->runtime, &c->runtime, f->err);
	if (r < 0)
		return r;
	r = parse_environment(f->arena, &o->env_file, &o->env, &c->env, f->err);
	if (r == 0)
		r = parse_labels(f->arena, &o->label_file, &o->label, &c->labels, &c->label_count,
				 f->err);
	if (r == 0)
		r = parse_pairs(f->arena, "--annotation", &o->annotation, &c->annotations,
				&c->annotation_count, f->err);
	if (r == 0 && o->kernel)
		r = parse_kernel(f->arena, o->kernel, c, f->err);
	return r;
}

static int fill_health(struct fill *f)
{
	return container_health_fill(f->arena, f->options, f->config, f->err);
}

static int fill_restart(struct fill *f)
{
	const char *policy = f->options->restart ? f->options->restart : "no";
	int r = parse_restart(policy, &f->config->restart, &f->config->restart_max, f->err);
	if (r == 0 && f->config->restart != RESTART_NO && f->options->rm)
		return refuse(f, "conflicting options: cannot specify both --restart and --rm");
	return r;
}

typedef int (*mount_parser)(struct arena *arena, const char *value, struct mount_config *ret,
			    struct masu_error *err);

static int add_mounts(struct fill *f, const struct cli_list *values, mount_parser parser)
{
	struct container_config *c = f->config;
	for (size_t i = 0; i < values->count; i++) {
		struct mount_config *mount = &c->mounts[c->mount_count];
		int r = parser(f->arena, values->items[i], mount, f->err);
		if (r < 0)
			return r;
		for (size_t k = 0; k < c->mount_count; k++)
			if (streq(c->mounts[k].target, mount->target))
				return error_set(f->err, -EINVAL, "Duplicate mount point: %.200s",
						 mount->target);
		c->mount_count++;
	}
	return 0;
}

static int fill_mounts(struct fill *f)
{
	const struct container_options *o = f->options;
	size_t total = o->volume.count + o->mount.count + o->tmpfs.count;
	f->config->mounts = arena_array(f->arena, struct mount_config, total + 1);
	if (!f->config->mounts)
		return no_memory(f);
	if (o->volume_driver && *o->volume_driver && !streq(o->volume_driver, "local"))
		return error_set(f->err, -ENOTSUP,
				 "--volume-driver: \"%.128s\" is not supported; use \"local\"",
				 o->volume_driver);
	f->config->volumes_from = o->volumes_from.items;
	f->config->precopy = o->precopy.items;
	f->config->readonly_rootfs = o->read_only;
	int r = add_mounts(f, &o->volume, parse_volume);
	if (r == 0)
		r = add_mounts(f, &o->mount, parse_mount);
	return r < 0 ? r : add_mounts(f, &o->tmpfs, parse_tmpfs);
}

static int fill_name_service(struct fill *f)
{
	const struct container_options *o = f->options;
	struct cli_list hosts = { 0 };
	int r = 0;
	for (size_t i = 0; i < o->dns.count && r == 0; i++)
		r = parse_dns_server(o->dns.items[i], f->err);
	for (size_t i = 0; i < o->dns_search.count && r == 0; i++)
		r = parse_dns_search(o->dns_search.items[i], f->err);
	for (size_t i = 0; i < o->add_host.count && r == 0; i++) {
		const char *host = NULL;
		r = parse_add_host(f->arena, o->add_host.items[i], &host, f->err);
		if (r == 0 && cli_list_add(f->arena, &hosts, host) < 0)
			r = no_memory(f);
	}
	f->config->dns = o->dns.items;
	f->config->dns_search = o->dns_search.items;
	f->config->dns_options = o->dns_option.items;
	f->config->extra_hosts = hosts.items;
	return r;
}

static int fill_network(struct fill *f)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	int r = container_networks_fill(f->arena, o, c, f->err);
	if (r == 0)
		r = check_network_conflicts(f);
	for (size_t i = 0; i < o->publish.count && r == 0; i++)
		r = network_port_parse(f->arena, o->publish.items[i], &c->ports, &c->port_count,
				       f->err);
	struct cli_list expose = { 0 };
	for (size_t i = 0; i < o->expose.count && r == 0; i++)
		r = parse_expose(f->arena, o->expose.items[i], &expose, f->err);
	if (r == 0)
		r = fill_name_service(f);
	c->hostname = o->hostname;
	c->domainname = o->domainname;
	c->expose = expose.items;
	c->publish_all = o->publish_all;
	return r;
}

static int fill_security(struct fill *f)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	c->cap_add = o->cap_add.items;
	c->cap_drop = o->cap_drop.items;
	c->group_add = o->group_add.items;
	c->ipc_mode = o->ipc;
	c->pid_mode = o->pid;
	c->uts_mode = o->uts;
	c->cgroupns_mode = o->cgroupns;
	c->userns_mode = o->userns;
	c->device_cgroup_rules = o->device_cgroup_rule.items;
	c->devices = arena_array(f->arena, struct device_config, o->device.count + 1);
	if (!c->devices)
		return no_memory(f);
	int r = check_modes(f);
	for (size_t i = 0; i < o->device.count && r == 0; i++)
		r = parse_device(f->arena, o->device.items[i], &c->devices[c->device_count++],
				 f->err);
	for (size_t i = 0; i < o->device_cgroup_rule.count && r == 0; i++)
		r = parse_device_rule(o->device_cgroup_rule.items[i], f->err);
	if (r == 0)
		r = parse_security_options(f->arena, &o->security_opt, &c->security_opt, f->err);
	return r < 0 ? r
		     : parse_sysctls(f->arena, &o->sysctl, &c->sysctls, &c->sysctl_count, f->err);
}

/* Of several --ulimit of one type the last counts, as docker keeps them in a map. */
static int fill_ulimits(struct fill *f)
{
	const struct cli_list *values = &f->options->ulimit;
	struct container_config *c = f->config;
	c->ulimits = arena_array(f->arena, struct oci_rlimit, values->count + 1);
	if (!c->ulimits)
		return no_memory(f);
	for (size_t i = 0; i < values->count; i++) {
		struct oci_rlimit limit;
		size_t at = 0;
		int r = parse_ulimit(f->arena, values->items[i], &limit, f->err);
		if (r < 0)
			return r;
		while (at < c->ulimit_count && c->ulimits[at].resource != limit.resource)
			at++;
		c->ulimits[at] = limit;
		c->ulimit_count += at == c->ulimit_count;
	}
	return 0;
}

static int check_cpu(struct fill *f)
{
	const struct container_config *c = f->config;
	long cpus = c->nano_cpus > 0 ? sysconf(_SC_NPROCESSORS_ONLN) : 0;
	if (c->nano_cpus > 0 && (c->nano_cpus < 10000000 || c->nano_cpus > cpus * 1000000000LL))
		return error_set(f->err, -EINVAL,
				 "range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs "
				 "available",
				 cpus, cpus);
	if (c->cpu_period && (c->cpu_period < 1000 || c->cpu_period > 1000000))
		return refuse(
			f, "CPU cfs period cannot be less than 1ms (i.e. 1000) or larger than 1s "
			   "(i.e. 1000000)");
	if (c->cpu_quota > 0 && c->cpu_quota < 1000)
		return refuse(f, "CPU cfs quota cannot be less than 1ms (i.e. 1000)");
	if (c->cpu_shares < 0)
		return error_set(f->err, -EINVAL, "shares must be positive: invalid value %lld",
				 (long long)c->cpu_shares);
	if (c->blkio_weight && (c->blkio_weight < 10 || c->blkio_weight > 1000))
		return refuse(f, "range of blkio weight is from 10 to 1000");
	return 0;
}

static int fill_blkio(struct fill *f)
{
	struct container_config *c = f->config;
	size_t count = 0;
	int r = 0;
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT; limit++)
		count += f->options->blkio_devices[limit].count;
	c->blkio_devices = arena_array(f->arena, struct blkio_device_config, count + 1);
	if (!c->blkio_devices)
		return no_memory(f);
	for (int limit = 0; limit < BLKIO_LIMIT_COUNT; limit++) {
		const struct cli_list *values = &f->options->blkio_devices[limit];
		for (size_t i = 0; i < values->count && r == 0; i++)
			r = parse_blkio_device((enum blkio_limit)limit, f->arena, values->items[i],
					       &c->blkio_devices[c->blkio_device_count++], f->err);
	}
	return r;
}

static int fill_proc(struct fill *f)
{
	const char *proc = f->options->proc;
	if (proc && !streq(proc, "host") && !streq(proc, "limits"))
		return error_set(f->err, -EINVAL,
				 "--proc: invalid value \"%.100s\": it is \"host\" or \"limits\"",
				 proc);
	f->config->proc_limits = proc && streq(proc, "limits");
	return 0;
}

static int fill_resources(struct fill *f)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	if (o->memory_swappiness < -1 || o->memory_swappiness > 100)
		return error_set(f->err, -EINVAL,
				 "invalid value: %lld. Valid memory swappiness range is 0-100",
				 (long long)o->memory_swappiness);
	if (o->oom_score_adj < -1000 || o->oom_score_adj > 1000)
		return error_set(f->err, -EINVAL,
				 "invalid value %lld, range for oom score adj is [-1000, 1000]",
				 (long long)o->oom_score_adj);
	if (o->memory_reservation && o->memory && o->memory < o->memory_reservation)
		return refuse(
			f,
			"minimum memory limit can not be less than memory reservation limit, see "
			"usage");
	c->memory = o->memory;
	c->memory_reservation = o->memory_reservation;
	c->memory_swap = o->memory_swap;
	c->memory_swappiness = o->memory_swappiness;
	c->kernel_memory = o->kernel_memory;
	c->shm_size = o->shm_size;
	c->cpu_shares = o->cpu_shares;
	c->cpu_quota = o->cpu_quota;
	c->cpu_period = o->cpu_period;
	c->cpu_rt_period = o->cpu_rt_period;
	c->cpu_rt_runtime = o->cpu_rt_runtime;
	c->cpuset_cpus = o->cpuset_cpus;
	c->cpuset_mems = o->cpuset_mems;
	c->pids_limit = o->pids_limit;
	c->blkio_weight = o->blkio_weight;
	c->oom_kill_disable = o->oom_kill_disable;
	c->oom_score_adj = (int)o->oom_score_adj;
	c->cgroup_parent = o->cgroup_parent;
	int r = o->cpus ? parse_cpus(o->cpus, &c->nano_cpus, f->err) : 0;
	if (r == 0)
		r = check_cpu(f);
	return r < 0 ? r : fill_ulimits(f);
}

static int fill_drivers(struct fill *f)
{
	const struct container_options *o = f->options;
	struct container_config *c = f->config;
	c->log_driver = o->log_driver;
	int r = parse_pairs(f->arena, "--log-opt", &o->log_opt, &c->log_options,
			    &c->log_option_count, f->err);
	if (r < 0)
		return r;
	return parse_pairs(f->arena, "--storage-opt", &o->storage_opt, &c->storage_options,
			   &c->storage_option_count, f->err);
}

int container_config_fill(struct arena *arena, const struct container_options *options, int argc,
			  char **argv, struct container_config *ret, struct masu_error *err)
{
	static int (*const parts[])(struct fill *) = {
		check_unsupported, check_platform, fill_streams, fill_restart,
		fill_health,	   fill_mounts,	   fill_network, fill_security,
		fill_resources,	   fill_blkio,	   fill_proc,	 fill_drivers,
	};
	struct container_config config = { 0 };
	struct fill fill = { arena, options, &config, err };
	int r = fill_process(&fill, argc, argv);
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = parts[i](&fill);
	if (r < 0) {
		if (err && err->exit_status == 0)
			error_exit_status(err, 125);
		return r;
	}
	*ret = config;
	return 0;
}

int container_cidfile_open(const char *path, int *ret_fd, struct masu_error *err)
{
	*ret_fd = -1;
	if (!path)
		return 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return error_set(
			err, -EEXIST,
			"container ID file found, make sure the other container isn't running or "
			"delete %.200s",
			path);
	if (fd < 0)
		return error_errno(err, -errno, "failed to create the container ID file %.200s",
				   path);
	*ret_fd = fd;
	return 0;
}

int container_cidfile_write(int fd, const char *path, const char *id, struct masu_error *err)
{
	int r = fd < 0 ? 0 : fs_write_all(fd, id, strlen(id));
	return r < 0 ? error_errno(err, r, "failed to write the container ID file %.200s", path)
		     : 0;
}
