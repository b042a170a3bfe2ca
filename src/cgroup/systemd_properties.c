/*
 * Limits as systemd unit properties (systemd.resource-control(5), org.freedesktop.systemd1(5)), so
 * that systemd agrees with what masu then writes itself and does not undo it on a daemon-reload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/internal.h"

#define USEC_PER_SEC	  1000000
#define DEFAULT_PERIOD_US 100000
/* systemd counts CPU quotas in percent; a fraction is rounded up, as a lower one would bind. */
#define QUOTA_STEP_US 10000
#define CPU_LIST_MAX  8192

static void property(struct json_writer *w, const char *name, const char *type, uint64_t value)
{
	json_begin_object(w);
	json_field_string(w, "name", name);
	json_field_string(w, "type", type);
	json_field_u64(w, "value", value);
	json_end_object(w);
}

/* -1 is "infinity", UINT64_MAX. */
static void limit(struct json_writer *w, const char *name, struct oci_i64 n)
{
	if (n.set && n.value != 0)
		property(w, name, "t", n.value < 0 ? UINT64_MAX : (uint64_t)n.value);
}

static void cpu_properties(bool v2, const struct oci_resources *r, struct json_writer *w)
{
	if (r->cpu.shares.set && r->cpu.shares.value > 0) {
		uint64_t shares = (uint64_t)r->cpu.shares.value;
		property(w, v2 ? "CPUWeight" : "CPUShares", "t",
			 v2 ? cpu_weight_from_shares(shares) : shares);
	}
	bool quota = r->cpu.quota.set && r->cpu.quota.value != 0;
	bool period = r->cpu.period.set && r->cpu.period.value > 0;
	if (period)
		property(w, "CPUQuotaPeriodUSec", "t", (uint64_t)r->cpu.period.value);
	if (!quota && !period)
		return;
	uint64_t per_second = UINT64_MAX;
	if (quota && r->cpu.quota.value > 0) {
		uint64_t length = period ? (uint64_t)r->cpu.period.value : DEFAULT_PERIOD_US;
		unsigned __int128 exact =
			(unsigned __int128)(uint64_t)r->cpu.quota.value * USEC_PER_SEC / length;
		per_second =
			(uint64_t)((exact + QUOTA_STEP_US - 1) / QUOTA_STEP_US * QUOTA_STEP_US);
	}
	property(w, "CPUQuotaPerSecUSec", "t", per_second);
}

/* "0-3,7" -> a bit a CPU, lowest first, as the bytes of D-Bus's "ay". False: not such a list. */
static bool cpu_list(struct json_writer *w, const char *name, const char *list)
{
	uint8_t bits[CPU_LIST_MAX / 8] = { 0 };
	size_t used = 0;
	for (const char *p = list; *p;) {
		char *end;
		unsigned long first = strtoul(p, &end, 10), last = first;
		if (end == p)
			return false;
		if (*end == '-') {
			p = end + 1;
			last = strtoul(p, &end, 10);
			if (end == p)
				return false;
		}
		if (last < first || last >= CPU_LIST_MAX || (*end && *end != ','))
			return false;
		for (unsigned long c = first; c <= last; c++)
			bits[c / 8] |= (uint8_t)(1u << c % 8);
		if (last / 8 + 1 > used)
			used = last / 8 + 1;
		p = end + (*end == ',');
	}
	json_begin_object(w);
	json_field_string(w, "name", name);
	json_field_string(w, "type", "ay");
	json_key(w, "value");
	json_begin_array(w);
	for (size_t i = 0; i < used; i++)
		json_put_u64(w, bits[i]);
	json_end_array(w);
	json_end_object(w);
	return true;
}

