/* `masu info`: what this machine and this root are, under docker's names. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cli/format.h"
#include "cli/session.h"
#include "cold/system/verbs.h"
#include "exec/exec.h"
#include "storage/storage.h"
#include "sys/fs.h"

#define WARNINGS_MAX 16
#define TEXT_MAX     256

struct counts {
	size_t running, paused, stopped, all, images;
};

/* What is found out before it is written in docker's order. */
struct facts {
	struct engine *engine;
	struct counts counts;
	struct utsname host;
	enum cgroup_layout layout;
	bool memory, swap, cpu, cpuset, pids, blkio, cgroup_namespaces;
	struct storage_config storage;
	const char *storage_reason; /* why the storage driver does not work here; NULL: it does */
	const char *filesystem;	    /* that the root is on */
	char system[TEXT_MAX];
	int cpus;
	uint64_t memory_total;
	const char *warnings[WARNINGS_MAX];
	size_t warning_count;
};

static int count_one(void *opaque, struct arena *arena, const struct container *container,
		     struct masu_error *err)
{
	struct counts *counts = opaque;
	counts->all++;
	if (container->status == CONTAINER_RUNNING || container->status == CONTAINER_RESTARTING)
		counts->running++;
	else if (container->status == CONTAINER_PAUSED)
		counts->paused++;
	else
		counts->stopped++;
	return 0;
}

/* An image with several names is one. */
static int count_images(struct engine *engine, struct arena *arena, size_t *ret,
			struct masu_error *err)
{
	struct image *images;
	size_t count, different = 0;
	int r = image_list(engine->root_fd, arena, &images, &count, err);
	/* Those of one image are neighbours: sorted by time, then id. */
	for (size_t i = 0; r == 0 && i < count; i++)
		different += i == 0 || !streq(images[i].id, images[i - 1].id);
	*ret = different;
	return r;
}

static const char *filesystem_name(int fd)
{
	static const struct {
		long magic;
		const char *name;
	} known[] = {
		{ EXT4_SUPER_MAGIC, "extfs" },		{ XFS_SUPER_MAGIC, "xfs" },
		{ BTRFS_SUPER_MAGIC, "btrfs" },		{ TMPFS_MAGIC, "tmpfs" },
		{ F2FS_SUPER_MAGIC, "f2fs" },		{ NFS_SUPER_MAGIC, "nfs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlayfs" }, { 0x2fc12fc1, "zfs" },
	};
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return "<unknown>";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].magic == (long)fs.f_type)
			return known[i].name;
	return "<unknown>";
}

/* PRETTY_NAME of os-release(5). */
static void read_system(char ret[TEXT_MAX])
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 65536);
	snprintf(ret, TEXT_MAX, "<unknown>");
	if (fs_read_at(AT_FDCWD, "/etc/os-release", 65536, &text) < 0)
		return;
	const char *at = strstr(buf_str(&text), "PRETTY_NAME=");
	if (!at)
		return;
	at += strlen("PRETTY_NAME=");
	at += *at == '"';
	snprintf(ret, TEXT_MAX, "%.*s", (int)strcspn(at, "\"\n"), at);
}

