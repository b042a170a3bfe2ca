#include "engine/validate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/signal_name.h"
#include "base/str.h"
#include "engine/health.h"
#include "engine/internal.h"
#include "engine/log_driver.h"
#include "engine/network.h"
#include "engine/proc_view.h"
#include "json/json.h"
#include "sys/fs.h"

#define MEMORY_MIN	  (6 << 20)
#define SECCOMP_MAX	  (4u << 20)
#define ENV_ENTRIES_MAX	  65536
#define HOSTNAME_MAX	  63
#define OOM_SCORE_ADJ_MAX 1000
#define PATH_LENGTH_MAX	  4095

int signal_parse(const char *text, int *ret, struct masu_error *err)
{
	int number = signal_number(text);
	if (number < 0)
		return error_set(err, -EINVAL, "Invalid signal: %.64s", text);
	*ret = number;
	return 0;
}

static int check_strings(char *const *list, const char *what, struct masu_error *err)
{
	size_t count = strv_length(list);
	if (count > ENV_ENTRIES_MAX)
		return error_set(err, -E2BIG, "%s: more than %d entries", what, ENV_ENTRIES_MAX);
	return 0;
}

static int check_process(const struct container_config *config, struct masu_error *err)
{
	int sig;
	int r = check_strings(config->env, "environment", err);
	for (char *const *variable = config->env; r == 0 && variable && *variable; variable++)
		if ((*variable)[0] == '=' || (*variable)[0] == '\0')
			r = error_set(err, -EINVAL, "invalid environment variable: %.128s",
				      *variable);
	if (r == 0)
		r = check_strings(config->cmd, "command", err);
	if (r == 0 && config->working_dir && config->working_dir[0] != '/')
		r = error_set(err, -EINVAL,
			      "the working directory '%.255s' is invalid, it needs to be an "
			      "absolute path",
			      config->working_dir);
	if (r == 0 && config->working_dir && strlen(config->working_dir) > PATH_LENGTH_MAX)
		r = error_set(err, -ENAMETOOLONG, "the working directory is too long");
	if (r == 0 && config->stop_signal)
		r = signal_parse(config->stop_signal, &sig, err);
	if (r == 0 && config->hostname && strlen(config->hostname) > HOSTNAME_MAX)
		r = error_set(err, -EINVAL, "invalid hostname format: %.100s", config->hostname);
	return r;
}

static int check_resources(const struct container_config *config, struct masu_error *err)
{
	if (config->memory < 0 || (config->memory > 0 && config->memory < MEMORY_MIN))
		return error_set(err, -EINVAL, "Minimum memory limit allowed is 6MB");
	if (config->memory_swap > 0 && config->memory_swap < config->memory)
		return error_set(err, -EINVAL,
				 "Minimum memoryswap limit should be larger than "
				 "memory limit, see usage");
	if (config->memory == 0 && config->memory_swap > 0)
		return error_set(err, -EINVAL,
				 "You should always set the Memory limit when using "
				 "Memoryswap limit, see usage");
	if (config->memory_swappiness > 100)
		return error_set(err, -EINVAL,
				 "Invalid value: %lld, valid memory swappiness range "
				 "is 0-100",
				 (long long)config->memory_swappiness);
	if (config->nano_cpus < 0)
		return error_set(err, -EINVAL, "NanoCPUs cannot be negative");
	if (config->nano_cpus && (config->cpu_quota || config->cpu_period))
		return error_set(err, -EINVAL,
				 "Conflicting options: Nano CPUs and CPU %s cannot "
				 "both be set",
				 config->cpu_quota ? "Quota" : "Period");
	if (config->oom_score_adj < -OOM_SCORE_ADJ_MAX || config->oom_score_adj > OOM_SCORE_ADJ_MAX)
		return error_set(err, -EINVAL,
				 "Invalid value %d, range for oom score adj is "
				 "[-1000, 1000]",
				 config->oom_score_adj);
	if (config->shm_size < 0)
		return error_set(err, -EINVAL, "SHM size can not be less than 0");
	for (size_t i = 0; i < config->ulimit_count; i++)
		if (config->ulimits[i].soft > config->ulimits[i].hard)
			return error_set(err, -EINVAL,
					 "ulimit %s: the soft limit must be less than "
					 "or equal to the hard limit",
					 config->ulimits[i].name);
	return 0;
}

