/* container_config_fill() backwards: from a container's configuration to the options that give it.
 */
#include "cli/recreate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/id.h"
#include "base/str.h"
#include "image/image.h"

struct line {
	struct engine *engine;
	struct arena *arena;
	const struct container_config *config;
	const struct image_config *image; /* what it brings; all empty where it is not there */
	struct recreate *out;
	int *failed;
};

static void add(const struct line *l, const char *flag, const char *value)
{
	struct recreate *out = l->out;
	if ((out->option_count & (out->option_count - 1)) == 0) {
		size_t room = out->option_count ? out->option_count * 2 : 1;
		struct recreate_option *grown = arena_array(l->arena, struct recreate_option, room);
		if (!grown) {
			*l->failed = -ENOMEM;
			return;
		}
		if (out->option_count)
			memcpy(grown, out->options, out->option_count * sizeof(*grown));
		out->options = grown;
	}
	out->options[out->option_count++] = (struct recreate_option) { flag, value };
}

static void add_flag(const struct line *l, const char *flag)
{
	add(l, flag, NULL);
}

/* The text built in @value; the buffer is empty then. */
static void add_built(const struct line *l, const char *flag, struct buf *value)
{
	const char *text = buf_error(value) ? NULL : arena_strdup(l->arena, buf_str(value));
	if (text)
		add(l, flag, text);
	else
		*l->failed = -ENOMEM;
	buf_reset(value);
}

static void add_number(const struct line *l, const char *flag, int64_t value)
{
	const char *text = arena_printf(l->arena, "%lld", (long long)value);
	if (text)
		add(l, flag, text);
	else
		*l->failed = -ENOMEM;
}

/* ---- plain options, each by its place in the configuration ---- */

#define AT(field) offsetof(struct container_config, field)

static const struct {
	const char *flag;
	size_t at;
} texts[] = {
	{ "--name", AT(name) },
	{ "--hostname", AT(hostname) },
	{ "--domainname", AT(domainname) },
	{ "--ipc", AT(ipc_mode) },
	{ "--pid", AT(pid_mode) },
	{ "--uts", AT(uts_mode) },
	{ "--cgroupns", AT(cgroupns_mode) },
	{ "--userns", AT(userns_mode) },
	{ "--cgroup-parent", AT(cgroup_parent) },
	{ "--runtime", AT(runtime) },
	{ "--cpuset-cpus", AT(cpuset_cpus) },
	{ "--cpuset-mems", AT(cpuset_mems) },
	{ "--log-driver", AT(log_driver) },
};

static const struct {
	const char *flag;
	size_t at;
} lists[] = {
	{ "--volumes-from", AT(volumes_from) }, { "--network-opt", AT(network_options) },
	{ "--precopy", AT(precopy) },		{ "--dns", AT(dns) },
	{ "--dns-option", AT(dns_options) },	{ "--dns-search", AT(dns_search) },
	{ "--add-host", AT(extra_hosts) },	{ "--cap-add", AT(cap_add) },
	{ "--cap-drop", AT(cap_drop) },		{ "--security-opt", AT(security_opt) },
	{ "--group-add", AT(group_add) },	{ "--device-cgroup-rule", AT(device_cgroup_rules) },
};

static const struct {
	const char *flag;
	size_t at;
} numbers[] = {
	{ "--memory", AT(memory) },
	{ "--memory-reservation", AT(memory_reservation) },
	{ "--memory-swap", AT(memory_swap) },
	{ "--kernel-memory", AT(kernel_memory) },
	{ "--shm-size", AT(shm_size) },
	{ "--cpu-shares", AT(cpu_shares) },
	{ "--cpu-quota", AT(cpu_quota) },
	{ "--cpu-period", AT(cpu_period) },
	{ "--cpu-rt-period", AT(cpu_rt_period) },
	{ "--cpu-rt-runtime", AT(cpu_rt_runtime) },
	{ "--pids-limit", AT(pids_limit) },
	{ "--blkio-weight", AT(blkio_weight) },
};

static const struct {
	const char *flag;
	size_t at;
} booleans[] = {
	{ "-t", AT(tty) },
	{ "-i", AT(open_stdin) },
	{ "--rm", AT(auto_remove) },
	{ "--privileged", AT(privileged) },
	{ "--read-only", AT(readonly_rootfs) },
	{ "--init", AT(init) },
	{ "--publish-all", AT(publish_all) },
	{ "--oom-kill-disable", AT(oom_kill_disable) },
	{ "--proc=limits", AT(proc_limits) },
};

