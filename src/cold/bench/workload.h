/*
 * What is measured. A workload is a row of a table: programs it needs, figures it yields, and a
 * function that takes one sample in one column. Samples are independent: what one starts is gone
 * when it returns.
 */
#pragma once

#include "base/error.h"
#include "cold/bench/configuration.h"
#include "cold/bench/model.h"
#include "cold/bench/place.h"

#define WORKLOAD_METRICS_MAX 32

/* How much is asked of the machine; from the profile. */
struct settings {
	const char *profile;
	double seconds;	 /* that a load of a given time takes */
	unsigned rounds; /* wanted, without the warm-up */
	unsigned least;	 /* fewer are taken only where the time is over */
	double budget;	 /* seconds for all of it */
	unsigned stream_mib, spin_millions, linpack_size, xz_mib, files, fio_mib, rows;
	bool full; /* also what takes its time */
	bool paper;
	unsigned cpus;
};

struct metric {
	const char *name, *title, *unit;
	enum model_better better;
	bool full;  /* not part of --quick */
	bool paper; /* of --profile paper alone */
};

struct sample {
	struct place *place;
	const struct settings *settings;
	const struct configuration *configuration;
	const struct workload *workload;
	unsigned round;
	double *values; /* one a metric; NAN where there is none */
};

struct workload {
	const char *name, *title;
	const char *group; /* "CPU", "memory", "kernel", "network", "storage", "life cycle" */
	unsigned axes;
	bool quick;
	const char *programs; /* of the host, that it needs in the root; blanks between */
	const char *packages; /* they are from */
	/* Puts what else it needs into the root, once. NULL: nothing. */
	int (*prepare)(struct place *place, const struct settings *settings,
		       struct masu_error *err);
	int (*once)(struct sample *sample, struct masu_error *err);
	bool (*fits)(const struct configuration *configuration); /* NULL: every one with its axis */
	const struct metric *metrics;
	size_t metric_count;
	/* What a sample takes, about, on two CPUs in --full, for the plan: seconds, and loads of
	 * settings.seconds, of which some know whole seconds alone. */
	double fixed, loads, whole_loads;
	/* Another program says the same: in --full, only columns of --quick, unless it is named. */
	bool again;
	const char *helper; /* a program of the host, of the same packages, that runs beside it */
};

#define METRICS(array) .metrics = (array), .metric_count = ARRAY_SIZE(array)

/* All of them, in the order of the table. */
size_t workload_count(void);
const struct workload *workload_at(size_t i);

extern const struct workload compute_workloads[];
extern const size_t compute_workload_count;
extern const struct workload network_workloads[];
extern const size_t network_workload_count;
extern const struct workload storage_workloads[];
extern const size_t storage_workload_count;
extern const struct workload start_workloads[];
extern const size_t start_workload_count;

/* ---- for workloads ---- */

/* The number behind "@name " at the start of a line. */
bool figure_find(const char *text, const char *name, double *ret);
/* The number that follows @before in the text, after any of blanks, ':' and '='. */
bool figure_after(const char *text, const char *before, double *ret);
/* Sets the value of a metric by name; a name that the workload does not have is a mistake. */
void sample_set(struct sample *sample, const char *metric, double value);
/* As figure_find() for each metric of the workload; -EPROTO where one is missing. */
int sample_take_all(struct sample *sample, struct masu_error *err);
/* Runs the words of @command ("masu-probe spin 100") in the column; @cpu is a PLACE_… */
int sample_run(struct sample *sample, const char *command, int cpu, double *ret_wall,
	       struct masu_error *err) __attribute__((nonnull(1, 2)));
/* The words of the column's engine and then @verb's, for workloads about engines. */
int sample_engine(struct sample *sample, const char *verb, struct words *ret);
/* A limit for what should take @seconds. */
double sample_limit(double seconds);
