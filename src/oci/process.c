/* The "process" section. */
#include <linux/ioprio.h>
#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "oci/field.h"
#include "sys/syscalls.h"

/* (uid_t)-1 means "no change" to the kernel and is no id. */
#define ID_MAX (UINT32_MAX - 1)

static int parse_capability_set(const struct oci_parser *p, const struct oci_path *path,
				const struct json *value, uint64_t *ret)
{
	char **names;
	int r = oci_strings_parse(p, path, value, &names);
	if (r < 0)
		return r;
	for (size_t i = 0; names[i]; i++) {
		int number = oci_capability_number(names[i]);
		/* config.md: not an error but a warning. */
		if (number < 0 || !str_after(names[i], "CAP_")) {
			struct oci_path at = { .parent = path, .index = i };
			char where[128];
			oci_path_format(&at, where, sizeof(where));
			log_warn("%s: unknown capability \"%.64s\" ignored", where, names[i]);
			continue;
		}
		*ret |= OCI_CAP_BIT(number);
	}
	return 0;
}

static void write_capability_set(struct json_writer *w, const char *name, uint64_t set)
{
	json_key(w, name);
	json_begin_array(w);
	for (unsigned cap = 0; oci_capability_name(cap); cap++)
		if (set & OCI_CAP_BIT(cap))
			json_put_string(w, oci_capability_name(cap));
	json_end_array(w);
}

/* One pair of functions a set, as table rows carry no argument. */
#define CAPABILITY_SET(set)                                                                        \
	static int parse_##set(const struct oci_parser *p, const struct oci_path *path,            \
			       const struct json *value, void *object)                             \
	{                                                                                          \
		struct oci_capabilities *caps = object;                                            \
		return parse_capability_set(p, path, value, &caps->set);                           \
	}                                                                                          \
	static void write_##set(struct json_writer *w, const char *name, const void *object)       \
	{                                                                                          \
		const struct oci_capabilities *caps = object;                                      \
		write_capability_set(w, name, caps->set);                                          \
	}
CAPABILITY_SET(bounding)
CAPABILITY_SET(effective)
CAPABILITY_SET(inheritable)
CAPABILITY_SET(permitted)
CAPABILITY_SET(ambient)

#define CAPABILITY_ROW(set)                                                                        \
	{                                                                                          \
#set, OCI_CUSTOM, .parse = parse_##set, .write = write_##set                       \
	}
static const struct oci_field capability_fields[] = {
	CAPABILITY_ROW(bounding),  CAPABILITY_ROW(effective), CAPABILITY_ROW(inheritable),
	CAPABILITY_ROW(permitted), CAPABILITY_ROW(ambient),
};
static const struct oci_table capability_table =
	OCI_TABLE(struct oci_capabilities, capability_fields);

static int check_rlimit(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	struct oci_rlimit *limit = object;
	if (limit->soft > limit->hard)
		return oci_refuse(p, path, "the soft limit exceeds the hard one");
	limit->name = oci_rlimit_name(limit->resource);
	return 0;
}

static const struct oci_field rlimit_fields[] = {
	{ "type", OCI_ENUM, .required = true, .always = true, OCI_AT(struct oci_rlimit, resource),
	  .names = oci_rlimit_names },
	{ "soft", OCI_U64, .required = true, .always = true, OCI_AT(struct oci_rlimit, soft) },
	{ "hard", OCI_U64, .required = true, .always = true, OCI_AT(struct oci_rlimit, hard) },
};
static const struct oci_table rlimit_table =
	OCI_TABLE(struct oci_rlimit, rlimit_fields, .check = check_rlimit);

static const struct oci_field console_fields[] = {
	{ "height", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_process, console_height), OCI_RANGE(0, UINT32_MAX) },
	{ "width", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_process, console_width), OCI_RANGE(0, UINT32_MAX) },
};
static const struct oci_table console_table = OCI_TABLE(struct oci_process, console_fields);

static const struct oci_field user_fields[] = {
	{ "uid", OCI_INT, .always = true, OCI_AT(struct oci_process, uid), OCI_RANGE(0, ID_MAX) },
	{ "gid", OCI_INT, .always = true, OCI_AT(struct oci_process, gid), OCI_RANGE(0, ID_MAX) },
	{ "umask", OCI_INT, OCI_AT(struct oci_process, umask),
	  OCI_HAS(struct oci_process, has_umask), OCI_RANGE(0, 07777) },
	{ "additionalGids", OCI_IDS, OCI_AT(struct oci_process, additional_gids),
	  OCI_COUNT(struct oci_process, additional_gid_count), OCI_RANGE(0, ID_MAX) },
};
static const struct oci_table user_table = OCI_TABLE(struct oci_process, user_fields);

static const struct oci_name scheduler_policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL },
	{ "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_ISO", 4 }, /* reserved, not in the headers; the kernel refuses it */
	{ "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
	{ 0 },
};

static const struct oci_name scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
	{ 0 },
};

static int check_scheduler(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	const struct oci_scheduler *s = object;
	bool real_time = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
	if (s->priority && !real_time)
		return oci_refuse(p, path, "priority needs SCHED_FIFO or SCHED_RR");
	if ((s->runtime || s->deadline || s->period) && s->policy != SCHED_DEADLINE)
		return oci_refuse(p, path, "runtime, deadline and period need SCHED_DEADLINE");
	return 0;
}