static const struct {
	const char *flag;
	size_t at, count_at;
} pairs[] = {
	{ "--annotation", AT(annotations), AT(annotation_count) },
	{ "--sysctl", AT(sysctls), AT(sysctl_count) },
	{ "--log-opt", AT(log_options), AT(log_option_count) },
	{ "--storage-opt", AT(storage_options), AT(storage_option_count) },
};

static const void *field(const struct line *l, size_t at)
{
	return (const char *)l->config + at;
}

static void add_plain(const struct line *l, struct buf *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(booleans); i++)
		if (*(const bool *)field(l, booleans[i].at))
			add_flag(l, booleans[i].flag);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = *(const char *const *)field(l, texts[i].at);
		if (text && *text)
			add(l, texts[i].flag, text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const char *const *items = *(const char *const *const *)field(l, lists[i].at);
		for (; items && *items; items++)
			add(l, lists[i].flag, *items);
	}
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		int64_t number = *(const int64_t *)field(l, numbers[i].at);
		if (number)
			add_number(l, numbers[i].flag, number);
	}
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const struct oci_pair *list = *(struct oci_pair *const *)field(l, pairs[i].at);
		size_t count = *(const size_t *)field(l, pairs[i].count_at);
		for (size_t k = 0; k < count; k++) {
			buf_printf(value, "%s=%s", list[k].key, list[k].value);
			add_built(l, pairs[i].flag, value);
		}
	}
}

/* ---- options with a shape of their own ---- */

static void add_networks(const struct line *l, struct buf *value)
{
	const struct container_config *c = l->config;
	if (!c->networks && c->network)
		add(l, "--network", c->network);
	if (!c->networks && c->mac_address && *c->mac_address)
		add(l, "--mac-address", c->mac_address);
	for (size_t i = 0; i < c->network_count; i++) {
		const struct network_config *network = &c->networks[i];
		buf_printf(value, "name=%s", network->name);
		for (const char **alias = network->aliases; alias && *alias; alias++)
			buf_printf(value, ",alias=%s", *alias);
		if (network->ip)
			buf_printf(value, ",ip=%s", network->ip);
		if (network->ip6)
			buf_printf(value, ",ip6=%s", network->ip6);
		if (network->mac_address)
			buf_printf(value, ",mac-address=%s", network->mac_address);
		if (network->gw_priority)
			buf_printf(value, ",gw-priority=%d", network->gw_priority);
		add_built(l, "--network", value);
	}
}

static void add_streams(const struct line *l)
{
	const struct container_config *c = l->config;
	bool any = c->attach_stdin || c->attach_stdout || c->attach_stderr;
	if (!any) {
		add_flag(l, "-d");
		return;
	}
	/* Without options a container is attached to its output, with -i also to its input. */
	if (c->attach_stdout && c->attach_stderr && c->attach_stdin == c->open_stdin)
		return;
	if (c->attach_stdin)
		add(l, "-a", "stdin");
	if (c->attach_stdout)
		add(l, "-a", "stdout");
	if (c->attach_stderr)
		add(l, "-a", "stderr");
}

static bool has_string(char *const *list, const char *wanted)
{
	for (; list && *list; list++)
		if (streq(*list, wanted))
			return true;
	return false;
}

static bool image_label(const struct line *l, const struct oci_pair *label)
{
	for (size_t i = 0; i < l->image->label_count; i++)
		if (streq(l->image->labels[i].key, label->key) &&
		    streq(l->image->labels[i].value, label->value))
			return true;
	return false;
}

/* What an image may bring too. */
static void add_process(const struct line *l, struct buf *value)
{
	const struct container_config *c = l->config;
	if (c->user && *c->user && !streq_null(c->user, l->image->user))
		add(l, "--user", c->user);
	if (c->working_dir && *c->working_dir && !streq_null(c->working_dir, l->image->working_dir))
		add(l, "--workdir", c->working_dir);
	if (c->stop_signal && *c->stop_signal && !streq_null(c->stop_signal, l->image->stop_signal))
		add(l, "--stop-signal", c->stop_signal);
	if (c->stop_timeout >= 0)
		add_number(l, "--stop-timeout", c->stop_timeout);
	for (char **variable = c->env; variable && *variable; variable++)
		if (!has_string(l->image->env, *variable))
			add(l, "--env", *variable);
	for (size_t i = 0; i < c->label_count; i++) {
		if (image_label(l, &c->labels[i]))
			continue;
		buf_printf(value, "%s=%s", c->labels[i].key, c->labels[i].value);
		add_built(l, "--label", value);
	}
	for (const char **port = c->expose; port && *port; port++)
		if (!has_string((char *const *)l->image->exposed_ports, *port))
			add(l, "--expose", *port);
}

