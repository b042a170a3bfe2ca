/* Servers in a column, asked from a neighbouring machine's place. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cold/bench/spawn.h"
#include "cold/bench/workload.h"

#define PORT	    17000
#define COMMAND_MAX 200

static const unsigned short ports[] = { PORT, 0 };

static int serve_at(struct sample *sample, const char *command, const unsigned short *on, int cpu,
		    struct masu_error *err)
{
	struct words words = { .count = 0 };
	words_split(&words, sample->place->arena, command);
	struct place_run run = { .configuration = sample->configuration,
				 .argv = words.list,
				 .ports = on,
				 .cpu = cpu,
				 .limit = 60 };
	return words.overflow ? -ENOMEM : place_serve(sample->place, &run, err);
}

static int serve(struct sample *sample, const char *command, int cpu, struct masu_error *err)
{
	return serve_at(sample, command, ports, cpu, err);
}

static int ask(struct sample *sample, const char *command, int cpu, double seconds,
	       struct masu_error *err)
{
	struct words words = { .count = 0 };
	words_split(&words, sample->place->arena, command);
	return words.overflow
		       ? -ENOMEM
		       : place_ask(sample->place, words.list, cpu, sample_limit(seconds), err);
}

/* ---- request and response ---- */

static int exchange(struct sample *sample, const char *protocol, const char *where, int cpu,
		    struct masu_error *err)
{
	static const char *const figures[] = { "p50", "p99" };
	char command[COMMAND_MAX], metric[32];
	double seconds = sample->settings->seconds;
	snprintf(command, sizeof(command), "masu-probe ask %s %s %d %g", protocol,
		 sample->place->host, PORT, seconds);
	int r = ask(sample, command, cpu, seconds, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(figures); i++) {
		double value;
		if (!figure_find(buf_str(&sample->place->out), figures[i], &value))
			return error_set(err, -EPROTO, "no %s was printed", figures[i]);
		snprintf(metric, sizeof(metric), "%s-%s%s", protocol, figures[i], where);
		sample_set(sample, metric, value);
	}
	return r;
}

/* Where the client runs decides more than any container: both placements. */
static int latency(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "masu-probe serve %d", PORT);
	int r = serve(sample, command, PLACE_SERVER_CPU, err);
	if (r == 0)
		r = exchange(sample, "tcp", "", PLACE_CLIENT_CPU, err);
	if (r == 0)
		r = exchange(sample, "udp", "", PLACE_CLIENT_CPU, err);
	if (r == 0)
		r = exchange(sample, "tcp", "-same", PLACE_SERVER_CPU, err);
	if (r == 0 && sample->settings->full)
		r = exchange(sample, "udp", "-same", PLACE_SERVER_CPU, err);
	place_stop(sample->place);
	return r;
}

static const struct metric latency_metrics[] = {
	{ "tcp-p50", "TCP request and answer, median", "µs", MODEL_LOWER },
	{ "tcp-p99", "TCP request and answer, 99 %", "µs", MODEL_LOWER },
	{ "udp-p50", "UDP request and answer, median", "µs", MODEL_LOWER },
	{ "udp-p99", "UDP request and answer, 99 %", "µs", MODEL_LOWER },
	{ "tcp-p50-same", "TCP, client on the server's core", "µs", MODEL_LOWER },
	{ "tcp-p99-same", "TCP, same core, 99 %", "µs", MODEL_LOWER, .full = true },
	{ "udp-p50-same", "UDP, client on the server's core", "µs", MODEL_LOWER, .full = true },
	{ "udp-p99-same", "UDP, same core, 99 %", "µs", MODEL_LOWER, .full = true },
};

