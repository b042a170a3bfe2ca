/*
 * Docker's spellings of option values. Each parser refuses with docker's words; none touches the
 * container's world. Strings in results live in the arena or are the argument's own.
 */
#pragma once

#include "cli/command.h"
#include "engine/engine.h"

/* "invalid argument "VALUE" for "-v, --volume" flag: <message>", exit status 125. */
int parse_refuse(struct masu_error *err, const char *flag, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * --exec DRIVER and docker's --runtime NAME, which means oci:NAME where it is no driver's own name;
 * either may be NULL. *ret: the driver, NULL for the native one.
 */
int parse_runtime(struct arena *arena, const char *exec, const char *runtime, const char **ret,
		  struct masu_error *err);

/* --kernel FILE, kept as an annotation: only the driver vm has a use for it. */
int parse_kernel(struct arena *arena, const char *file, struct container_config *config,
		 struct masu_error *err);

/* -v: [HOST-DIR|VOLUME:]CONTAINER-DIR[:OPTIONS] */
int parse_volume(struct arena *arena, const char *value, struct mount_config *ret,
		 struct masu_error *err);
/* --mount: type=bind,source=…,target=…[,KEY=VALUE] */
int parse_mount(struct arena *arena, const char *value, struct mount_config *ret,
		struct masu_error *err);
/* --tmpfs: CONTAINER-DIR[:OPTIONS] */
int parse_tmpfs(struct arena *arena, const char *value, struct mount_config *ret,
		struct masu_error *err);

/* The absolute @path without ".", "..", double and trailing slashes; NULL when memory is gone. */
const char *parse_clean_path(struct arena *arena, const char *path);
/* Splits a line of comma-separated values with docker's (RFC 4180) quotes. -EINVAL: bad quotes. */
int parse_csv(struct arena *arena, const char *line, struct cli_list *ret);

/* --device: HOST[:CONTAINER][:rwm] */
int parse_device(struct arena *arena, const char *value, struct device_config *ret,
		 struct masu_error *err);
/* --device-cgroup-rule: "c 1:3 rwm" */
int parse_device_rule(const char *value, struct masu_error *err);
/* --blkio-weight-device, --device-read-bps and their like: DEVICE:VALUE */
int parse_blkio_device(enum blkio_limit limit, struct arena *arena, const char *value,
		       struct blkio_device_config *ret, struct masu_error *err);
/* --ulimit: TYPE=SOFT[:HARD] */
int parse_ulimit(struct arena *arena, const char *value, struct oci_rlimit *ret,
		 struct masu_error *err);
/* --cpus: decimal number of CPUs to billionths */
int parse_cpus(const char *value, int64_t *ret, struct masu_error *err);
/* --restart: no, always, unless-stopped, on-failure[:N] */
int parse_restart(const char *value, enum restart_policy *ret, int *ret_max,
		  struct masu_error *err);

/*
 * -e and --env-file, docker's way: the files' lines first. "NAME" alone takes the value of the
 * caller's environment; where that has none, -e passes the bare name on (it takes the image's value
 * away) and a file's line is dropped. *ret is NULL-terminated.
 */
int parse_environment(struct arena *arena, const struct cli_list *files,
		      const struct cli_list *values, char ***ret, struct masu_error *err);
/* --label and --label-file; of equal names the last one counts. */
int parse_labels(struct arena *arena, const struct cli_list *files, const struct cli_list *values,
		 struct oci_pair **ret, size_t *ret_count, struct masu_error *err);
/* KEY=VALUE lists without more rules: --annotation, --log-opt, --storage-opt. */
int parse_pairs(struct arena *arena, const char *flag, const struct cli_list *values,
		struct oci_pair **ret, size_t *ret_count, struct masu_error *err);
int parse_sysctls(struct arena *arena, const struct cli_list *values, struct oci_pair **ret,
		  size_t *ret_count, struct masu_error *err);
/* --security-opt; a seccomp profile's file is read and put in its place. */
int parse_security_options(struct arena *arena, const struct cli_list *values, const char ***ret,
			   struct masu_error *err);

int parse_add_host(struct arena *arena, const char *value, const char **ret,
		   struct masu_error *err);
int parse_dns_server(const char *value, struct masu_error *err);
int parse_dns_search(const char *value, struct masu_error *err);
/* --expose: PORT or FIRST-LAST, with /tcp, /udp or /sctp; each port not yet in @ret is added to it
 * as "80/tcp". */
int parse_expose(struct arena *arena, const char *value, struct cli_list *ret,
		 struct masu_error *err);
int parse_mac_address(const char *value, struct masu_error *err);