static void memory_properties(bool v2, const struct oci_resources *r, struct json_writer *w)
{
	limit(w, v2 ? "MemoryMax" : "MemoryLimit", r->memory.limit);
	if (!v2)
		return;
	limit(w, "MemoryLow", r->memory.reservation);
	if (!r->memory.swap.set || r->memory.swap.value == 0)
		return;
	int64_t swap = r->memory.swap.value, own = r->memory.limit.value;
	property(w, "MemorySwapMax", "t",
		 swap < 0  ? UINT64_MAX
		 : own > 0 ? (uint64_t)(swap - own)
			   : (uint64_t)swap);
}

/*
 * v1: systemd writes a unit's device rules again when it is reloaded, so it must know them. On
 * cgroup2 masu's own program stays attached beside systemd's, and a second list would only add what
 * systemd cannot express (a minor of any major) to what is denied.
 */
static void device_properties(struct cgroup *cgroup, const struct oci_resources *r,
			      struct json_writer *w)
{
	struct device_rules rules;
	struct device_exceptions set;
	if (device_rules_build(&cgroup->arena, r, &rules) < 0 ||
	    device_rules_to_v1(&cgroup->arena, &rules, &set, NULL) < 0 || set.allow)
		return;
	json_begin_object(w);
	json_field_string(w, "name", "DevicePolicy");
	json_field_string(w, "type", "s");
	json_field_string(w, "value", "strict");
	json_end_object(w);
	json_begin_object(w);
	json_field_string(w, "name", "DeviceAllow");
	json_field_string(w, "type", "a(ss)");
	json_key(w, "value");
	json_begin_array(w);
	for (size_t i = 0; i < set.count; i++) {
		const struct device_rule *rule = &set.list[i];
		const char *kind = rule->type == 'b' ? "block" : "char";
		char path[64], access[4];
		if (rule->major == DEVICE_ANY && rule->minor != DEVICE_ANY)
			continue;
		if (rule->major == DEVICE_ANY)
			str_format(path, sizeof(path), "%s-*", kind);
		else if (rule->minor == DEVICE_ANY)
			str_format(path, sizeof(path), "%s-%lld", kind, (long long)rule->major);
		else
			str_format(path, sizeof(path), "/dev/%s/%lld:%lld", kind,
				   (long long)rule->major, (long long)rule->minor);
		str_format(access, sizeof(access), "%s%s%s",
			   rule->access & DEVICE_ACCESS_READ ? "r" : "",
			   rule->access & DEVICE_ACCESS_WRITE ? "w" : "",
			   rule->access & DEVICE_ACCESS_MKNOD ? "m" : "");
		json_begin_array(w);
		json_put_string(w, path);
		json_put_string(w, access);
		json_end_array(w);
	}
	json_end_array(w);
	json_end_object(w);
}

void systemd_properties(struct cgroup *cgroup, const struct oci_resources *r, bool starting,
			struct json_writer *w)
{
	bool v2 = cgroup->layout == CGROUP_V2;
	json_begin_array(w);
	if (!v2 && !cgroup->rootless && (starting || (r && r->device_count > 0)))
		device_properties(cgroup, r, w);
	if (r) {
		memory_properties(v2, r, w);
		cpu_properties(v2, r, w);
		if (r->blkio.weight.set && r->blkio.weight.value > 0) {
			uint64_t weight = (uint64_t)r->blkio.weight.value;
			property(w, v2 ? "IOWeight" : "BlockIOWeight", "t",
				 v2 ? io_weight_from_blkio(weight) : weight);
		}
		/* systemd has no TasksMax=0. */
		if (r->pids_limit.set)
			property(w, "TasksMax", "t",
				 r->pids_limit.value < 0    ? UINT64_MAX
				 : r->pids_limit.value == 0 ? 1
							    : (uint64_t)r->pids_limit.value);
		/* A list that does not parse is left for the kernel to refuse. */
		if (r->cpu.cpus && *r->cpu.cpus)
			cpu_list(w, "AllowedCPUs", r->cpu.cpus);
		if (r->cpu.mems && *r->cpu.mems)
			cpu_list(w, "AllowedMemoryNodes", r->cpu.mems);
	}
	json_end_array(w);
}
