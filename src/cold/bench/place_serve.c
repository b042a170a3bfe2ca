/* Servers in a column: started until clients can connect, watched meanwhile, ended without rest. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/bench/place.h"
#include "cold/bench/place_internal.h"
#include "cold/bench/spawn.h"

#define READY_LIMIT    60.0
#define EMULATED_LIMIT 150.0 /* a virtual machine may be software */
#define FREE_LIMIT     10.0
#define LOOK_EVERY     1.0 /* seconds between looks at whether the server is still there */

static bool accepts(const char *host, unsigned short port, int netns)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	inet_pton(AF_INET, host, &address.sin_addr);
	if (own < 0 || (netns >= 0 && setns(netns, CLONE_NEWNET) < 0))
		return false;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { .tv_sec = 1 };
	bool yes = fd >= 0 &&
		   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
		   connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	/* The socket stays the other namespace's; this process comes home. */
	if (netns >= 0 && setns(own, CLONE_NEWNET) < 0)
		abort();
	return yes;
}

static void pause_shortly(void)
{
	const struct timespec pause = { .tv_nsec = 3000000 };
	nanosleep(&pause, NULL);
}

/* Runs a verb of the serving column's engine about its container. What the client printed stays in
 * place->out. */
static int about_server(struct place *place, const char *verb, struct buf *out, struct buf *errors)
{
	struct words words = { .count = 0 };
	struct masu_error ignored = { 0 };
	struct spawn_result result;
	if (!place->serving_name || place_engine(place, place->serving, &words) < 0)
		return -ENOENT;
	words_split(&words, place->arena, verb);
	words_add(&words, place->serving_name);
	struct spawn spawn = {
		.argv = words.list, .netns = -1, .cpu = SPAWN_NOT_PINNED, .limit = 60
	};
	int r = spawn_run(&spawn, out, errors, &result, &ignored);
	return r < 0 ? r : result.status ? -EIO : 0;
}

/* Whether what was started is still there. Doubtful answers are a yes: the limit decides. */
static bool is_alive(struct place *place)
{
	_cleanup_buf_ struct buf out, errors;
	buf_init(&out, 1u << 20);
	buf_init(&errors, 1u << 20);
	if (place->serving_pid > 0) {
		siginfo_t info = { .si_pid = 0 };
		waitid(P_PID, (id_t)place->serving_pid, &info, WEXITED | WNOHANG | WNOWAIT);
		return info.si_pid == 0;
	}
	return about_server(place, "inspect -f {{.State.Running}}", &out, &errors) < 0 ||
	       strncmp(buf_str(&out), "false", 5) != 0;
}

/* What the server has printed, into @ret. */
static void read_log(struct place *place, struct buf *ret)
{
	_cleanup_buf_ struct buf out;
	buf_init(&out, 1u << 20);
	if (place->serving_log >= 0)
		spawn_read(place->serving_log, ret);
	else if (about_server(place, "logs", &out, ret) == 0 && !ret->len)
		buf_append(ret, out.data, out.len);
}

static int no_answer(struct place *place, unsigned short port, double limit, bool gone,
		     struct masu_error *err)
{
	_cleanup_buf_ struct buf text;
	buf_init(&text, 1u << 20);
	if (place->serving)
		read_log(place, &text);
	const char *said = place_said(&text);
	if (gone)
		return error_set(err, -ECONNREFUSED, "the server ended: %.200s", said);
	return error_set(err, -ETIMEDOUT, "port %d does not answer within %.0f s: %.200s", port,
			 limit, said);
}

int place_wait_port(struct place *place, const char *host, unsigned short port, int netns,
		    struct masu_error *err)
{
	double began = spawn_now(), look = began + LOOK_EVERY;
	double limit = place->serving && place->serving->machine ? EMULATED_LIMIT : READY_LIMIT;
	for (double now; (now = spawn_now()) < began + limit;) {
		if (accepts(host, port, netns))
			return 0;
		if (spawn_interrupted)
			return error_errno(err, -EINTR, "waiting for the server");
		if (place->serving && now > look) {
			if (!is_alive(place))
				return no_answer(place, port, limit, true, err);
			look = spawn_now() + LOOK_EVERY;
		}
		pause_shortly();
	}
	return no_answer(place, port, limit, false, err);
}