/* Both print half the round trip; what is shown is the whole. */
static int qperf(struct sample *sample, struct masu_error *err)
{
	/* The first port is the listener's, the second the data's. */
	static const unsigned short two[] = { PORT, PORT + 1, 0 };
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "qperf -lp %d", PORT);
	int r = serve_at(sample, command, two, PLACE_SERVER_CPU, err);
	int seconds = (int)ceil(sample->settings->seconds);
	snprintf(command, sizeof(command),
		 "qperf -lp %d -ip %d -t %d -m 100 -uu %s tcp_lat udp_lat", PORT, PORT + 1, seconds,
		 sample->place->host);
	if (r == 0)
		r = ask(sample, command, PLACE_CLIENT_CPU, 4 + 2 * seconds, err);
	place_stop(sample->place);
	if (r < 0)
		return r;
	static const char *const tests[] = { "tcp_lat", "udp_lat" };
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		double value;
		const char *part = strstr(buf_str(&sample->place->out), tests[i]);
		/* -uu: in nanoseconds, without unit prefixes */
		if (!part || !figure_after(part, "latency", &value) || value <= 0)
			return error_set(err, -EPROTO, "qperf: no %s in its output", tests[i]);
		sample_set(sample, i ? "udp" : "tcp", value * 2 / 1e3);
	}
	return 0;
}

static const struct metric qperf_metrics[] = {
	{ "tcp", "qperf tcp_lat, round trip", "µs", MODEL_LOWER },
	{ "udp", "qperf udp_lat, round trip", "µs", MODEL_LOWER },
};

static int sockperf(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	int seconds = (int)ceil(sample->settings->seconds);
	snprintf(command, sizeof(command), "sockperf server --tcp -p %d", PORT);
	int r = serve(sample, command, PLACE_SERVER_CPU, err);
	snprintf(command, sizeof(command), "sockperf ping-pong --tcp -i %s -p %d -t %d -m 100",
		 sample->place->host, PORT, seconds);
	if (r == 0)
		r = ask(sample, command, PLACE_CLIENT_CPU, 2 + seconds, err);
	place_stop(sample->place);
	if (r < 0)
		return r;
	double half, tail;
	const char *text = buf_str(&sample->place->out);
	if (!figure_after(text, "percentile 50.000", &half) ||
	    !figure_after(text, "percentile 99.000", &tail) || half <= 0)
		return error_set(err, -EPROTO, "sockperf: no percentiles in its output");
	sample_set(sample, "p50", half * 2);
	sample_set(sample, "p99", tail * 2);
	return 0;
}

static const struct metric sockperf_metrics[] = {
	{ "p50", "sockperf TCP ping-pong, round trip", "µs", MODEL_LOWER },
	{ "p99", "sockperf TCP ping-pong, 99 %", "µs", MODEL_LOWER },
};

/* ---- bandwidth ---- */

static int iperf3_once(struct sample *sample, const char *direction, const char *metric,
		       struct masu_error *err)
{
	char command[COMMAND_MAX];
	int seconds = (int)ceil(sample->settings->seconds);
	snprintf(command, sizeof(command), "iperf3 -c %s -p %d -t %d -J%s", sample->place->host,
		 PORT, seconds, direction);
	int r = ask(sample, command, PLACE_CLIENT_CPU, 4 + seconds, err);
	if (r < 0)
		return r;
	double rate, local, remote;
	const char *end = strstr(buf_str(&sample->place->out), "\"end\"");
	const char *sum = end ? strstr(end, "\"sum_received\"") : NULL;
	if (!sum || !figure_after(sum, "\"bits_per_second\"", &rate) || rate <= 0 ||
	    !figure_after(sum, "\"host_total\"", &local) ||
	    !figure_after(sum, "\"remote_total\"", &remote))
		return error_set(err, -EPROTO, "iperf3: no rate in its output");
	char name[32];
	sample_set(sample, metric, rate / 1e9);
	snprintf(name, sizeof(name), "%s-cpu", metric);
	/* Percent of a CPU on both sides, by bytes a second. */
	sample_set(sample, name, (local + remote) / 100 / (rate / 8) * 1e9);
	return 0;
}

static int iperf3(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "iperf3 -s -p %d", PORT);
	int r = serve(sample, command, PLACE_SERVER_CPU, err);
	if (r == 0)
		r = iperf3_once(sample, "", "in", err);
	if (r == 0)
		r = iperf3_once(sample, " -R", "out", err);
	place_stop(sample->place);
	return r;
}

