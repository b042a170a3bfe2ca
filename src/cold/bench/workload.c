/* The list of workloads, and reading figures out of what programs print. */
#include "cold/bench/workload.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static const struct {
	const struct workload *list;
	const size_t *count;
} lists[] = {
	{ start_workloads, &start_workload_count },
	{ compute_workloads, &compute_workload_count },
	{ network_workloads, &network_workload_count },
	{ storage_workloads, &storage_workload_count },
};

size_t workload_count(void)
{
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		count += *lists[i].count;
	return count;
}

const struct workload *workload_at(size_t i)
{
	for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
		if (i < *lists[k].count)
			return &lists[k].list[i];
		i -= *lists[k].count;
	}
	return NULL;
}

static bool number(const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);
	if (end == text || !isfinite(value))
		return false;
	*ret = value;
	return true;
}

bool figure_find(const char *text, const char *name, double *ret)
{
	size_t len = strlen(name);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ' ')
			return number(line + len, ret);
		if (!*line)
			break;
	}
	return false;
}

bool figure_after(const char *text, const char *before, double *ret)
{
	const char *found = strstr(text, before);
	if (!found)
		return false;
	found += strlen(before);
	return number(found + strspn(found, " \t:=\""), ret);
}

void sample_set(struct sample *sample, const char *metric, double value)
{
	for (size_t i = 0; i < sample->workload->metric_count; i++)
		if (streq(sample->workload->metrics[i].name, metric))
			sample->values[i] = value;
}

int sample_take_all(struct sample *sample, struct masu_error *err)
{
	const char *text = buf_str(&sample->place->out);
	for (size_t i = 0; i < sample->workload->metric_count; i++)
		if (!figure_find(text, sample->workload->metrics[i].name, &sample->values[i]))
			return error_set(err, -EPROTO, "no figure \"%s\" in what it printed",
					 sample->workload->metrics[i].name);
	return 0;
}

double sample_limit(double seconds)
{
	return 20 + seconds * 10;
}

int sample_run(struct sample *sample, const char *command, int cpu, double *ret_wall,
	       struct masu_error *err)
{
	struct words words = { .count = 0 };
	words_split(&words, sample->place->arena, command);
	if (words.overflow)
		return error_set(err, -ENOMEM, "out of memory");
	struct place_run run = { .configuration = sample->configuration,
				 .argv = words.list,
				 .cpu = cpu,
				 .limit = sample_limit(sample->settings->seconds) + 60 };
	return place_run(sample->place, &run, ret_wall, err);
}

int sample_engine(struct sample *sample, const char *verb, struct words *ret)
{
	*ret = (struct words) { .count = 0 };
	int r = place_engine(sample->place, sample->configuration, ret);
	words_split(ret, sample->place->arena, verb);
	return r < 0 ? r : ret->overflow ? -ENOMEM : 0;
}
