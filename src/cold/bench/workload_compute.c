/* CPU, memory and the kernel's cheapest services. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/corpus.h"
#include "cold/bench/workload.h"

#define COMMAND_MAX 160

static int spin(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe spin %u", sample->settings->spin_millions);
	int r = sample_run(sample, command, PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static int linpack(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe linpack %u", sample->settings->linpack_size);
	int r = sample_run(sample, command, PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static int stream(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe stream %u %d", sample->settings->stream_mib,
		 sample->settings->full ? 5 : 3);
	int r = sample_run(sample, command, PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static int gups(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe gups %u %u", sample->settings->stream_mib,
		 sample->settings->full ? 20 : 6);
	int r = sample_run(sample, command, PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

/* One piece of text for xz, in the root, the same on every machine. */
#define CORPUS "/usr/lib/masu-bench-corpus"

static int xz_prepare(struct place *place, const struct settings *settings, struct masu_error *err)
{
	const char *path = arena_printf(place->arena, "%s%s", place->rootfs, CORPUS);
	int r = path ? corpus_write(path, (size_t)settings->xz_mib << 20) : -ENOMEM;
	return r < 0 ? error_errno(err, r, "%s", path ? path : "corpus") : 0;
}

static int xz(struct sample *sample, struct masu_error *err)
{
	/* Its output goes nowhere: the file system is another workload. */
	char command[COMMAND_MAX];
	double wall;
	snprintf(command, sizeof(command), "masu-probe time xz -T0 -3 -k -c --block-size=1MiB %s",
		 CORPUS);
	int r = sample_run(sample, command, PLACE_ANY_CPU, NULL, err);
	if (r < 0)
		return r;
	if (!figure_find(buf_str(&sample->place->out), "wall", &wall) || wall <= 0)
		return error_set(err, -EPROTO, "xz: no time was printed");
	sample_set(sample, "rate", sample->settings->xz_mib * 1.048576 / wall);
	return 0;
}

static int hpcc_prepare(struct place *place, const struct settings *settings,
			struct masu_error *err)
{
	/* What Open MPI loads by name; what of it is not there is not needed. */
	static const char *const trees[] = { "/usr/lib/x86_64-linux-gnu/openmpi",
					     "/usr/lib/x86_64-linux-gnu/pmix2",
					     "/usr/share/openmpi", "/etc/openmpi" };
	for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
		int r = place_add_tree(place, trees[i], err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	const char *path = arena_printf(place->arena, "%s/data/hpccinf.txt", place->rootfs);
	return path ? corpus_write_hpcc(path, settings->paper ? settings->linpack_size * 2
							      : settings->linpack_size)
		    : -ENOMEM;
}

/* HPC Challenge runs its whole suite and leaves figures in a file. */
static int hpcc(struct sample *sample, struct masu_error *err)
{
	static const char script[] =
		"mkdir -p /tmp/hpcc-$$ && cd /tmp/hpcc-$$ && cp /data/hpccinf.txt . && "
		"OMPI_MCA_ess_singleton_isolated=1 OMPI_MCA_plm_rsh_agent=/bin/true "
		"OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_MCA_btl=self OMPI_MCA_pml=ob1 hpcc >/dev/null && "
		"cat hpccoutf.txt && rm -rf /tmp/hpcc-$$";
	const char *argv[] = { "sh", "-c", script, NULL };
	struct place_run run = { .configuration = sample->configuration,
				 .argv = argv,
				 .cpu = PLACE_SERVER_CPU,
				 .limit = 180 };
	int r = place_run(sample->place, &run, NULL, err);
	if (r < 0)
		return r;
	static const struct {
		const char *key, *metric;
		double factor;
	} figures[] = { { "HPL_Tflops=", "hpl", 1000 },
			{ "SingleSTREAM_Triad=", "triad", 1 },
			{ "SingleRandomAccess_GUPs=", "gups", 1 },
			{ "SingleDGEMM_Gflops=", "dgemm", 1 } };
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		double value;
		if (!figure_after(buf_str(&sample->place->out), figures[i].key, &value) ||
		    value <= 0)
			return error_set(err, -EPROTO, "hpcc: no %s in its output", figures[i].key);
		sample_set(sample, figures[i].metric, value * figures[i].factor);
	}
	return 0;
}

