/*
 * The options that `run` and `create` share, and what becomes of them.
 */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"

struct container_options {
	bool interactive, tty, rm, privileged, read_only, init, publish_all, no_healthcheck, quiet,
		oom_kill_disable;
	const char *name, *hostname, *domainname, *user, *workdir, *entrypoint, *stop_signal;
	const char *ip, *ip6, *mac_address;
	const char *ipc, *pid, *uts, *cgroupns, *userns, *volume_driver, *cgroup_parent, *runtime,
		*exec, *kernel;
	const char *cpus, *cpuset_cpus, *cpuset_mems;
	const char *cidfile, *log_driver, *restart, *pull, *platform;
	int64_t stop_timeout, memory, memory_reservation, memory_swap, memory_swappiness,
		kernel_memory, shm_size, cpu_shares, cpu_quota, cpu_period, cpu_rt_runtime,
		cpu_rt_period, pids_limit, blkio_weight, oom_score_adj;
	struct cli_list attach, env, env_file, label, label_file, annotation, volume, mount, tmpfs,
		volumes_from, precopy, publish, expose, network, network_alias, network_opt, dns,
		dns_option, dns_search, add_host, cap_add, cap_drop, security_opt, group_add,
		device, device_cgroup_rule, sysctl, ulimit, log_opt, storage_opt;
	struct cli_list blkio_devices[BLKIO_LIMIT_COUNT];
	const char *proc;
	const char *health_cmd, *health_interval, *health_timeout, *health_start_period,
		*health_start_interval, *health_retries, *health_on_failure;
	/* Refused by name: what is not there yet must not be taken for done. */
	struct cli_list link, link_local_ip;
	const char *gpus, *isolation;
	bool disable_content_trust;
	/* `run` alone */
	bool detach, sig_proxy;
	const char *detach_keys;
};

/* The rows that both have come first, those of `run` alone behind them. */
#define CONTAINER_RUN_OPTION_COUNT 107
#define CONTAINER_OPTION_COUNT	   (CONTAINER_RUN_OPTION_COUNT - 3)
extern const struct cli_option container_option_table[CONTAINER_RUN_OPTION_COUNT];

void container_option_defaults(void *options);

/*
 * What docker's client and daemon check before anything is made, and the configuration that comes
 * of it; @argv is IMAGE [COMMAND] [ARG...]. Messages are docker's. Borrows the options' strings.
 */
int container_config_fill(struct arena *arena, const struct container_options *options, int argc,
			  char **argv, struct container_config *ret, struct masu_error *err);

/* The part of it about networks: --network and what goes with the first of them. */
int container_networks_fill(struct arena *arena, const struct container_options *options,
			    struct container_config *config, struct masu_error *err);

/* The part of it about health checks. */
int container_health_fill(struct arena *arena, const struct container_options *options,
			  struct container_config *config, struct masu_error *err);

/* Creates --cidfile, which must not exist; *ret_fd -1 without the option. */
int container_cidfile_open(const char *path, int *ret_fd, struct masu_error *err);
int container_cidfile_write(int fd, const char *path, const char *id, struct masu_error *err);