/* Whether the kernel has the controller in a hierarchy, or in the cgroup2 tree. */
static bool has_controller(const struct facts *facts, const char *name)
{
	char path[64], list[TEXT_MAX];
	if (facts->layout != CGROUP_V2) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", name);
		return access(path, F_OK) == 0;
	}
	if (fs_read_small(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", list, sizeof(list)) < 0)
		return false;
	size_t len = strlen(name);
	for (const char *at = list; (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

static void warn(struct facts *facts, bool missing, const char *text)
{
	if (missing && facts->warning_count < WARNINGS_MAX)
		facts->warnings[facts->warning_count++] = text;
}

static void find_limits(struct facts *facts)
{
	bool v2 = facts->layout == CGROUP_V2;
	facts->memory = has_controller(facts, "memory");
	facts->swap =
		facts->memory &&
		(v2 || access("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", F_OK) == 0);
	facts->cpu = has_controller(facts, "cpu");
	facts->cpuset = has_controller(facts, "cpuset");
	facts->pids = has_controller(facts, "pids");
	facts->blkio = has_controller(facts, v2 ? "io" : "blkio");
	facts->cgroup_namespaces = access("/proc/self/ns/cgroup", F_OK) == 0;
	warn(facts, facts->storage_reason != NULL,
	     "WARNING: The storage driver does not work here");
	warn(facts, !facts->memory, "WARNING: No memory limit support");
	warn(facts, facts->memory && !facts->swap, "WARNING: No swap limit support");
	warn(facts, !facts->cpu, "WARNING: No cpu limit support");
	warn(facts, !facts->cpuset, "WARNING: No cpuset support");
	warn(facts, !facts->pids, "WARNING: No pids limit support");
	warn(facts, !facts->blkio, "WARNING: No block I/O limit support");
}

static int find_facts(struct arena *arena, struct facts *facts, struct masu_error *err)
{
	struct engine *engine = facts->engine;
	const struct storage_ops *ops = storage_driver(engine->storage_driver);
	struct sysinfo memory;
	cpu_set_t cpus;
	int r = engine_each(engine, true, count_one, &facts->counts, err);
	if (r == 0)
		r = count_images(engine, arena, &facts->counts.images, err);
	if (r < 0)
		return r;
	if (uname(&facts->host) < 0)
		return error_errno(err, -errno, "uname");
	if (!ops)
		facts->storage_reason = "it is not known";
	else if (ops->supported)
		ops->supported(engine->root_fd, &facts->storage_reason);
	r = storage_would_choose(engine->root_fd, &facts->storage, err);
	if (r < 0)
		return r;
	facts->filesystem = filesystem_name(engine->root_fd);
	facts->layout = cgroup_layout();
	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		facts->cpus = CPU_COUNT(&cpus);
	if (sysinfo(&memory) == 0)
		facts->memory_total = (uint64_t)memory.totalram * memory.mem_unit;
	read_system(facts->system);
	find_limits(facts);
	return 0;
}

static void put_pair(struct json_writer *w, const char *key, const char *value)
{
	json_begin_array(w);
	json_put_string(w, key);
	json_put_string(w, value);
	json_end_array(w);
}

static void put_list(struct json_writer *w, const char *key, const char *const *items, size_t count)
{
	json_key(w, key);
	json_begin_array(w);
	for (size_t i = 0; i < count; i++)
		json_put_string(w, items[i]);
	json_end_array(w);
}

static void put_storage(struct json_writer *w, const struct facts *facts)
{
	json_field_string(w, "Driver", facts->engine->storage_driver);
	json_key(w, "DriverStatus");
	json_begin_array(w);
	put_pair(w, "Backing Filesystem", facts->filesystem);
	put_pair(w, "Chosen because",
		 facts->storage_reason ? facts->storage_reason : facts->storage.reason);
	json_end_array(w);
}

static void put_plugins(struct json_writer *w)
{
	static const char *const volumes[] = { "local" };
	static const char *const networks[] = { "bridge", "host", "none" };
	static const char *const logs[] = { "journald", "json-file", "local", "none" };
	json_key(w, "Plugins");
	json_begin_object(w);
	put_list(w, "Volume", volumes, ARRAY_SIZE(volumes));
	put_list(w, "Network", networks, ARRAY_SIZE(networks));
	json_key(w, "Authorization");
	json_put_null(w);
	put_list(w, "Log", logs, ARRAY_SIZE(logs));
	json_end_object(w);
}

static void put_limits(struct json_writer *w, const struct facts *facts)
{
	json_field_bool(w, "MemoryLimit", facts->memory);
	json_field_bool(w, "SwapLimit", facts->swap);
	json_field_bool(w, "CpuCfsPeriod", facts->cpu);
	json_field_bool(w, "CpuCfsQuota", facts->cpu);
	json_field_bool(w, "CPUShares", facts->cpu);
	json_field_bool(w, "CPUSet", facts->cpuset);
	json_field_bool(w, "PidsLimit", facts->pids);
	json_field_bool(w, "OomKillDisable", facts->memory && facts->layout != CGROUP_V2);
}

static void put_runtimes(struct json_writer *w, const struct facts *facts)
{
	json_key(w, "Runtimes");
	json_begin_object(w);
	for (const char *const *name = exec_driver_names(); *name; name++) {
		json_key(w, *name);
		json_begin_object(w);
		if (streq(*name, "vm"))
			json_field_string(w, "Acceleration",
					  exec_vm_acceleration(facts->engine->runroot));
		json_end_object(w);
	}
	json_end_object(w);
	json_field_string(w, "DefaultRuntime", "native");
	/* There is no swarm; scripts ask whether the node is in one. */
	json_key(w, "Swarm");
	json_begin_object(w);
	json_field_string(w, "LocalNodeState", "inactive");
	json_end_object(w);
	/* What docker has an option for: containers that outlive the daemon. */
	json_field_bool(w, "LiveRestoreEnabled", true);
	json_field_string(w, "InitBinary", "masu-init");
}

static void put_machine(struct json_writer *w, const struct facts *facts)
{
	char now[40];
	time_t seconds = time(NULL);
	struct tm tm;
	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	json_field_string(w, "SystemTime", now);
	json_field_string(w, "LoggingDriver", "json-file");
	json_field_string(w, "CgroupDriver", "cgroupfs");
	json_field_string(w, "CgroupVersion", facts->layout == CGROUP_V2 ? "2" : "1");
	json_field_string(w, "CgroupLayout", cgroup_layout_name(facts->layout));
	json_field_string(w, "KernelVersion", facts->host.release);
	json_field_string(w, "OperatingSystem", facts->system);
	json_field_string(w, "OSType", "linux");
	json_field_string(w, "Architecture", facts->host.machine);
	json_field_i64(w, "NCPU", facts->cpus);
	json_field_u64(w, "MemTotal", facts->memory_total);
	json_field_string(w, "DockerRootDir", facts->engine->root);
	json_field_string(w, "RunRootDir", facts->engine->runroot);
	json_field_string(w, "Name", facts->host.nodename);
	json_field_string(w, "ServerVersion", MASU_VERSION);
}

static void put_facts(struct json_writer *w, const struct facts *facts)
{
	static const char *const security[] = { "name=seccomp,profile=default", "name=cgroupns" };
	json_begin_object(w);
	json_field_u64(w, "Containers", facts->counts.all);
	json_field_u64(w, "ContainersRunning", facts->counts.running);
	json_field_u64(w, "ContainersPaused", facts->counts.paused);
	json_field_u64(w, "ContainersStopped", facts->counts.stopped);
	json_field_u64(w, "Images", facts->counts.images);
	put_storage(w, facts);
	put_plugins(w);
	put_limits(w, facts);
	put_machine(w, facts);
	put_runtimes(w, facts);
	put_list(w, "SecurityOptions", security, facts->cgroup_namespaces ? 2 : 1);
	put_list(w, "Warnings", facts->warnings, facts->warning_count);
	json_end_object(w);
}

/* Docker's layout of the same. */
static const char text_form[] =
	"Containers: {{.Containers}}\n Running: {{.ContainersRunning}}\n"
	" Paused: {{.ContainersPaused}}\n Stopped: {{.ContainersStopped}}\n"
	"Images: {{.Images}}\nServer Version: {{.ServerVersion}}\n"
	"Storage Driver: {{.Driver}}\n"
	"{{range .DriverStatus}} {{index . 0}}: {{index . 1}}\n{{end}}"
	"Logging Driver: {{.LoggingDriver}}\nCgroup Driver: {{.CgroupDriver}}\n"
	"Cgroup Version: {{.CgroupVersion}}\nCgroup Layout: {{.CgroupLayout}}\n"
	"Plugins:\n Volume: {{join .Plugins.Volume \" \"}}\n"
	" Network: {{join .Plugins.Network \" \"}}\n Log: {{join .Plugins.Log \" \"}}\n"
	"Swarm: {{.Swarm.LocalNodeState}}\n"
	"Runtimes:{{range $name, $x := .Runtimes}} {{$name}}{{if eq $name \"vm\"}} "
	"({{$x.Acceleration}}){{end}}{{end}}\n"
	"Default Runtime: {{.DefaultRuntime}}\nInit Binary: {{.InitBinary}}\n"
	"Security Options:\n{{range .SecurityOptions}} {{.}}\n{{end}}"
	"Kernel Version: {{.KernelVersion}}\nOperating System: {{.OperatingSystem}}\n"
	"OSType: {{.OSType}}\nArchitecture: {{.Architecture}}\nCPUs: {{.NCPU}}\n"
	"Total Memory: %.4gGiB\nName: {{.Name}}\nDocker Root Dir: {{.DockerRootDir}}\n"
	"Live Restore Enabled: {{.LiveRestoreEnabled}}"
	"{{range .Warnings}}\n{{.}}{{end}}";

static int info_run(struct cli_context *context, void *pointer, int argc, char **argv,
		    struct masu_error *err)
{
	const struct info_options *options = pointer;
	_cleanup_engine_ struct engine engine = ENGINE_CLOSED;
	_cleanup_buf_ struct buf text;
	struct facts facts = { .engine = &engine };
	const struct json *object;
	struct json_writer w;
	const char *format = options->format;
	buf_init(&text, 0);
	int r = session_open(context, &engine, err);
	if (r == 0)
		r = find_facts(context->arena, &facts, err);
	if (r < 0)
		return r;
	json_writer_init(&w, &text, false);
	put_facts(&w, &facts);
	if (!format)
		format = arena_printf(context->arena, text_form,
				      (double)facts.memory_total / (1 << 30));
	if (!format)
		return error_set(err, -ENOMEM, "out of memory");
	r = json_parse_written(context->arena, &text, &object, err);
	return r < 0 ? r : format_object(context->arena, format, object, err);
}

const struct cli_command info_command = { INFO_COMMAND, .run = info_run };