static int syscalls(struct sample *sample, struct masu_error *err)
{
	int r = sample_run(sample,
			   sample->settings->full ? "masu-probe syscall 1500"
						  : "masu-probe syscall 400",
			   PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static int memory(struct sample *sample, struct masu_error *err)
{
	int r = sample_run(sample,
			   sample->settings->full ? "masu-probe memory 64 6"
						  : "masu-probe memory 16 4",
			   PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

/* What a program that sizes itself by the machine sees, when it may have 256 MiB. masu is asked to
 * tell it the truth (docs/proc.md); the peers have no such option. */
static int meminfo(struct sample *sample, struct masu_error *err)
{
	enum maker maker = sample->configuration->maker;
	/* A virtual machine's own kernel tells the truth. */
	bool filtered = maker == MAKER_MASU && !sample->configuration->machine;
	const char *argv[] = { "masu-probe", "meminfo", NULL };
	struct place_run run = { .configuration = sample->configuration,
				 .argv = argv,
				 .cpu = PLACE_ANY_CPU,
				 .limit = 60,
				 .extra = maker == MAKER_NATIVE ? NULL
					  : filtered		? "--memory 256m --proc=limits"
								: "--memory 256m" };
	int r = place_run(sample->place, &run, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static bool has_memory_option(const struct configuration *configuration)
{
	return configuration->maker != MAKER_LXC && configuration->maker != MAKER_NSPAWN;
}

static const struct metric spin_metrics[] = {
	{ "mops", "integer operations, one core", "M/s", MODEL_HIGHER },
};
static const struct metric xz_metrics[] = {
	{ "rate", "xz -T0 -3, all cores", "MB/s", MODEL_HIGHER },
};
static const struct metric linpack_metrics[] = {
	{ "gflops", "LU factorisation, one core", "GFLOPS", MODEL_HIGHER },
};
static const struct metric stream_metrics[] = {
	{ "copy", "STREAM copy", "GB/s", MODEL_HIGHER },
	{ "scale", "STREAM scale", "GB/s", MODEL_HIGHER },
	{ "add", "STREAM add", "GB/s", MODEL_HIGHER },
	{ "triad", "STREAM triad", "GB/s", MODEL_HIGHER },
};
static const struct metric gups_metrics[] = {
	{ "gups", "RandomAccess", "GUPS", MODEL_HIGHER },
};
static const struct metric hpcc_metrics[] = {
	{ "hpl", "hpcc: HPL", "GFLOPS", MODEL_HIGHER },
	{ "dgemm", "hpcc: DGEMM", "GFLOPS", MODEL_HIGHER },
	{ "triad", "hpcc: STREAM triad", "GB/s", MODEL_HIGHER },
	{ "gups", "hpcc: RandomAccess", "GUPS", MODEL_HIGHER },
};
static const struct metric syscall_metrics[] = {
	{ "getppid", "the cheapest system call", "ns", MODEL_LOWER },
	{ "read", "read of one byte", "ns", MODEL_LOWER },
};
static const struct metric memory_metrics[] = {
	{ "fault", "first write to a page", "ns", MODEL_LOWER },
	{ "mmap", "mmap and munmap", "ns", MODEL_LOWER },
};
static const struct metric meminfo_metrics[] = {
	{ "total", "memory as seen from inside, limit 256 MiB", "MiB", MODEL_PLAIN },
	{ "cpus", "CPUs as seen from inside", "", MODEL_PLAIN, .full = true },
};

const struct workload compute_workloads[] = {
	{ "spin", "integer work", "CPU", AXIS_CPU, true, NULL, NULL, NULL, spin, NULL,
	  METRICS(spin_metrics), .fixed = 0.4 },
	{ "xz", "compression", "CPU", AXIS_CPU, true, "xz", "xz-utils", xz_prepare, xz, NULL,
	  METRICS(xz_metrics), .fixed = 1 },
	{ "linpack", "linear algebra", "CPU", AXIS_CPU, true, NULL, NULL, NULL, linpack, NULL,
	  METRICS(linpack_metrics), .fixed = 0.2 },
	{ "hpcc", "HPC Challenge", "CPU", AXIS_CPU, false, "hpcc sh cp cat rm mkdir", "hpcc",
	  hpcc_prepare, hpcc, NULL, METRICS(hpcc_metrics), .fixed = 6, .again = true },
	{ "stream", "memory bandwidth", "memory", AXIS_CPU, true, NULL, NULL, NULL, stream, NULL,
	  METRICS(stream_metrics), .fixed = 0.8 },
	{ "gups", "random memory access", "memory", AXIS_CPU, false, NULL, NULL, NULL, gups, NULL,
	  METRICS(gups_metrics), .fixed = 0.6 },
	{ "syscall", "system calls", "kernel", AXIS_KERNEL, true, NULL, NULL, NULL, syscalls, NULL,
	  METRICS(syscall_metrics), .fixed = 0.4 },
	{ "memory", "page faults and mappings", "kernel", AXIS_KERNEL, true, NULL, NULL, NULL,
	  memory, NULL, METRICS(memory_metrics), .fixed = 0.3 },
	{ "meminfo", "memory seen from inside", "kernel", AXIS_KERNEL, false, NULL, NULL, NULL,
	  meminfo, has_memory_option, METRICS(meminfo_metrics), .fixed = 0.1 },
};
const size_t compute_workload_count = ARRAY_SIZE(compute_workloads);