static const struct metric iperf3_metrics[] = {
	{ "in", "iperf3 to the server", "Gb/s", MODEL_HIGHER },
	{ "out", "iperf3 from the server", "Gb/s", MODEL_HIGHER },
	{ "in-cpu", "CPU time a gigabyte, to the server", "s", MODEL_LOWER, .full = true },
	{ "out-cpu", "CPU time a gigabyte, from the server", "s", MODEL_LOWER, .full = true },
};

/* nuttcp -fparse prints "megabytes=… rate_Mbps=… tx_cpu=… rx_cpu=…". */
static int nuttcp_once(struct sample *sample, const char *direction, const char *metric,
		       struct masu_error *err)
{
	char command[COMMAND_MAX], name[32];
	int seconds = (int)ceil(sample->settings->seconds);
	snprintf(command, sizeof(command), "nuttcp %s -fparse -T%d -P%d -p%d %s", direction,
		 seconds, PORT, PORT + 1, sample->place->host);
	int r = ask(sample, command, PLACE_CLIENT_CPU, 4 + seconds, err);
	double rate, tx, rx;
	const char *text = buf_str(&sample->place->out);
	if (r < 0)
		return r;
	if (!figure_after(text, "rate_Mbps", &rate) || !figure_after(text, "tx_cpu", &tx) ||
	    !figure_after(text, "rx_cpu", &rx) || rate <= 0)
		return error_set(err, -EPROTO, "nuttcp: no rate in its output");
	sample_set(sample, metric, rate / 1e3);
	snprintf(name, sizeof(name), "%s-cpu", metric);
	sample_set(sample, name, (tx + rx) / 100 / (rate / 8e3));
	return 0;
}

/* The server makes its socket anew after each session, and whoever is in the old one's queue by
 * then is sent away: after the look whether it is there, it may be this client. */
static int nuttcp_first(struct sample *sample, struct masu_error *err)
{
	int r = -EIO;
	for (unsigned tries = 0; tries < 3; tries++) {
		r = nuttcp_once(sample, "-t", "in", err);
		if (r == 0 || !strstr(err->message, "server aborted connection"))
			break;
	}
	return r;
}

static int nuttcp(struct sample *sample, struct masu_error *err)
{
	static const unsigned short two[] = { PORT, PORT + 1, 0 };
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command), "nuttcp -S --nofork -P%d", PORT);
	int r = serve_at(sample, command, two, PLACE_SERVER_CPU, err);
	if (r == 0)
		r = nuttcp_first(sample, err);
	if (r == 0)
		r = nuttcp_once(sample, "-r -F", "out", err);
	place_stop(sample->place);
	return r;
}

static const struct metric nuttcp_metrics[] = {
	{ "in", "nuttcp to the server", "Gb/s", MODEL_HIGHER },
	{ "out", "nuttcp from the server", "Gb/s", MODEL_HIGHER },
	{ "in-cpu", "CPU time a gigabyte, to the server", "s", MODEL_LOWER },
	{ "out-cpu", "CPU time a gigabyte, from the server", "s", MODEL_LOWER },
};

/* ---- redis ---- */

struct redis_load {
	unsigned clients, pipeline;
	bool full;
	const char *get, *set; /* metrics */
};
static const struct redis_load redis_loads[] = {
	{ 1, 1, false, "get1", "set1" },    { 50, 1, false, "get50", "set50" },
	{ 10, 1, true, "get10", NULL },	    { 200, 1, true, "get200", NULL },
	{ 50, 16, true, "get50x16", NULL },
};
static double redis_rates[ARRAY_SIZE(redis_loads)] = { 3000, 15000, 10000, 15000, 50000 };

/* How many requests fill about the time that is wanted, by how fast they were the last time, in
 * whichever column: the warm-up finds out. */
