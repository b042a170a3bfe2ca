/* The option table of `run` and `create`. */
#include "base/str.h"
#include "cli/container_options.h"

#define OPT(field, name, letter, kind, metavar, help)                                              \
	CLI_OPT(struct container_options, field, name, letter, kind, metavar, help)
#define BOOL(field, name, letter, help)	  OPT(field, name, letter, CLI_BOOL, NULL, help)
#define STRING(field, name, letter, help) OPT(field, name, letter, CLI_STRING, "string", help)
#define LIST(field, name, letter, help)	  OPT(field, name, letter, CLI_LIST, "list", help)
#define INT(field, name, letter, help)	  OPT(field, name, letter, CLI_INT, "int", help)
#define BYTES(field, name, letter, help)  OPT(field, name, letter, CLI_BYTES, "bytes", help)
/* Another name of an option, as docker has some; not shown. */
#define ALIAS(field_name, opt_name, opt_kind)                                                      \
	{                                                                                          \
		.name = (opt_name), .kind = (opt_kind),                                            \
		.offset = offsetof(struct container_options, field_name), .hidden = true           \
	}

const struct cli_option container_option_table[CONTAINER_RUN_OPTION_COUNT] = {
	LIST(add_host, "add-host", 0, "Add a custom host-to-IP mapping (host:ip)"),
	OPT(annotation, "annotation", 0, CLI_LIST, "map",
	    "Add an annotation to the container (passed through to the OCI runtime)"),
	LIST(attach, "attach", 'a', "Attach to STDIN, STDOUT or STDERR"),
	INT(blkio_weight, "blkio-weight", 0,
	    "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)"),
	LIST(blkio_devices[BLKIO_WEIGHT], "blkio-weight-device", 0,
	     "Block IO weight (relative device weight)"),
	LIST(cap_add, "cap-add", 0, "Add Linux capabilities"),
	LIST(cap_drop, "cap-drop", 0, "Drop Linux capabilities"),
	STRING(cgroup_parent, "cgroup-parent", 0, "Optional parent cgroup for the container"),
	STRING(cgroupns, "cgroupns", 0, "Cgroup namespace to use (host|private)"),
	STRING(cidfile, "cidfile", 0, "Write the container ID to the file"),
	INT(cpu_period, "cpu-period", 0, "Limit CPU CFS (Completely Fair Scheduler) period"),
	INT(cpu_quota, "cpu-quota", 0, "Limit CPU CFS (Completely Fair Scheduler) quota"),
	INT(cpu_rt_period, "cpu-rt-period", 0, "Limit CPU real-time period in microseconds"),
	INT(cpu_rt_runtime, "cpu-rt-runtime", 0, "Limit CPU real-time runtime in microseconds"),
	INT(cpu_shares, "cpu-shares", 'c', "CPU shares (relative weight)"),
	OPT(cpus, "cpus", 0, CLI_STRING, "decimal", "Number of CPUs"),
	STRING(cpuset_cpus, "cpuset-cpus", 0, "CPUs in which to allow execution (0-3, 0,1)"),
	STRING(cpuset_mems, "cpuset-mems", 0, "MEMs in which to allow execution (0-3, 0,1)"),
	LIST(device, "device", 0, "Add a host device to the container"),
	LIST(device_cgroup_rule, "device-cgroup-rule", 0,
	     "Add a rule to the cgroup allowed devices list"),
	LIST(blkio_devices[BLKIO_READ_BPS], "device-read-bps", 0,
	     "Limit read rate (bytes per second) from a device"),
	LIST(blkio_devices[BLKIO_READ_IOPS], "device-read-iops", 0,
	     "Limit read rate (IO per second) from a device"),
	LIST(blkio_devices[BLKIO_WRITE_BPS], "device-write-bps", 0,
	     "Limit write rate (bytes per second) to a device"),
	LIST(blkio_devices[BLKIO_WRITE_IOPS], "device-write-iops", 0,
	     "Limit write rate (IO per second) to a device"),
	BOOL(disable_content_trust, "disable-content-trust", 0,
	     "Skip image verification (default true)"),
	LIST(dns, "dns", 0, "Set custom DNS servers"),
	ALIAS(dns_option, "dns-opt", CLI_LIST),
	LIST(dns_option, "dns-option", 0, "Set DNS options"),
	LIST(dns_search, "dns-search", 0, "Set custom DNS search domains"),
	STRING(domainname, "domainname", 0, "Container NIS domain name"),
	STRING(entrypoint, "entrypoint", 0, "Overwrite the default ENTRYPOINT of the image"),
	LIST(env, "env", 'e', "Set environment variables"),
	LIST(env_file, "env-file", 0, "Read in a file of environment variables"),
	STRING(exec, "exec", 0,
	       "What makes the container: native (default), oci:PROGRAM, another OCI runtime, lxc, "
	       "or "
	       "vm"),
	LIST(expose, "expose", 0, "Expose a port or a range of ports"),
	ALIAS(gpus, "gpus", CLI_STRING),
	LIST(group_add, "group-add", 0, "Add additional groups to join"),
	STRING(health_cmd, "health-cmd", 0, "Command to run to check health"),
	OPT(health_interval, "health-interval", 0, CLI_STRING, "duration",
	    "Time between running the check (ms|s|m|h) (default 0s)"),
	STRING(health_on_failure, "health-on-failure", 0,
	       "What to do once the container is unhealthy (none|kill|restart|stop)"),
	OPT(health_retries, "health-retries", 0, CLI_STRING, "int",
	    "Consecutive failures needed to report unhealthy"),
	OPT(health_start_interval, "health-start-interval", 0, CLI_STRING, "duration",
	    "Time between running the check during the start period (ms|s|m|h) (default 0s)"),
	OPT(health_start_period, "health-start-period", 0, CLI_STRING, "duration",
	    "Start period for the container to initialize before starting health-retries countdown "
	    "(ms|s|m|h) (default 0s)"),
	OPT(health_timeout, "health-timeout", 0, CLI_STRING, "duration",
	    "Maximum time to allow one check to run (ms|s|m|h) (default 0s)"),
	STRING(hostname, "hostname", 'h', "Container host name"),
	BOOL(init, "init", 0,
	     "Run an init inside the container that forwards signals and reaps processes"),
	BOOL(interactive, "interactive", 'i', "Keep STDIN open even if not attached"),
	STRING(ip, "ip", 0, "IPv4 address (e.g., 172.30.100.104)"),
	STRING(ip6, "ip6", 0, "IPv6 address (e.g., 2001:db8::33)"),
	STRING(ipc, "ipc", 0, "IPC mode to use"),
	STRING(isolation, "isolation", 0, "Container isolation technology (default)"),
	STRING(kernel, "kernel", 0,
	       "Kernel that --exec vm boots (default: Debian's cloud kernel in /boot)"),
	BYTES(kernel_memory, "kernel-memory", 0, "Kernel memory limit"),
	LIST(label, "label", 'l', "Set meta data on a container"),
	LIST(label_file, "label-file", 0, "Read in a line delimited file of labels"),
	ALIAS(link, "link", CLI_LIST),
	ALIAS(link_local_ip, "link-local-ip", CLI_LIST),
	STRING(log_driver, "log-driver", 0, "Logging driver for the container"),
	LIST(log_opt, "log-opt", 0, "Log driver options"),
	STRING(mac_address, "mac-address", 0, "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
	BYTES(memory, "memory", 'm', "Memory limit"),
	BYTES(memory_reservation, "memory-reservation", 0, "Memory soft limit"),
	BYTES(memory_swap, "memory-swap", 0,
	      "Swap limit equal to memory plus swap: '-1' to enable unlimited swap"),
	INT(memory_swappiness, "memory-swappiness", 0,
	    "Tune container memory swappiness (0 to 100) (default -1)"),
	OPT(mount, "mount", 0, CLI_LIST, "mount", "Attach a filesystem mount to the container"),
	STRING(name, "name", 0, "Assign a name to the container"),
	ALIAS(network, "net", CLI_LIST),
	ALIAS(network_alias, "net-alias", CLI_LIST),
	OPT(network, "network", 0, CLI_LIST, "network", "Connect a container to a network"),
	LIST(network_alias, "network-alias", 0, "Add network-scoped alias for the container"),
	LIST(network_opt, "network-opt", 0,
	     "Network options for the container (\"accel=sockmap\": no packets between "
	     "containers)"),
	BOOL(no_healthcheck, "no-healthcheck", 0, "Disable any container-specified HEALTHCHECK"),
	BOOL(oom_kill_disable, "oom-kill-disable", 0, "Disable OOM Killer"),
	INT(oom_score_adj, "oom-score-adj", 0, "Tune host's OOM preferences (-1000 to 1000)"),
	STRING(pid, "pid", 0, "PID namespace to use"),
	INT(pids_limit, "pids-limit", 0, "Tune container pids limit (set -1 for unlimited)"),
	STRING(platform, "platform", 0, "Set platform if server is multi-platform capable"),
	LIST(precopy, "precopy", 0,
	     "Copy files of the image for writing when the container is made, not at the first "
	     "write"),
	BOOL(privileged, "privileged", 0, "Give extended privileges to this container"),
	STRING(proc, "proc", 0,
	       "What /proc tells of memory and CPUs: the host's (\"host\") or the container's "
	       "limits "
	       "(\"limits\", by lxcfs)"),
	LIST(publish, "publish", 'p',
	     "Publish a container's port(s) to the host (behind it \",mode=\" and how: "
	     "nat, bpf, direct or auto)"),
	BOOL(publish_all, "publish-all", 'P', "Publish all exposed ports to random ports"),
	STRING(pull, "pull", 0,
	       "Pull image before running (\"always\", \"missing\", \"never\") (default "
	       "\"missing\")"),
	BOOL(quiet, "quiet", 'q', "Suppress the pull output"),
	BOOL(read_only, "read-only", 0, "Mount the container's root filesystem as read only"),
	STRING(restart, "restart", 0,
	       "Restart policy to apply when a container exits (default \"no\")"),
	BOOL(rm, "rm", 0,
	     "Automatically remove the container and its associated anonymous volumes when it "
	     "exits"),
	STRING(runtime, "runtime", 0,
	       "Runtime to use for this container: another OCI runtime, as with --exec oci:NAME"),
	LIST(security_opt, "security-opt", 0, "Security Options"),
	BYTES(shm_size, "shm-size", 0, "Size of /dev/shm"),
	STRING(stop_signal, "stop-signal", 0, "Signal to stop the container"),
	INT(stop_timeout, "stop-timeout", 0, "Timeout (in seconds) to stop a container"),
	LIST(storage_opt, "storage-opt", 0, "Storage driver options for the container"),
	OPT(sysctl, "sysctl", 0, CLI_LIST, "map", "Sysctl options"),
	LIST(tmpfs, "tmpfs", 0, "Mount a tmpfs directory"),
	BOOL(tty, "tty", 't', "Allocate a pseudo-TTY"),
	OPT(ulimit, "ulimit", 0, CLI_LIST, "ulimit", "Ulimit options"),
	STRING(user, "user", 'u', "Username or UID (format: <name|uid>[:<group|gid>])"),
	STRING(userns, "userns", 0, "User namespace to use"),
	STRING(uts, "uts", 0, "UTS namespace to use"),
	LIST(volume, "volume", 'v', "Bind mount a volume"),
	STRING(volume_driver, "volume-driver", 0, "Optional volume driver for the container"),
	LIST(volumes_from, "volumes-from", 0, "Mount volumes from the specified container(s)"),
	STRING(workdir, "workdir", 'w', "Working directory inside the container"),
	/* `run` alone; create's table ends before this row */
	BOOL(detach, "detach", 'd', "Run container in background and print container ID"),
	STRING(detach_keys, "detach-keys", 0,
	       "Override the key sequence for detaching a container"),
	BOOL(sig_proxy, "sig-proxy", 0, "Proxy received signals to the process (default true)"),
};

void container_option_defaults(void *pointer)
{
	struct container_options *options = pointer;
	options->memory_swappiness = -1;
	options->stop_timeout = -1;
	options->sig_proxy = true;
	options->disable_content_trust = true;
}