static int check_mode(const char *option, const char *mode, const char *const *allowed,
		      bool container, struct masu_error *err)
{
	if (!mode || !*mode || strv_contains(allowed, mode) ||
	    (container && mode_container(mode, NULL)))
		return 0;
	return error_set(err, -EINVAL, "invalid %s mode: %.128s", option, mode);
}

static int check_modes(const struct container_config *config, struct masu_error *err)
{
	static const char *const ipc[] = { "private", "shareable", "host", "none", NULL };
	static const char *const host[] = { "host", NULL };
	static const char *const cgroupns[] = { "private", "host", NULL };
	int r = check_mode("IPC", config->ipc_mode, ipc, true, err);
	if (r == 0)
		r = check_mode("PID", config->pid_mode, host, true, err);
	if (r == 0)
		r = check_mode("UTS", config->uts_mode, host, false, err);
	if (r == 0)
		r = check_mode("cgroup namespace", config->cgroupns_mode, cgroupns, false, err);
	if (r == 0 && config->hostname && mode_host(config->uts_mode))
		r = error_set(err, -EINVAL, "conflicting options: hostname and the UTS mode");
	return r;
}

int config_storage_size(const struct container_config *config, uint64_t *ret,
			struct masu_error *err)
{
	uint64_t size = 0;
	for (size_t i = 0; i < config->storage_option_count; i++) {
		const struct oci_pair *option = &config->storage_options[i];
		if (!streq(option->key, "size"))
			return error_set(err, -EINVAL,
					 "--storage-opt: \"%.64s\" is unknown; there is size=BYTES",
					 option->key);
		if (str_to_bytes(option->value, &size) < 0 || size == 0)
			return error_set(err, -EINVAL, "--storage-opt size: invalid size: '%.64s'",
					 option->value);
	}
	*ret = size;
	return 0;
}

/* Options of Docker's that the record can hold but nothing here acts on yet. */
int config_check_supported(const struct container_config *config, struct masu_error *err)
{
	if (config->restart != RESTART_NO && config->auto_remove)
		return error_set(err, -EINVAL,
				 "can't create 'AutoRemove' container with restart policy");
	uint64_t size;
	int r = config_storage_size(config, &size, err);
	if (r < 0)
		return r;
	return config->runtime ? exec_driver_check(config->runtime, err) : 0;
}

/* "seccomp=FILE" is read here, once: the record holds the profile itself, as docker's does. */
static int load_seccomp(struct arena *arena, const char **option, struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, SECCOMP_MAX + 1);
	const char *value = str_after(*option, "seccomp=");
	if (!value)
		value = str_after(*option, "seccomp:");
	if (!value || *value == '{' || streq(value, "unconfined") || streq(value, "builtin") ||
	    streq(value, "default"))
		return 0;
	int r = fs_read_at(AT_FDCWD, value, SECCOMP_MAX, &text);
	if (r < 0)
		return error_errno(err, r, "opening seccomp profile (%.255s) failed", value);
	*option = arena_printf(arena, "seccomp=%s", buf_str(&text));
	return *option ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int check_security(struct arena *arena, struct container_config *config,
			  struct masu_error *err)
{
	uint64_t capabilities;
	int r = spec_capabilities(config, &capabilities, err);
	size_t count = strv_length((char *const *)config->security_opt);
	const char **options = arena_array(arena, const char *, count + 1);
	if (r == 0 && !options)
		r = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < count; i++) {
		options[i] = config->security_opt[i];
		r = load_seccomp(arena, &options[i], err);
	}
	if (r == 0 && count)
		config->security_opt = options;
	return r;
}

int config_validate(struct engine *engine, struct arena *arena, struct container_config *config,
		    struct masu_error *err)
{
	struct log_options log;
	if (config->name && !name_valid(config->name))
		return error_set(err, -EINVAL,
				 "Invalid container name (%.255s), only [a-zA-Z0-9][a-zA-Z0-9_.-] "
				 "are allowed",
				 config->name);
	int r = config_check_supported(config, err);
	if (r == 0)
		r = health_validate(config, err);
	if (r == 0)
		r = check_process(config, err);
	if (r == 0)
		r = check_resources(config, err);
	if (r == 0)
		r = check_modes(config, err);
	if (r == 0)
		r = proc_view_check(config, err);
	if (r == 0)
		r = check_security(arena, config, err);
	if (r == 0)
		r = engine_network_check(engine, arena, config, err);
	if (r == 0)
		r = log_options_parse(config->log_driver, config->log_options,
				      config->log_option_count, &log, err);
	return r;
}