/* Nobody may answer in the new server's place. */
static int wait_free(struct place *place, unsigned short port, struct masu_error *err)
{
	for (double end = spawn_now() + FREE_LIMIT; spawn_now() < end; pause_shortly())
		if (!accepts(place->host, port, place->client))
			return 0;
	return error_set(err, -EADDRINUSE,
			 "port %d: something else answers there before the server is started",
			 port);
}

/* Peers that are started themselves; what they print is kept for a message. */
static int start_peer(struct place *place, struct spawn *spawn, struct masu_error *err)
{
	place->serving_log = memfd_create("log", MFD_CLOEXEC);
	spawn->log = place->serving_log;
	return spawn_start(spawn, &place->serving_pid, err);
}

/* The server's ports on the host's address, passed on to the container's: what docker-proxy does.
 * The relay takes connections before there is anybody behind it, so the server comes first. */
static int start_relay(struct place *place, const unsigned short *ports, struct masu_error *err)
{
	_cleanup_buf_ struct buf out, errors;
	struct words words = { .count = 0 };
	buf_init(&out, 4096);
	buf_init(&errors, 1u << 20);
	if (about_server(place, "inspect -f {{.NetworkSettings.IPAddress}}", &out, &errors) < 0)
		return error_set(err, -EIO, "its address: %.200s", place_said(&errors));
	char *address = arena_strdup(place->arena, buf_str(&out));
	if (!address)
		return error_set(err, -ENOMEM, "out of memory");
	address[strcspn(address, "\n")] = '\0';
	int r = place_wait_port(place, address, ports[0], -1, err);
	if (r < 0)
		return r;
	words_add(&words, place->probe);
	words_add(&words, "relay");
	words_add(&words, place->host);
	words_add(&words, address);
	for (; *ports; ports++)
		words_add(&words, arena_printf(place->arena, "%d", *ports));
	struct spawn spawn = {
		.argv = words.list, .netns = -1, .cpu = SPAWN_NOT_PINNED, .quiet = true
	};
	return spawn_start(&spawn, &place->relay, err);
}

int place_serve(struct place *place, const struct place_run *run, struct masu_error *err)
{
	enum maker maker = run->configuration->maker;
	bool named = maker == MAKER_MASU || maker == MAKER_PODMAN || maker == MAKER_DOCKER;
	struct words words;
	struct spawn spawn;
	struct spawn_result result;
	place_stop(place);
	int r = run->ports ? wait_free(place, run->ports[0], err) : 0;
	if (r < 0)
		return r;
	place->serving_name = named ? place_name(place) : NULL;
	r = place_prepare(place, run, place->serving_name, &words, &spawn, err);
	if (r < 0)
		return r;
	place->serving = run->configuration;
	if (named) {
		r = spawn_run(&spawn, &place->out, &place->errors, &result, err);
		if (r == 0)
			r = place_check(place, &result, run->argv[0], err);
	} else {
		r = start_peer(place, &spawn, err);
	}
	if (r == 0 && run->ports && run->configuration->relay)
		r = start_relay(place, run->ports, err);
	if (r == 0 && run->ports)
		r = place_wait_port(place, place->host, run->ports[0], place->client, err);
	if (r < 0)
		place_stop(place);
	return r;
}

void place_stop(struct place *place)
{
	if (!place->serving)
		return;
	spawn_stop(place->relay);
	place->relay = 0;
	if (place->serving_name) {
		_cleanup_buf_ struct buf out, errors;
		sig_atomic_t interrupted = spawn_interrupted;
		buf_init(&out, 1u << 20);
		buf_init(&errors, 1u << 20);
		spawn_interrupted = 0;
		/* Podman waits ten seconds for what does not hear SIGTERM. */
		about_server(place,
			     place->serving->maker == MAKER_PODMAN ? "rm -f -v -t 0" : "rm -f -v",
			     &out, &errors);
		spawn_interrupted |= interrupted;
	} else {
		spawn_stop(place->serving_pid);
	}
	cleanup_close(&place->serving_log);
	place->serving = NULL;
	place->serving_name = NULL;
	place->serving_pid = 0;
}
