/* Files in the container's layer or in a volume: /data in every column. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cold/bench/spawn.h"
#include "cold/bench/workload.h"

#define COMMAND_MAX 2048

static int files(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe files /data %u", sample->settings->files);
	int r = sample_run(sample, command, PLACE_SERVER_CPU, NULL, err);
	return r < 0 ? r : sample_take_all(sample, err);
}

static const struct metric files_metrics[] = {
	{ "create", "create a file of 4 KiB", "µs", MODEL_LOWER },
	{ "stat", "look a file up", "µs", MODEL_LOWER },
	{ "delete", "delete a file", "µs", MODEL_LOWER },
};

/* ---- fio ---- */

/* One run of fio, one job after the other on one file, past the page cache; the figures of each are
 * what its terse output says (fio(1), version 3, fields from 0 with the version). */
struct fio_job {
	const char *name, *rw, *block;
	unsigned depth;
	const char *metric;
	bool write, iops;    /* which half of the line, which figure */
	const char *latency; /* metric of its 99th percentile, or NULL */
	bool many;	     /* eight at once, as the paper had it: only in its profile */
};
static const struct fio_job fio_jobs[] = {
	{ "seqread", "read", "1m", 8, "seq-read", false, false, NULL },
	{ "seqwrite", "write", "1m", 8, "seq-write", true, false, NULL },
	{ "randread", "randread", "4k", 16, "rand-read", false, true, "rand-read-p99" },
	{ "randwrite", "randwrite", "4k", 16, "rand-write", true, true, "rand-write-p99" },
	{ "mixed", "randrw", "4k", 16, "mixed", false, true, NULL },
	{ "randread8", "randread", "4k", 16, "rand-read-8", false, true, NULL, true },
	{ "randwrite8", "randwrite", "4k", 16, "rand-write-8", true, true, NULL, true },
	{ "mixed8", "randrw", "4k", 16, "mixed-8", false, true, NULL, true },
};

/* The field of that number in a line of fields between semicolons. */
static bool terse_field(const char *line, unsigned number, const char **ret)
{
	for (; number; number--) {
		line = strchr(line, ';');
		if (!line)
			return false;
		line++;
	}
	*ret = line;
	return true;
}

static int fio_figures(struct sample *sample, const struct fio_job *job, double *ret_value,
		       double *ret_p99)
{
	/* 5…45 are the read half, 46… the write half: bandwidth in KiB/s second, IOPS third; the
	 * percentiles begin at the 13th of a half, the 99th is the 13th of those, "99.0%=µs". */
	char key[40];
	unsigned half = job->write ? 46 : 5;
	const char *value, *p99;
	snprintf(key, sizeof(key), ";%s;", job->name);
	const char *line = strstr(buf_str(&sample->place->out), key);
	while (line && line > buf_str(&sample->place->out) && line[-1] != '\n')
		line--;
	if (!line || !terse_field(line, half + (job->iops ? 2 : 1), &value) ||
	    !terse_field(line, half + 12, &p99))
		return -EPROTO;
	*ret_value = strtod(value, NULL);
	return figure_after(p99, "99.000000%", ret_p99) ? 0 : -EPROTO;
}

static bool fio_wants(const struct sample *sample, const struct fio_job *job)
{
	return sample->settings->paper || !job->many;
}

static const char *fio_command(struct sample *sample, char command[COMMAND_MAX])
{
	const struct settings *settings = sample->settings;
	double each = settings->full ? settings->seconds : 0.5;
	int n = snprintf(command, COMMAND_MAX,
			 "fio --minimal --ioengine=libaio --direct=1 --filename=/data/fio "
			 "--size=%um --time_based --runtime=%dms --randrepeat=1 --invalidate=1",
			 settings->fio_mib, (int)(each * 1000));
	for (size_t i = 0; i < ARRAY_SIZE(fio_jobs) && n > 0 && n < COMMAND_MAX; i++)
		if (fio_wants(sample, &fio_jobs[i]))
			n += snprintf(command + n, COMMAND_MAX - (size_t)n,
				      " --name=%s --stonewall --rw=%s --bs=%s --iodepth=%u%s%s",
				      fio_jobs[i].name, fio_jobs[i].rw, fio_jobs[i].block,
				      fio_jobs[i].depth,
				      streq(fio_jobs[i].rw, "randrw") ? " --rwmixread=70" : "",
				      fio_jobs[i].many ? " --numjobs=8 --group_reporting" : "");
	return command;
}