static bool same_strings(char *const *a, char *const *b)
{
	size_t count = strv_length(a);
	if (count != strv_length(b))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!streq(a[i], b[i]))
			return false;
	return true;
}

static void add_time(const struct line *l, const char *flag, int64_t ns, int64_t of_image,
		     struct buf *value)
{
	if (ns == 0 || ns == of_image)
		return;
	buf_printf(value, "%lldns", (long long)ns);
	add_built(l, flag, value);
}

/* A check in the words of an image (CMD) is left to that image. */
static void add_health(const struct line *l, struct buf *value)
{
	const struct image_healthcheck *check = &l->config->healthcheck;
	const struct image_healthcheck *given = &l->image->healthcheck;
	if (check->present && check->test && *check->test && streq(*check->test, "NONE")) {
		add_flag(l, "--no-healthcheck");
		return;
	}
	if (check->present && !same_strings(check->test, given->test) &&
	    strv_length(check->test) == 2 && streq(*check->test, "CMD-SHELL"))
		add(l, "--health-cmd", check->test[1]);
	add_time(l, "--health-interval", check->interval_ns, given->interval_ns, value);
	add_time(l, "--health-timeout", check->timeout_ns, given->timeout_ns, value);
	add_time(l, "--health-start-period", check->start_period_ns, given->start_period_ns, value);
	add_time(l, "--health-start-interval", check->start_interval_ns, given->start_interval_ns,
		 value);
	if (check->retries && check->retries != given->retries)
		add_number(l, "--health-retries", check->retries);
	if (l->config->health_on_failure)
		add(l, "--health-on-failure", l->config->health_on_failure);
}

static void add_limits(const struct line *l, struct buf *value)
{
	static const char *const blkio_flags[BLKIO_LIMIT_COUNT] = {
		[BLKIO_WEIGHT] = "--blkio-weight-device",
		[BLKIO_READ_BPS] = "--device-read-bps",
		[BLKIO_WRITE_BPS] = "--device-write-bps",
		[BLKIO_READ_IOPS] = "--device-read-iops",
		[BLKIO_WRITE_IOPS] = "--device-write-iops",
	};
	const struct container_config *c = l->config;
	if (c->nano_cpus) {
		int64_t part = c->nano_cpus % 1000000000;
		int digits = 9;
		for (; part && part % 10 == 0; digits--)
			part /= 10;
		buf_printf(value, "%lld", (long long)c->nano_cpus / 1000000000);
		if (part)
			buf_printf(value, ".%0*lld", digits, (long long)part);
		add_built(l, "--cpus", value);
	}
	if (c->memory_swappiness >= 0)
		add_number(l, "--memory-swappiness", c->memory_swappiness);
	if (c->oom_score_adj)
		add_number(l, "--oom-score-adj", c->oom_score_adj);
	for (size_t i = 0; i < c->ulimit_count; i++) {
		const struct oci_rlimit *limit = &c->ulimits[i];
		const char *name = str_after(limit->name, "RLIMIT_");
		for (name = name ? name : limit->name; *name; name++)
			buf_putc(value, *name >= 'A' && *name <= 'Z' ? (char)(*name + 32) : *name);
		buf_printf(value, "=%lld:%lld", (long long)limit->soft, (long long)limit->hard);
		add_built(l, "--ulimit", value);
	}
	for (size_t i = 0; i < c->device_count; i++) {
		buf_printf(value, "%s:%s:%s", c->devices[i].host, c->devices[i].container,
			   c->devices[i].permissions);
		add_built(l, "--device", value);
	}
	for (size_t i = 0; i < c->blkio_device_count; i++) {
		const struct blkio_device_config *device = &c->blkio_devices[i];
		buf_printf(value, "%s:%llu", device->path, (unsigned long long)device->value);
		add_built(l, blkio_flags[device->limit], value);
	}
}

static void add_restart(const struct line *l, struct buf *value)
{
	static const char *const names[] = { [RESTART_ALWAYS] = "always",
					     [RESTART_ON_FAILURE] = "on-failure",
					     [RESTART_UNLESS_STOPPED] = "unless-stopped" };
	if (l->config->restart == RESTART_NO)
		return;
	buf_puts(value, names[l->config->restart]);
	if (l->config->restart_max)
		buf_printf(value, ":%d", l->config->restart_max);
	add_built(l, "--restart", value);
}

