#include "cold/bench/environment.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "sys/fs.h"

#define TEXT_MAX 4096

/* The value of the first line that starts with @key in a file of "key : value" lines. */
static bool value_of(const char *path, const char *key, char *ret, size_t size)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[TEXT_MAX];
	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		char *colon = strchr(line, ':');
		if (!colon)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		return str_format(ret, size, "%s", colon) == 0;
	}
	return false;
}

static bool small_file(const char *path, char *ret, size_t size)
{
	return fs_read_small(AT_FDCWD, path, ret, size) == 0;
}

static const char *virtualisation(char *ret, size_t size)
{
	char product[128], flags[TEXT_MAX] = "";
	value_of("/proc/cpuinfo", "flags", flags, sizeof(flags));
	if (!strstr(flags, " hypervisor"))
		return "none: bare metal";
	if (!small_file("/sys/class/dmi/id/product_name", product, sizeof(product)))
		str_format(product, sizeof(product), "unknown");
	str_format(ret, size, "a virtual machine (%s)", product);
	return ret;
}

static const char *cgroup_version(void)
{
	struct statfs status;
	if (statfs("/sys/fs/cgroup", &status) < 0)
		return "none";
	if (status.f_type == CGROUP2_SUPER_MAGIC)
		return "v2";
	return access("/sys/fs/cgroup/unified", F_OK) == 0 ? "hybrid (v1 with v2 beside)" : "v1";
}

/* Which vulnerabilities are mitigated and how, each a few words: the kernel's own. */
static void mitigations(struct arena *arena, struct buf *ret)
{
	static const char dir[] = "/sys/devices/system/cpu/vulnerabilities";
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char **names;
	size_t count = 0;
	if (fd < 0 || fs_names(fd, arena, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		char text[256];
		if (fs_read_small(fd, names[i], text, sizeof(text)) < 0 ||
		    streq(text, "Not affected"))
			continue;
		buf_printf(ret, "%s%s: %s", ret->len ? "; " : "", names[i], text);
	}
}

static const char *filesystem(const char *path, char *ret, size_t size)
{
	/* The mount with the longest path that is a beginning of @path. */
	_cleanup_fclose_ FILE *file = fopen("/proc/self/mounts", "re");
	char line[TEXT_MAX], device[256], at[1024], type[64], options[512];
	size_t best = 0;
	ret[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%255s %1023s %63s %511s", device, at, type, options) != 4)
			continue;
		size_t len = strlen(at);
		if (len >= best && strncmp(path, at, len) == 0) {
			best = len;
			snprintf(ret, size, "%s (%s)", type, options);
		}
	}
	return ret;
}

size_t environment_last_cache(void)
{
	size_t largest = 0;
	for (int i = 0; i < 5; i++) {
		char path[96], text[32];
		uint64_t size;
		str_format(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size",
			   i);
		if (!small_file(path, text, sizeof(text)) || str_to_bytes(text, &size) < 0)
			continue;
		largest = size > largest ? (size_t)size : largest;
	}
	return largest;
}

double environment_stalled(void)
{
	char text[512];
	if (!small_file("/proc/pressure/cpu", text, sizeof(text)))
		return -1;
	const char *total = strstr(text, "total=");
	return total ? strtod(total + strlen("total="), NULL) : -1;
}

static int add_hardware(struct model *model)
{
	char text[TEXT_MAX];
	struct sysinfo info;
	int r = 0;
	if (value_of("/proc/cpuinfo", "model name", text, sizeof(text)))
		r = model_add_fact(model, "cpu", text);
	snprintf(text, sizeof(text), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	if (r == 0)
		r = model_add_fact(model, "cpus", text);
	size_t cache = environment_last_cache();
	snprintf(text, sizeof(text), "%zu KiB", cache >> 10);
	if (r == 0 && cache)
		r = model_add_fact(model, "last level cache", text);
	if (r == 0 && sysinfo(&info) == 0) {
		snprintf(text, sizeof(text), "%llu MiB",
			 (unsigned long long)info.totalram * info.mem_unit >> 20);
		r = model_add_fact(model, "memory", text);
	}
	bool known = small_file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text,
				sizeof(text));
	if (r == 0)
		r = model_add_fact(model, "governor",
				   known ? text : "not this machine's to choose");
	if (r == 0)
		r = model_add_fact(model, "virtualisation", virtualisation(text, sizeof(text)));
	if (r == 0)
		r = model_add_fact(model, "kvm",
				   access("/dev/kvm", R_OK | W_OK) == 0 ? "usable" : "none");
	return r;
}

static int add_system(struct model *model, const char *scratch)
{
	_cleanup_buf_ struct buf list;
	char text[TEXT_MAX];
	struct utsname name;
	int r = 0;
	buf_init(&list, 16384);
	if (uname(&name) == 0) {
		snprintf(text, sizeof(text), "%s %s", name.release, name.machine);
		r = model_add_fact(model, "kernel", text);
	}
	if (r == 0)
		r = model_add_fact(model, "cgroups", cgroup_version());
	mitigations(model->arena, &list);
	if (r == 0 && list.len)
		r = model_add_fact(model, "mitigations", buf_str(&list));
	if (r == 0 && scratch)
		r = model_add_fact(model, "file system of the data",
				   filesystem(scratch, text, sizeof(text)));
	if (r == 0 && small_file("/proc/loadavg", text, sizeof(text)))
		r = model_add_fact(model, "load before", text);
	if (r == 0)
		r = model_add_fact(model, "masu", MASU_VERSION);
	return r;
}

int environment_capture(struct model *model, const char *scratch)
{
	int r = add_hardware(model);
	return r < 0 ? r : add_system(model, scratch);
}