static unsigned requests(size_t load, double seconds)
{
	double count = redis_rates[load] * seconds;
	return count < 200 ? 200 : count > 1e7 ? 10000000 : (unsigned)count;
}

static int redis_load(struct sample *sample, size_t i, struct masu_error *err)
{
	const struct redis_load *load = &redis_loads[i];
	char command[COMMAND_MAX];
	double seconds = sample->settings->seconds, value;
	snprintf(command, sizeof(command),
		 "redis-benchmark -h %s -p %d -t get%s -c %u -P %u -n %u --csv",
		 sample->place->host, PORT, load->set ? ",set" : "", load->clients, load->pipeline,
		 requests(i, seconds));
	int r = ask(sample, command, PLACE_CLIENT_CPU, seconds * 2, err);
	if (r < 0)
		return r;
	const char *text = buf_str(&sample->place->out);
	if (!figure_after(text, "\"GET\",", &value) || value <= 0)
		return error_set(err, -EPROTO, "redis-benchmark: no rate in its output");
	sample_set(sample, load->get, value / 1e3);
	redis_rates[i] = value;
	if (load->set && figure_after(text, "\"SET\",", &value) && value > 0)
		sample_set(sample, load->set, value / 1e3);
	return 0;
}

static int redis(struct sample *sample, struct masu_error *err)
{
	char command[COMMAND_MAX];
	snprintf(command, sizeof(command),
		 "redis-server --port %d --save '' --appendonly no --protected-mode no "
		 "--bind 0.0.0.0 --dir /tmp --loglevel warning",
		 PORT);
	int r = serve(sample, command, PLACE_SERVER_CPU, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(redis_loads); i++)
		if (sample->settings->full || !redis_loads[i].full)
			r = redis_load(sample, i, err);
	place_stop(sample->place);
	return r;
}

static const struct metric redis_metrics[] = {
	{ "get50", "GET, 50 clients", "k/s", MODEL_HIGHER },
	{ "get1", "GET, 1 client", "k/s", MODEL_HIGHER },
	{ "set1", "SET, 1 client", "k/s", MODEL_HIGHER },
	{ "set50", "SET, 50 clients", "k/s", MODEL_HIGHER },
	{ "get10", "GET, 10 clients", "k/s", MODEL_HIGHER, .full = true },
	{ "get200", "GET, 200 clients", "k/s", MODEL_HIGHER, .full = true },
	{ "get50x16", "GET, 50 clients, 16 at once", "k/s", MODEL_HIGHER, .full = true },
};

const struct workload network_workloads[] = {
	{ "latency", "request and answer", "network", AXIS_NETWORK, true, NULL, NULL, NULL, latency,
	  NULL, METRICS(latency_metrics), .fixed = 0.1, .loads = 4 },
	{ "qperf", "qperf latency", "network", AXIS_NETWORK, false, "qperf", "qperf", NULL, qperf,
	  NULL, METRICS(qperf_metrics), .fixed = 0.2, .whole_loads = 2, .again = true },
	{ "sockperf", "sockperf latency", "network", AXIS_NETWORK, false, "sockperf", "sockperf",
	  NULL, sockperf, NULL, METRICS(sockperf_metrics), .fixed = 1, .whole_loads = 1,
	  .again = true },
	{ "iperf3", "bandwidth", "network", AXIS_NETWORK, false, "iperf3", "iperf3", NULL, iperf3,
	  NULL, METRICS(iperf3_metrics), .fixed = 0.2, .whole_loads = 2, .again = true },
	{ "nuttcp", "bandwidth", "network", AXIS_NETWORK, false, "nuttcp", "nuttcp", NULL, nuttcp,
	  NULL, METRICS(nuttcp_metrics), .fixed = 0.2, .whole_loads = 2 },
	{ "redis", "Redis", "network", AXIS_NETWORK, true, "redis-server redis-benchmark",
	  "redis-server redis-tools", NULL, redis, NULL, METRICS(redis_metrics), .fixed = 0.3,
	  .loads = 7 },
};
const size_t network_workload_count = ARRAY_SIZE(network_workloads);