static void add_ports(const struct line *l, struct buf *value)
{
	static const char *const protocols[] = {
		[NETWORK_TCP] = "tcp", [NETWORK_UDP] = "udp", [NETWORK_SCTP] = "sctp"
	};
	for (size_t i = 0; i < l->config->port_count; i++) {
		const struct network_port *port = &l->config->ports[i];
		char ip[INET6_ADDRSTRLEN];
		if (port->host_ip_set) {
			inet_ntop(port->host_family, &port->host_ip, ip, sizeof(ip));
			buf_printf(value, port->host_family == AF_INET6 ? "[%s]:" : "%s:", ip);
		}
		if (port->host_port)
			buf_printf(value, "%u", port->host_port);
		if (port->host_port || port->host_ip_set)
			buf_putc(value, ':');
		buf_printf(value, "%u/%s", port->container_port, protocols[port->protocol]);
		if (port->mode != NETWORK_MODE_DEFAULT)
			buf_printf(value, ",mode=%s", network_mode_name(port->mode));
		add_built(l, "--publish", value);
	}
}

/* ---- mounts ---- */

/* A volume with an id for a name was made for the container. */
static bool is_anonymous(const struct mount_config *mount)
{
	return mount->kind == MOUNT_VOLUME && mount->source && strlen(mount->source) == ID_LENGTH &&
	       id_prefix_valid(mount->source);
}

/* What --volumes-from brings is left to it. */
static bool comes_from_others(const struct line *l, const struct mount_config *mount)
{
	for (const char **from = l->config->volumes_from; from && *from; from++) {
		char id[65], *name = arena_strndup(l->arena, *from, strcspn(*from, ":"));
		struct container other;
		if (!name || engine_resolve(l->engine, name, id, NULL) < 0 ||
		    engine_load(l->engine, l->arena, id, &other, NULL) < 0)
			continue;
		container_close(&other);
		for (size_t i = 0; i < other.config.mount_count; i++)
			if (streq(other.config.mounts[i].target, mount->target) &&
			    streq_null(other.config.mounts[i].source, mount->source))
				return true;
	}
	return false;
}

static void add_volume_option(const struct line *l, const struct mount_config *mount,
			      struct buf *value)
{
	if (!is_anonymous(mount))
		buf_printf(value, "%s:", mount->source);
	buf_puts(value, mount->target);
	if (mount->readonly || mount->propagation || mount->nocopy)
		buf_printf(value, ":%s%s%s%s", mount->readonly ? "ro" : "rw",
			   mount->nocopy ? ",nocopy" : "", mount->propagation ? "," : "",
			   mount->propagation ? mount->propagation : "");
	add_built(l, "--volume", value);
}

/* A field of --mount, which is a line of CSV. */
static void put_mount_field(struct buf *value, const char *key, const char *text)
{
	bool quoted = strpbrk(text, ",\"\n") != NULL;
	buf_putc(value, ',');
	if (quoted)
		buf_putc(value, '"');
	buf_printf(value, "%s=", key);
	for (; *text; text++) {
		if (*text == '"')
			buf_putc(value, '"');
		buf_putc(value, *text);
	}
	if (quoted)
		buf_putc(value, '"');
}

static void put_mount_pairs(struct buf *value, const char *key, const struct oci_pair *list,
			    size_t count, struct arena *arena)
{
	for (size_t i = 0; i < count; i++) {
		const char *text = arena_printf(arena, "%s=%s", list[i].key, list[i].value);
		put_mount_field(value, key, text ? text : "");
	}
}

static void add_mount_option(const struct line *l, const struct mount_config *mount,
			     struct buf *value)
{
	static const char *const kinds[] = {
		[MOUNT_BIND] = "bind", [MOUNT_VOLUME] = "volume", [MOUNT_TMPFS] = "tmpfs"
	};
	buf_printf(value, "type=%s", kinds[mount->kind]);
	if (mount->source && !is_anonymous(mount))
		put_mount_field(value, "source", mount->source);
	put_mount_field(value, "target", mount->target);
	if (mount->readonly)
		buf_puts(value, ",readonly");
	if (mount->propagation)
		put_mount_field(value, "bind-propagation", mount->propagation);
	if (mount->nonrecursive)
		buf_puts(value, ",bind-nonrecursive");
	if (mount->recursive)
		put_mount_field(value, "bind-recursive", mount->recursive);
	if (mount->create_mountpoint)
		buf_puts(value, ",bind-create-src");
	if (mount->nocopy)
		buf_puts(value, ",volume-nocopy");
	if (mount->tmpfs_size)
		buf_printf(value, ",tmpfs-size=%lld", (long long)mount->tmpfs_size);
	if (mount->tmpfs_mode)
		buf_printf(value, ",tmpfs-mode=%o", mount->tmpfs_mode);
	if (mount->volume_driver)
		put_mount_field(value, "volume-driver", mount->volume_driver);
	if (mount->subpath)
		put_mount_field(value, "volume-subpath", mount->subpath);
	put_mount_pairs(value, "volume-opt", mount->volume_options, mount->volume_option_count,
			l->arena);
	put_mount_pairs(value, "volume-label", mount->volume_labels, mount->volume_label_count,
			l->arena);
	add_built(l, "--mount", value);
}

