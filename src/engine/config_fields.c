#include "engine/config.h"

#define FIELD(member, kind_, field)                                                                \
	{                                                                                          \
		.name = (member), .kind = (kind_),                                                 \
		.offset = offsetof(struct container_config, field)                                 \
	}
#define STRING(member, field)  FIELD(member, FIELD_STRING, field)
#define STRINGS(member, field) FIELD(member, FIELD_STRINGS, field)
#define BOOL(member, field)    FIELD(member, FIELD_BOOL, field)
#define I64(member, field)     FIELD(member, FIELD_I64, field)
#define INT(member, field)     FIELD(member, FIELD_INT, field)
#define PAIRS(member, field, counter)                                                              \
	{                                                                                          \
		.name = (member), .kind = FIELD_PAIRS,                                             \
		.offset = offsetof(struct container_config, field),                                \
		.count_offset = offsetof(struct container_config, counter)                         \
	}

const struct config_field config_fields[] = {
	STRING("Hostname", hostname),
	STRING("Domainname", domainname),
	STRING("User", user),
	BOOL("AttachStdin", attach_stdin),
	BOOL("AttachStdout", attach_stdout),
	BOOL("AttachStderr", attach_stderr),
	BOOL("Tty", tty),
	BOOL("OpenStdin", open_stdin),
	BOOL("StdinOnce", stdin_once),
	STRINGS("Env", env),
	STRINGS("Cmd", cmd),
	STRING("Image", image),
	STRING("WorkingDir", working_dir),
	STRINGS("Entrypoint", entrypoint),
	STRING("MacAddress", mac_address),
	PAIRS("Labels", labels, label_count),
	STRING("StopSignal", stop_signal),
	{ 0 },
};

const struct config_field host_config_fields[] = {
	STRING("NetworkMode", network),
	BOOL("AutoRemove", auto_remove),
	STRINGS("VolumesFrom", volumes_from),
	STRINGS("NetworkOpt", network_options),
	STRINGS("Precopy", precopy),
	STRINGS("CapAdd", cap_add),
	STRINGS("CapDrop", cap_drop),
	STRING("CgroupnsMode", cgroupns_mode),
	STRINGS("Dns", dns),
	STRINGS("DnsOptions", dns_options),
	STRINGS("DnsSearch", dns_search),
	STRINGS("ExtraHosts", extra_hosts),
	STRINGS("GroupAdd", group_add),
	STRING("IpcMode", ipc_mode),
	INT("OomScoreAdj", oom_score_adj),
	STRING("PidMode", pid_mode),
	BOOL("Privileged", privileged),
	BOOL("PublishAllPorts", publish_all),
	BOOL("ReadonlyRootfs", readonly_rootfs),
	STRINGS("SecurityOpt", security_opt),
	PAIRS("StorageOpt", storage_options, storage_option_count),
	STRING("UTSMode", uts_mode),
	STRING("UsernsMode", userns_mode),
	I64("ShmSize", shm_size),
	PAIRS("Sysctls", sysctls, sysctl_count),
	PAIRS("Annotations", annotations, annotation_count),
	STRING("Runtime", runtime),
	I64("CpuShares", cpu_shares),
	I64("Memory", memory),
	I64("NanoCpus", nano_cpus),
	STRING("CgroupParent", cgroup_parent),
	I64("BlkioWeight", blkio_weight),
	I64("CpuPeriod", cpu_period),
	I64("CpuQuota", cpu_quota),
	I64("CpuRealtimePeriod", cpu_rt_period),
	I64("CpuRealtimeRuntime", cpu_rt_runtime),
	STRING("CpusetCpus", cpuset_cpus),
	STRING("CpusetMems", cpuset_mems),
	STRINGS("DeviceCgroupRules", device_cgroup_rules),
	I64("KernelMemory", kernel_memory),
	I64("MemoryReservation", memory_reservation),
	I64("MemorySwap", memory_swap),
	BOOL("OomKillDisable", oom_kill_disable),
	I64("PidsLimit", pids_limit),
	BOOL("Init", init),
	BOOL("ProcLimits", proc_limits),
	{ 0 },
};