static const struct oci_field scheduler_fields[] = {
	{ "policy", OCI_ENUM, .required = true, .always = true,
	  OCI_AT(struct oci_scheduler, policy), .names = scheduler_policies },
	{ "nice", OCI_INT, OCI_AT(struct oci_scheduler, nice), OCI_RANGE(-20, 19) },
	{ "priority", OCI_INT, OCI_AT(struct oci_scheduler, priority), OCI_RANGE(0, 99) },
	{ "flags", OCI_FLAGS, OCI_AT(struct oci_scheduler, flags), .names = scheduler_flags },
	{ "runtime", OCI_U64, OCI_AT(struct oci_scheduler, runtime) },
	{ "deadline", OCI_U64, OCI_AT(struct oci_scheduler, deadline) },
	{ "period", OCI_U64, OCI_AT(struct oci_scheduler, period) },
};
static const struct oci_table scheduler_table =
	OCI_TABLE(struct oci_scheduler, scheduler_fields, .check = check_scheduler);

static const struct oci_name io_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
	{ 0 },
};
static const struct oci_field io_fields[] = {
	{ "class", OCI_ENUM, .required = true, OCI_AT(struct oci_process, io_priority_class),
	  .names = io_classes },
	{ "priority", OCI_INT, .required = true, .always = true,
	  OCI_AT(struct oci_process, io_priority), OCI_RANGE(0, 7) },
};
static const struct oci_table io_table = OCI_TABLE(struct oci_process, io_fields);

static const struct oci_field affinity_fields[] = {
	{ "initial", OCI_STRING, OCI_AT(struct oci_process, cpu_affinity_initial) },
	{ "final", OCI_STRING, OCI_AT(struct oci_process, cpu_affinity_final) },
};
static const struct oci_table affinity_table = OCI_TABLE(struct oci_process, affinity_fields);

static int check_process(const struct oci_parser *p, const struct oci_path *path, void *object)
{
	struct oci_process *process = object;
	struct oci_path args = { .parent = path, .key = "args" };
	if (!process->args[0])
		return oci_refuse(p, &args, "must have at least one entry");
	for (size_t i = 0; i < process->rlimit_count; i++) {
		for (size_t k = 0; k < i; k++) {
			struct oci_path list = { .parent = path, .key = "rlimits" };
			struct oci_path at = { .parent = &list, .index = i };
			if (process->rlimits[i].resource == process->rlimits[k].resource)
				return oci_refuse(p, &at, "second entry for %s",
						  process->rlimits[i].name);
		}
		/* There are fewer kinds than that: a longer list repeats one, found above. */
		if (i > 64)
			break;
	}
	process->present = true;
	return 0;
}

static const struct oci_field process_fields[] = {
	{ "terminal", OCI_BOOL, OCI_AT(struct oci_process, terminal) },
	{ "consoleSize", OCI_OBJECT, .table = &console_table,
	  OCI_HAS(struct oci_process, has_console_size) },
	{ "user", OCI_OBJECT, .table = &user_table },
	{ "args", OCI_STRINGS, .required = true, OCI_AT(struct oci_process, args) },
	{ "env", OCI_STRINGS, OCI_AT(struct oci_process, env) },
	{ "cwd", OCI_ABSOLUTE, .required = true, OCI_AT(struct oci_process, cwd) },
	{ "capabilities", OCI_OBJECT, .table = &capability_table,
	  OCI_AT(struct oci_process, capabilities), OCI_HAS(struct oci_process, has_capabilities) },
	{ "rlimits", OCI_LIST, .table = &rlimit_table, OCI_AT(struct oci_process, rlimits),
	  OCI_COUNT(struct oci_process, rlimit_count) },
	{ "noNewPrivileges", OCI_BOOL, OCI_AT(struct oci_process, no_new_privileges) },
	{ "apparmorProfile", OCI_STRING, OCI_AT(struct oci_process, apparmor_profile) },
	{ "selinuxLabel", OCI_STRING, OCI_AT(struct oci_process, selinux_label) },
	{ "oomScoreAdj", OCI_INT, OCI_AT(struct oci_process, oom_score_adj),
	  OCI_HAS(struct oci_process, has_oom_score_adj), OCI_RANGE(-1000, 1000) },
	{ "scheduler", OCI_OBJECT, .table = &scheduler_table, OCI_AT(struct oci_process, scheduler),
	  OCI_HAS(struct oci_process, scheduler.present) },
	{ "ioPriority", OCI_OBJECT, .table = &io_table,
	  OCI_HAS(struct oci_process, has_io_priority) },
	{ "execCPUAffinity", OCI_OBJECT, .table = &affinity_table },
};
const struct oci_table oci_process_table =
	OCI_TABLE(struct oci_process, process_fields, .check = check_process);

int oci_process_parse(struct arena *arena, const char *text, size_t len, struct oci_process *ret,
		      struct masu_error *err)
{
	const struct json *document;
	struct oci_parser parser = { arena, err };
	struct oci_process process = { 0 };
	int r = json_parse(arena, text, len, &document, err);
	if (r == 0)
		r = oci_table_parse(&parser, NULL, document, &oci_process_table, &process);
	if (r == 0)
		*ret = process;
	return r;
}

void oci_process_write(struct json_writer *w, const struct oci_process *process)
{
	json_begin_object(w);
	oci_table_write(w, &oci_process_table, process);
	json_end_object(w);
}