static void add_mounts(const struct line *l, struct buf *value)
{
	for (size_t i = 0; i < l->config->mount_count; i++) {
		const struct mount_config *mount = &l->config->mounts[i];
		bool of_image = is_anonymous(mount) &&
				has_string((char *const *)l->image->volumes, mount->target);
		if (of_image || comes_from_others(l, mount))
			continue;
		if (mount->tmpfs_options) {
			buf_printf(value, "%s:%s", mount->target, mount->tmpfs_options);
			add_built(l, "--tmpfs", value);
		} else if (mount->create_source || is_anonymous(mount)) {
			add_volume_option(l, mount, value);
		} else {
			add_mount_option(l, mount, value);
		}
	}
}

/* ---- what runs ---- */

/* One that came with its own entrypoint has nothing of the image's command. An entrypoint of
 * several words can only be the image's: where that is gone, the words after the first go in front
 * of the command. */
static int add_command(const struct line *l)
{
	const struct container_config *c = l->config;
	bool own = !same_strings(c->entrypoint, l->image->entrypoint);
	char *const *first = own && c->entrypoint && *c->entrypoint ? c->entrypoint + 1 : NULL;
	char *const *then = own || !same_strings(c->cmd, l->image->cmd) ? c->cmd : NULL;
	size_t count = 0;
	if (own)
		add(l, "--entrypoint", c->entrypoint && *c->entrypoint ? *c->entrypoint : "");
	const char **words =
		arena_array(l->arena, const char *, strv_length(first) + strv_length(then) + 1);
	if (!words)
		return -ENOMEM;
	for (; first && *first; first++)
		words[count++] = *first;
	for (; then && *then; then++)
		words[count++] = *then;
	l->out->image = c->image;
	l->out->command = words;
	return 0;
}

int recreate_options(struct engine *engine, struct arena *arena, const struct container *container,
		     struct recreate *ret, struct masu_error *err)
{
	_cleanup_buf_ struct buf value;
	struct container_config *config = arena_new(arena, struct container_config);
	struct recreate out = { 0 };
	struct image image = { 0 };
	int failed = 0;
	buf_init(&value, 0);
	if (!config)
		return error_set(err, -ENOMEM, "out of memory");
	*config = container->config;
	config->name = container->name;
	const struct line l = { engine, arena, config, &image.config, &out, &failed };
	if (image_find(engine->root_fd, arena, config->image, &image, NULL) < 0 ||
	    !streq(image.id, container->image_id))
		image = (struct image) { 0 };
	add_streams(&l);
	add_plain(&l, &value);
	add_process(&l, &value);
	add_networks(&l, &value);
	add_health(&l, &value);
	add_restart(&l, &value);
	add_limits(&l, &value);
	add_ports(&l, &value);
	add_mounts(&l, &value);
	int r = add_command(&l);
	if (r < 0 || failed < 0)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = out;
	return 0;
}

/* One word for sh: bare where that is safe, else in single quotes. */
static void put_word(struct buf *out, const char *word)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_@%+=:,./-";
	buf_putc(out, ' ');
	if (*word && strspn(word, safe) == strlen(word)) {
		buf_puts(out, word);
		return;
	}
	buf_putc(out, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf_puts(out, "'\\''");
		else
			buf_putc(out, *word);
	}
	buf_putc(out, '\'');
}

int recreate_line(struct engine *engine, struct arena *arena, const struct container *container,
		  struct buf *out, struct masu_error *err)
{
	struct recreate line;
	int r = recreate_options(engine, arena, container, &line, err);
	if (r < 0)
		return r;
	buf_puts(out, "masu run");
	for (size_t i = 0; i < line.option_count; i++) {
		buf_printf(out, " %s", line.options[i].flag);
		if (line.options[i].value)
			put_word(out, line.options[i].value);
	}
	put_word(out, line.image);
	for (const char *const *word = line.command; *word; word++)
		put_word(out, *word);
	return buf_error(out) ? error_errno(err, buf_error(out), "ps --command") : 0;
}