static int fio(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	int r = sample_run(sample, fio_command(sample, command), PLACE_SERVER_CPU, NULL, err);
	if (sample->configuration->maker == MAKER_NATIVE) {
		char path[PATH_MAX];
		if (str_format(path, sizeof(path), "%s/data/fio", sample->place->rootfs) == 0)
			unlink(path);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(fio_jobs); i++) {
		const struct fio_job *job = &fio_jobs[i];
		double value = 0, p99 = 0;
		if (!fio_wants(sample, job))
			continue;
		r = fio_figures(sample, job, &value, &p99);
		if (r < 0 || value <= 0)
			return error_set(err, -EPROTO, "fio: no figures of %s in its output",
					 job->name);
		sample_set(sample, job->metric, job->iops ? value / 1e3 : value * 1.024 / 1e3);
		if (job->latency && p99 > 0)
			sample_set(sample, job->latency, p99);
	}
	return r;
}

static const struct metric fio_metrics[] = {
	{ "seq-read", "fio sequential read, 1 MiB", "MB/s", MODEL_HIGHER },
	{ "seq-write", "fio sequential write, 1 MiB", "MB/s", MODEL_HIGHER },
	{ "rand-read", "fio random read, 4 KiB", "kIOPS", MODEL_HIGHER },
	{ "rand-write", "fio random write, 4 KiB", "kIOPS", MODEL_HIGHER },
	{ "mixed", "fio random 70/30, the reads", "kIOPS", MODEL_HIGHER },
	{ "rand-read-8", "fio random read, 8 jobs", "kIOPS", MODEL_HIGHER, .paper = true },
	{ "rand-write-8", "fio random write, 8 jobs", "kIOPS", MODEL_HIGHER, .paper = true },
	{ "mixed-8", "fio random 70/30, 8 jobs, the reads", "kIOPS", MODEL_HIGHER, .paper = true },
	{ "rand-read-p99", "fio random read, 99 %", "µs", MODEL_LOWER },
	{ "rand-write-p99", "fio random write, 99 %", "µs", MODEL_LOWER },
};

/* ---- MariaDB and sysbench ---- */

#define MYSQL_PORT 17006

static int mysql_prepare(struct place *place, const struct settings *settings,
			 struct masu_error *err)
{
	static const char *const trees[] = { "/usr/share/mysql", "/usr/share/sysbench" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(trees); i++)
		r = place_add_tree(place, trees[i], err);
	return r;
}

static int mysql_serve(struct sample *sample, struct masu_error *err)
{
	static const unsigned short ports[] = { MYSQL_PORT, 0 };
	/* A new data directory with one database; everybody may connect, as nobody but the client
	 * can. */
	static const char script[] =
		"options='--no-defaults --user=root --datadir=/data/mysql "
		"--lc-messages-dir=/usr/share/mysql --innodb-log-file-size=48M'; "
		"rm -rf /data/mysql && mkdir /data/mysql && "
		"echo 'create database bench;' | mariadbd $options --bootstrap && "
		"exec mariadbd $options --port=17006 --socket=/tmp/mysql.sock --skip-grant-tables "
		"--skip-networking=0 --innodb-buffer-pool-size=64M --innodb-flush-method=O_DIRECT "
		"--skip-name-resolve --max-connections=400";
	static const char *const argv[] = { "sh", "-c", script, NULL };
	struct place_run run = { .configuration = sample->configuration,
				 .argv = argv,
				 .ports = ports,
				 .cpu = PLACE_ANY_CPU,
				 .limit = 120 };
	return place_serve(sample->place, &run, err);
}

static int sysbench(struct sample *sample, const char *script, const char *verb, unsigned threads,
		    struct masu_error *err)
{
	char command[COMMAND_MAX];
	struct words words = { .count = 0 };
	int seconds = (int)ceil(sample->settings->seconds * 2);
	snprintf(command, sizeof(command),
		 "sysbench %s --db-driver=mysql --mysql-host=%s --mysql-port=%d --mysql-user=root "
		 "--mysql-db=bench --tables=1 --table-size=%u --threads=%u "
		 "--time=%d --percentile=99 %s",
		 script, sample->place->host, MYSQL_PORT, sample->settings->rows, threads, seconds,
		 verb);
	words_split(&words, sample->place->arena, command);
	return words.overflow ? -ENOMEM
			      : place_ask(sample->place, words.list, PLACE_ANY_CPU,
					  180 + 4 * seconds, err);
}

static int transactions(struct sample *sample, const char *script, unsigned threads,
			const char *metric, const char *latency, struct masu_error *err)
{
	int r = sysbench(sample, script, "run", threads, err);
	double rate, p99;
	if (r < 0)
		return r;
	const char *found = strstr(buf_str(&sample->place->out), "transactions:");
	if (!found || !(found = strchr(found, '(')) || (rate = strtod(found + 1, NULL)) <= 0)
		return error_set(err, -EPROTO, "sysbench: no rate in its output");
	sample_set(sample, metric, rate);
	if (latency && figure_after(buf_str(&sample->place->out), "99th percentile", &p99) &&
	    p99 > 0)
		sample_set(sample, latency, p99);
	return 0;
}

static int mysql(struct sample *sample, struct masu_error *err)
{
	unsigned cpus = sample->settings->cpus;
	int r = mysql_serve(sample, err);
	if (r == 0)
		r = sysbench(sample, "oltp_read_write", "prepare", 1, err);
	if (r == 0)
		r = transactions(sample, "oltp_read_only", cpus * 2, "read", NULL, err);
	if (r == 0)
		r = transactions(sample, "oltp_read_write", cpus, "write", NULL, err);
	if (r == 0)
		r = transactions(sample, "oltp_read_write", cpus * 2, "write2", "p99", err);
	/* The paper's curve: read-only transactions, 10 to 180 threads. */
	for (unsigned threads = 10; r == 0 && sample->settings->paper && threads <= 180;
	     threads += 10) {
		char metric[16];
		snprintf(metric, sizeof(metric), "read-%u", threads);
		r = transactions(sample, "oltp_read_only", threads, metric, NULL, err);
	}
	place_stop(sample->place);
	return r;
}

static const struct metric mysql_metrics[] = {
	{ "read", "MariaDB, OLTP read-only, 2 threads a CPU", "tps", MODEL_HIGHER },
	{ "write", "MariaDB, OLTP read-write, 1 thread a CPU", "tps", MODEL_HIGHER },
	{ "write2", "MariaDB, OLTP read-write, 2 threads a CPU", "tps", MODEL_HIGHER },
	{ "p99", "MariaDB, read-write transaction, 99 %", "ms", MODEL_LOWER },
#define CURVE(threads)                                                                             \
	{                                                                                          \
		"read-" threads, "MariaDB, OLTP read-only, " threads " threads", "tps",            \
			MODEL_HIGHER, .paper = true                                                \
	}
	CURVE("10"),
	CURVE("20"),
	CURVE("30"),
	CURVE("40"),
	CURVE("50"),
	CURVE("60"),
	CURVE("70"),
	CURVE("80"),
	CURVE("90"),
	CURVE("100"),
	CURVE("110"),
	CURVE("120"),
	CURVE("130"),
	CURVE("140"),
	CURVE("150"),
	CURVE("160"),
	CURVE("170"),
	CURVE("180"),
#undef CURVE
};

/* `auto` is one of the others, and where its layers come from is not what a database waits for. */
static bool is_for_mysql(const struct configuration *configuration)
{
	return !configuration->storage && !streq(configuration->name, "auto");
}

const struct workload storage_workloads[] = {
	{ "files", "small files", "storage", AXIS_STORAGE, true, NULL, NULL, NULL, files, NULL,
	  METRICS(files_metrics), .fixed = 0.3 },
	{ "fio", "block I/O", "storage", AXIS_STORAGE, false, "fio", "fio", NULL, fio, NULL,
	  METRICS(fio_metrics), .fixed = 1, .loads = 5 },
	{ "mysql", "MariaDB", "storage", AXIS_STORAGE | AXIS_NETWORK, false,
	  "mariadbd sysbench sh mkdir rm", "mariadb-server-core sysbench", mysql_prepare, mysql,
	  is_for_mysql, METRICS(mysql_metrics), .fixed = 3, .whole_loads = 3 },
};
const size_t storage_workload_count = ARRAY_SIZE(storage_workloads);
